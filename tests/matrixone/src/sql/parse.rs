//! Statements.
//!
//! [`parse`] reads a [`Statement`], [`Item`] is a column of a `SELECT`. Invariant: every unknown statement gives error 1064, like a syntax
//! error.

use super::SqlError;
use super::backup::BackupStatement;
use super::token::{Kind, Token, tokens};
use crate::version::MoVersion;

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `BACKUP`.
    Backup(BackupStatement),
    /// `KILL [QUERY | CONNECTION] n`.
    Kill {
        /// Whether the connection stays.
        query: bool,
        /// The connection to kill.
        connection: u64,
    },
    /// `SELECT` of expressions without a table.
    Select(Vec<Item>),
    /// A statement that is answered with OK and ignored.
    Nothing,
}

/// A column of a `SELECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The alias, or the text.
    pub name: String,
    /// The expression.
    pub expression: Expression,
}

/// An expression in a `SELECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A number.
    Number(String),
    /// A text.
    Text(String),
    /// `NULL`.
    Null,
    /// A variable of the server.
    Variable(String),
    /// A function of texts: its name in lower case, and its arguments.
    Call(String, Vec<String>),
}

/// Statements that are answered with OK, independently of the rest.
const NOTHING: [&str; 6] = ["SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "START"];

/// Reads a statement as a release does.
///
/// # Errors
/// 1064, with the place.
pub fn parse(sql: &str, version: MoVersion) -> Result<Statement, SqlError> {
    let all = tokens(sql).map_err(|at| syntax(sql, at))?;
    let mut parser = Parser {
        sql,
        tokens: &all,
        next: 0,
    };
    let statement = parser.statement(version)?;
    while parser.take_symbol(';') {}
    if parser.next < all.len() {
        return Err(parser.wrong());
    }
    Ok(statement)
}

fn syntax(sql: &str, at: usize) -> SqlError {
    let line = sql[..at].matches('\n').count() + 1;
    let column = at - sql[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
    // Like the real server, this repeats the following text, even a secret.
    let near = &sql[at..];
    SqlError::new(
        1064,
        format!(
            "SQL parser error: You have an error in your SQL syntax; check the manual that corresponds to your \
             MatrixOne server version for the right syntax to use. syntax error at line {line} column {column} \
             near \" {near}\";"
        ),
    )
}

/// The tokens of a statement, and the current position.
pub(super) struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    next: usize,
}

impl Parser<'_> {
    fn statement(&mut self, version: MoVersion) -> Result<Statement, SqlError> {
        if NOTHING.iter().any(|word| self.take_word(word)) {
            self.next = self.tokens.len();
            return Ok(Statement::Nothing);
        }
        if self.take_word("BACKUP") {
            return BackupStatement::parse(self, version).map(Statement::Backup);
        }
        if self.take_word("KILL") {
            let query = self.take_word("QUERY");
            if !query {
                self.take_word("CONNECTION");
            }
            let connection = self.number()?;
            return Ok(Statement::Kill { query, connection });
        }
        self.word("SELECT")?;
        let mut items = vec![self.item()?];
        while self.take_symbol(',') {
            items.push(self.item()?);
        }
        if self.take_word("LIMIT") {
            self.number()?;
        }
        Ok(Statement::Select(items))
    }

    fn item(&mut self) -> Result<Item, SqlError> {
        let start = self.tokens.get(self.next).map(|token| token.at.start);
        let expression = self.expression()?;
        let end = self.tokens[self.next - 1].at.end;
        let name = start.map_or("", |start| &self.sql[start..end]).to_owned();
        let alias = if self.take_word("AS") || !self.is_word("LIMIT") {
            self.any_word()
        } else {
            None
        };
        let name = alias.unwrap_or(name);
        Ok(Item { name, expression })
    }

    fn expression(&mut self) -> Result<Expression, SqlError> {
        let kind = self.tokens.get(self.next).map(|token| token.kind.clone());
        let kind = kind.ok_or_else(|| self.wrong())?;
        self.next += 1;
        match kind {
            Kind::Number(number) => Ok(Expression::Number(number)),
            Kind::Text(text) => Ok(Expression::Text(text)),
            Kind::Variable(name) => Ok(Expression::Variable(name.to_lowercase())),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => Ok(Expression::Null),
            Kind::Word(word) => Ok(Expression::Call(word.to_lowercase(), self.given()?)),
            Kind::Symbol(_) => {
                self.next -= 1;
                Err(self.wrong())
            }
        }
    }

    /// Texts in parentheses.
    fn given(&mut self) -> Result<Vec<String>, SqlError> {
        self.symbol('(')?;
        let mut given = Vec::new();
        while !self.take_symbol(')') {
            if !given.is_empty() {
                self.symbol(',')?;
            }
            given.push(self.text()?);
        }
        Ok(given)
    }

    fn is_word(&self, word: &str) -> bool {
        let token = self.tokens.get(self.next).map(|token| &token.kind);
        matches!(token, Some(Kind::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    pub(super) fn take_symbol(&mut self, symbol: char) -> bool {
        let token = self.tokens.get(self.next).map(|token| &token.kind);
        let found = token == Some(&Kind::Symbol(symbol));
        self.next += usize::from(found);
        found
    }

    fn any_word(&mut self) -> Option<String> {
        let Some(Kind::Word(word)) = self.tokens.get(self.next).map(|token| &token.kind) else {
            return None;
        };
        self.next += 1;
        Some(word.clone())
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), SqlError> {
        self.need(|parser| parser.take_word(word).then_some(()))
    }

    pub(super) fn symbol(&mut self, symbol: char) -> Result<(), SqlError> {
        self.need(|parser| parser.take_symbol(symbol).then_some(()))
    }

    pub(super) fn text(&mut self) -> Result<String, SqlError> {
        self.need(|parser| match &parser.tokens.get(parser.next)?.kind {
            Kind::Text(text) => {
                parser.next += 1;
                Some(text.clone())
            }
            _ => None,
        })
    }

    fn number(&mut self) -> Result<u64, SqlError> {
        self.need(|parser| match &parser.tokens.get(parser.next)?.kind {
            Kind::Number(digits) => {
                parser.next += 1;
                digits.parse().ok()
            }
            _ => None,
        })
    }

    fn need<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, SqlError> {
        let found = take(self);
        found.ok_or_else(|| self.wrong())
    }

    /// The error for the next token.
    fn wrong(&self) -> SqlError {
        let token = self.tokens.get(self.next);
        syntax(
            self.sql,
            token.map_or(self.sql.len(), |token| token.at.start),
        )
    }
}

//! Characters: blanks, comments, quoted and unquoted text.
//!
//! [`Cursor`] reads the text, [`HoconError`] says where and why that failed. Invariant: the cursor only moves forward, by whole characters,
//! so reading takes time linear in the length of the text.

/// Why a text cannot be read as HOCON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoconError {
    /// Longer than [`MAX_BYTES`](super::MAX_BYTES).
    #[error("it is longer than the limit of {} bytes", super::MAX_BYTES)]
    TooLong,
    /// Not UTF-8.
    #[error("it is not UTF-8 at byte {offset}")]
    Utf8 {
        /// The offset of the first wrong byte, from 0.
        offset: usize,
    },
    /// Not in the syntax of HOCON.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What is wrong there.
        problem: Problem,
    },
}

/// What is wrong at a place of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another token is expected here.
    #[error("{found} instead of {expected}")]
    Unexpected {
        /// The character, or the end of the text.
        found: String,
        /// What is expected here.
        expected: &'static str,
    },
    /// A character that text may contain only in quotes.
    #[error("`{0}` must be in quotes")]
    Forbidden(char),
    /// Something begins here and does not end.
    #[error("{0} begins here and does not end")]
    Unclosed(&'static str),
    /// An escape with wrong digits.
    #[error("`\\u` needs four hexadecimal digits that make a character")]
    Escape,
    /// Four quotes in a row: EMQX cannot read them.
    #[error("four quotes in a row: text that ends in a quote is closed by ~\"\"\"")]
    FourQuotes,
    /// An `include`.
    #[error("`include` is not supported: a bundle is self-contained")]
    Include,
    /// `+=` with a value that is not a list.
    #[error("`+=` needs a list, and this key has something else")]
    Append,
    /// Nested deeper than [`MAX_NESTING`](super::MAX_NESTING).
    #[error("nested deeper than {}", super::MAX_NESTING)]
    Nesting,
    /// More values than [`MAX_VALUES`](super::MAX_VALUES).
    #[error("more than {} values", super::MAX_VALUES)]
    Values,
}

/// A place in the text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The rest of the text.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The text from `start` to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Reads `token` if it is next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    pub(super) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    /// Reads blanks up to the end of the line.
    pub(super) fn skip_spaces(&mut self) {
        self.take_while(is_space);
    }

    /// Reads blanks, line breaks and comments. Returns whether a line ended.
    pub(super) fn skip_blank(&mut self) -> bool {
        let mut line_ended = false;
        loop {
            self.skip_spaces();
            if !self
                .take_while(|c| is_line_break(c) || is_space(c))
                .is_empty()
            {
                line_ended = true;
            } else if self.at_comment() {
                self.take_while(|c| !is_line_break(c));
            } else {
                return line_ended;
            }
        }
    }

    pub(super) fn at_comment(&self) -> bool {
        let rest = self.rest();
        rest.starts_with('#') || rest.starts_with("//")
    }

    /// Reads text in quotes, one or three at each end. The cursor is at the first quote.
    pub(super) fn quoted(&mut self) -> Result<String, HoconError> {
        if self.rest().starts_with(TRIPLE) {
            return self.triple_quoted();
        }
        let start = self.at;
        self.bump();
        let mut out = String::new();
        loop {
            out.push_str(self.take_while(|c| !matches!(c, '"' | '\\' | '\n' | '\r')));
            match self.peek() {
                Some('"') => {
                    self.bump();
                    return Ok(out);
                }
                Some('\\') => self.escape(&mut out)?,
                _ => return Err(self.problem_at(start, Problem::Unclosed("a quoted text"))),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), HoconError> {
        let start = self.at;
        self.bump();
        let resolved = match self.peek() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                self.bump();
                let c = self.unicode_escape();
                out.push(c.ok_or_else(|| self.problem_at(start, Problem::Escape))?);
                return Ok(());
            }
            _ => {
                // As in EMQX: the backslash and the next character are text.
                out.push('\\');
                return Ok(());
            }
        };
        self.bump();
        out.push(resolved);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Option<char> {
        let high = self.hex_digits()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        if !self.take("\\u") {
            return None;
        }
        let low = self.hex_digits()?;
        (0xdc00..0xe000)
            .contains(&low)
            .then(|| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))?
    }

    fn hex_digits(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn triple_quoted(&mut self) -> Result<String, HoconError> {
        let start = self.at;
        self.at += TRIPLE.len();
        let rest = self.rest();
        let Some(end) = rest.find(TRIPLE) else {
            return Err(self.problem_at(start, Problem::Unclosed("a text in triple quotes")));
        };
        let content = rest.get(..end).unwrap_or("");
        self.at += end + TRIPLE.len();
        if self.peek() == Some('"') {
            return Err(self.problem(Problem::FourQuotes));
        }
        Ok(unindent(content))
    }

    /// Reads `${…}`. The cursor is at the dollar.
    pub(super) fn substitution(&mut self) -> Result<(), HoconError> {
        let start = self.at;
        if !self.take("${") {
            return Err(self.problem(Problem::Forbidden('$')));
        }
        self.take_while(|c| !matches!(c, '}' | '{' | '"' | '$' | '\n' | '\r'));
        if !self.take("}") {
            return Err(self.problem_at(start, Problem::Unclosed("a substitution")));
        }
        Ok(())
    }

    /// The error that another token is expected here.
    pub(super) fn unexpected(&self, expected: &'static str) -> HoconError {
        let found = self.peek().map_or_else(
            || "the end".to_owned(),
            |c| format!("`{}`", c.escape_debug()),
        );
        self.problem(Problem::Unexpected { found, expected })
    }

    /// An error here.
    pub(super) fn problem(&self, problem: Problem) -> HoconError {
        self.problem_at(self.at, problem)
    }

    /// An error at an offset.
    pub(super) fn problem_at(&self, at: usize, problem: Problem) -> HoconError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        HoconError::Syntax {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            problem,
        }
    }
}

pub(super) const TRIPLE: &str = "\"\"\"";

pub(super) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\u{a0}' | '\u{feff}')
}

pub(super) const fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// True if text without quotes may contain a character. Dots, plus signs and dollars have separate rules.
pub(super) fn is_plain(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(
            c,
            '_' | '-' | '@' | '%' | '|' | '/' | '~' | '(' | ')' | '<' | '>' | '\'' | ';'
        )
        || (!c.is_ascii() && !is_space(c) && !c.is_whitespace() && !c.is_control())
}

/// Removes the indentation of text in triple quotes, if it begins with `~` and a line break.
pub(super) fn unindent(content: &str) -> String {
    let Some(lines) = content
        .strip_prefix("~\n")
        .or_else(|| content.strip_prefix("~\r\n"))
    else {
        return content.to_owned();
    };
    let lines = lines.strip_suffix('~').unwrap_or(lines);
    let (first, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
    let is_only_line = !lines.contains('\n');
    let level = |line: &str| line.bytes().take_while(|&b| b == b' ').count();
    let is_empty = |line: &&str| matches!(*line, "" | "\r");
    let of_first = first
        .split('\n')
        .filter(|line| !is_empty(line))
        .map(level)
        .min();
    // The last line may have a smaller indentation if it has only the closing quotes.
    let is_blank = last.bytes().all(|b| b == b' ');
    let indent = match of_first {
        _ if is_only_line => level(last),
        Some(indent) if is_blank || last == "\r" => indent,
        Some(indent) => indent.min(level(last)),
        None => 0,
    };
    let mut out = String::with_capacity(lines.len());
    for (at, line) in lines.split('\n').enumerate() {
        out.push_str(if at == 0 { "" } else { "\n" });
        let strip = level(line).min(indent);
        out.push_str(line.get(strip..).unwrap_or(""));
    }
    out
}

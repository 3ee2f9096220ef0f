//! Structure: fields, objects and lists.
//!
//! Invariant: the parser descends at most [`MAX_NESTING`] levels and makes at most [`MAX_VALUES`] values.

use super::lex::{Cursor, HoconError, Problem, is_line_break, is_plain, is_space};
use super::{MAX_BYTES, MAX_NESTING, MAX_VALUES, Object, Value};

/// Reads a configuration.
///
/// # Errors
/// If it is not UTF-8, not valid HOCON, or beyond a limit.
pub fn parse(bytes: &[u8]) -> Result<Object, HoconError> {
    if bytes.len() > MAX_BYTES {
        return Err(HoconError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| HoconError::Utf8 {
        offset: e.valid_up_to(),
    })?;
    let mut parser = Parser::new(text);
    // A byte order mark is also a blank.
    parser.cursor.skip_blank();
    let mut root = Object::new();
    if parser.cursor.take("{") {
        parser.object(&mut root, 1)?;
        parser.cursor.skip_blank();
        if parser.cursor.peek().is_some() {
            return Err(parser.cursor.unexpected("the end"));
        }
    } else {
        while parser.field(&mut root, 1)? {}
        if parser.cursor.peek().is_some() {
            return Err(parser.cursor.unexpected("a key"));
        }
    }
    Ok(root)
}

/// True if text without quotes reads as the same text.
pub(super) fn stands_alone(text: &str) -> bool {
    if text.starts_with(is_space) {
        return false;
    }
    let mut parser = Parser::new(text);
    let read = parser.scalar();
    parser.cursor.peek().is_none() && read.is_ok_and(|read| read == Value::Raw(text.to_owned()))
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    values: usize,
}

impl<'a> Parser<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            cursor: Cursor::new(text),
            values: 0,
        }
    }

    /// Reads fields up to and with the closing brace. The opening one was read.
    fn object(&mut self, object: &mut Object, depth: usize) -> Result<(), HoconError> {
        let opened = self.cursor.at().saturating_sub(1);
        while self.field(object, depth)? {}
        self.close("}", opened, "an object")
    }

    /// Reads elements up to and with the closing bracket. The opening one was read.
    fn array(&mut self, items: &mut Vec<Value>, depth: usize) -> Result<(), HoconError> {
        let opened = self.cursor.at().saturating_sub(1);
        self.cursor.skip_blank();
        while !matches!(self.cursor.peek(), None | Some(']')) {
            items.push(self.value(depth + 1)?);
            if !self.separator(']')? {
                break;
            }
        }
        self.close("]", opened, "a list")
    }

    fn close(&mut self, closer: &str, opened: usize, what: &'static str) -> Result<(), HoconError> {
        if self.cursor.take(closer) {
            return Ok(());
        }
        if self.cursor.peek().is_none() {
            return Err(self.cursor.problem_at(opened, Problem::Unclosed(what)));
        }
        Err(self.cursor.unexpected("a key"))
    }

    /// Reads the separator between fields or elements. Returns whether another may follow.
    fn separator(&mut self, closer: char) -> Result<bool, HoconError> {
        let line_ended = self.cursor.skip_blank();
        match self.cursor.peek() {
            None => Ok(false),
            Some(c) if c == closer => Ok(false),
            Some(',') => {
                self.cursor.bump();
                self.cursor.skip_blank();
                Ok(true)
            }
            Some(_) if line_ended => Ok(true),
            Some(_) => Err(self.cursor.unexpected("a comma or the end of the line")),
        }
    }

    /// Reads one field and what separates it from the next. Returns false if there is none, or it was the last one.
    fn field(&mut self, object: &mut Object, depth: usize) -> Result<bool, HoconError> {
        self.cursor.skip_blank();
        if matches!(self.cursor.peek(), None | Some('}' | ']')) {
            return Ok(false);
        }
        let start = self.cursor.at();
        let path = self.key(depth)?;
        self.cursor.skip_blank();
        let level = depth + path.len();
        // Every part of a dotted key creates an object.
        self.count(path.len().saturating_sub(1))?;
        if self.cursor.take("+=") {
            self.cursor.skip_blank();
            let value = self.value(level + 1)?;
            if !object.append_at(&path, value) {
                return Err(self.cursor.problem_at(start, Problem::Append));
            }
        } else if self.cursor.take("=") || self.cursor.take(":") {
            self.cursor.skip_blank();
            let value = self.value(level)?;
            object.merge_at(&path, value);
        } else if self.cursor.peek() == Some('{') {
            let value = self.value(level)?;
            object.merge_at(&path, value);
        } else if path.first().is_some_and(|key| key == "include")
            && self.cursor.since(start).starts_with("include")
        {
            return Err(self.cursor.problem_at(start, Problem::Include));
        } else {
            return Err(self.cursor.unexpected("`=`, `:` or `{`"));
        }
        self.separator('}')
    }

    /// Reads a key: parts with dots between them.
    fn key(&mut self, depth: usize) -> Result<Vec<String>, HoconError> {
        let mut path = Vec::new();
        loop {
            if depth + path.len() > MAX_NESTING {
                return Err(self.cursor.problem(Problem::Nesting));
            }
            if self.cursor.peek() == Some('"') {
                path.push(self.cursor.quoted()?);
            } else {
                let part = self.cursor.take_while(is_plain);
                if part.is_empty() {
                    return Err(self.cursor.unexpected("a key"));
                }
                if part.contains("//") {
                    return Err(self.cursor.problem(Problem::Forbidden('/')));
                }
                path.push(part.to_owned());
            }
            if !self.cursor.take(".") {
                return Ok(path);
            }
        }
    }

    fn count(&mut self, values: usize) -> Result<(), HoconError> {
        self.values += values;
        if self.values > MAX_VALUES {
            return Err(self.cursor.problem(Problem::Values));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, HoconError> {
        self.count(1)?;
        let opens = |c: Option<char>| matches!(c, Some('{' | '['));
        if opens(self.cursor.peek()) && depth > MAX_NESTING {
            return Err(self.cursor.problem(Problem::Nesting));
        }
        // Adjacent objects are merged into one, and so are lists.
        if self.cursor.take("{") {
            let mut object = Object::new();
            self.object(&mut object, depth)?;
            while self.follows_on_line("{") {
                let mut next = Object::new();
                self.object(&mut next, depth)?;
                object.merge_all(next);
            }
            Ok(Value::Object(object))
        } else if self.cursor.take("[") {
            let mut items = Vec::new();
            self.array(&mut items, depth)?;
            while self.follows_on_line("[") {
                self.array(&mut items, depth)?;
            }
            Ok(Value::Array(items))
        } else {
            self.scalar()
        }
    }

    /// Reads `token` if it is the next thing on this line.
    fn follows_on_line(&mut self, token: &str) -> bool {
        let mut ahead = self.cursor.clone();
        ahead.skip_spaces();
        let follows = ahead.take(token);
        if follows {
            self.cursor = ahead;
        }
        follows
    }

    /// Reads text: one piece in quotes, or several adjacent pieces of any kind, whose source text is kept.
    fn scalar(&mut self) -> Result<Value, HoconError> {
        let start = self.cursor.at();
        let mut end = self.cursor.clone();
        let mut pieces = 0;
        let mut quoted = None;
        loop {
            match self.cursor.peek() {
                None | Some(',' | '}' | ']') => break,
                Some(c) if is_line_break(c) => break,
                Some(_) if self.cursor.at_comment() => break,
                Some(c) if is_space(c) => {
                    self.cursor.skip_spaces();
                    continue;
                }
                Some('"') => quoted = Some(self.cursor.quoted()?),
                Some('$') => self.cursor.substitution()?,
                Some('{' | '[' | '=' | ':') if pieces > 0 => {
                    return Err(self.cursor.unexpected("a comma or the end of the line"));
                }
                Some(_) => self.plain()?,
            }
            pieces += 1;
            end = self.cursor.clone();
        }
        match quoted {
            _ if pieces == 0 => Err(self.cursor.unexpected("a value")),
            Some(text) if pieces == 1 => Ok(Value::String(text)),
            _ => Ok(Value::Raw(end.since(start).to_owned())),
        }
    }

    /// Reads a run of characters that need no quotes.
    fn plain(&mut self) -> Result<(), HoconError> {
        let start = self.cursor.at();
        loop {
            match self.cursor.peek() {
                // A plus sign belongs to a number, as in `+5` and `1e+5`.
                Some('+') => {
                    self.cursor.bump();
                    if !self.cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
                        let at = self.cursor.at().saturating_sub(1);
                        return Err(self.cursor.problem_at(at, Problem::Forbidden('+')));
                    }
                }
                Some('.') => self.cursor.bump(),
                Some(c) if is_plain(c) && !self.cursor.at_comment() => self.cursor.bump(),
                Some(c) if self.cursor.at() == start => {
                    return Err(self.cursor.problem(Problem::Forbidden(c)));
                }
                _ => return Ok(()),
            }
        }
    }
}

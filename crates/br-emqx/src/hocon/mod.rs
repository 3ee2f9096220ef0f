//! HOCON as EMQX writes it: the dialect of `cluster.hocon` and `META.hocon`.
//!
//! [`parse()`] turns a file's bytes into an [`Object`], [`print()`] returns the text that EMQX's own printer would write. A [`Value`]
//! records whether text was in quotes, so that `10s`, `"10s"` and `${HOST}` round-trip. The parser never resolves substitutions and never
//! includes files.
//!
//! The dialect, where it differs from the specification of HOCON:
//!
//! - `"""~`, a line break, indented lines and `~"""` mean the text without the common indentation of its lines;
//! - backslashes between triple quotes are plain characters (EMQX 5.6.0, the first version that writes triple quotes, and
//!   later);
//! - unknown escapes in quoted text, such as `\d`, stay unchanged;
//! - unquoted text may contain `@`, `%` and `|`.
//!
//! Stricter than EMQX: a line break ends a value, where EMQX joins it with the next line. Files that EMQX writes have the same meaning in
//! both.
//!
//! Invariant: [`parse()`] of [`print()`] gives the same object, if that is within [`MAX_NESTING`] and [`MAX_VALUES`].

mod lex;
mod parse;
mod print;
mod value;

#[cfg(test)]
mod tests;

pub use lex::{HoconError, Problem};
pub use parse::parse;
pub use print::print;
pub use value::{Object, Value};

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// The deepest nesting of objects and lists that is read; every part of a dotted key counts.
pub const MAX_NESTING: usize = 128;
/// The most values that are read: they use far more memory than their text.
pub const MAX_VALUES: usize = 1 << 20;

//! HOCON as EMQX writes it: the dialect of `cluster.hocon` and `META.hocon`.
//!
//! [`parse()`] makes an [`Object`] of a file's bytes, [`print()`] the text that EMQX's own printer would write. A [`Value`] remembers
//! whether text stood in quotes, so that `10s`, `"10s"` and `${HOST}` go back as they came; substitutions are never resolved and
//! nothing is ever included.
//!
//! The dialect, where it differs from the specification of HOCON:
//!
//! - `"""~`, a line break, indented lines and `~"""` are a text without the indentation that its lines share;
//! - backslashes between triple quotes are plain characters (EMQX 5.6.0, the first version that writes triple quotes, and
//!   later);
//! - unknown escapes in quoted text, such as `\d`, stay as they are;
//! - `@`, `%` and `|` may stand in unquoted text.
//!
//! Stricter than EMQX: a line break ends a value, where EMQX joins it with what follows. What EMQX itself writes reads alike.
//!
//! Invariant: [`parse()`] of [`print()`] is the same object, as long as that one keeps to [`MAX_NESTING`] and [`MAX_VALUES`].

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
/// The most values that are read: they take far more memory than their text.
pub const MAX_VALUES: usize = 1 << 20;

//! Erlang terms and their external format, the encoding of everything that Mnesia writes into a backup.
//!
//! [`decode()`] turns the bytes of one term into a [`Term`], [`encode()`] writes it back. Invariant: two terms are equal exactly when
//! [`encode()`] gives the same bytes for both, independently of the tags that an Erlang release used; so an atom in Latin-1 equals the same
//! atom in UTF-8, and the order of a map in the input does not matter.

mod decode;
mod display;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub(crate) use display::{AtomText, brief};
pub use encode::encode;
pub(crate) use encode::{encode_into, encode_ordered_key_into};

/// Deepest nesting of terms.
pub const MAX_DEPTH: u16 = 256;

/// Deepest nesting of maps in the keys of maps, and of functions in functions. The decoder makes a copy at each such level.
pub const MAX_COPIED_DEPTH: u16 = 8;

/// Most terms in a term, including itself: about 100 MB when decoded.
pub const MAX_TERMS: u32 = 1 << 22;

/// Largest size of a compressed term after decompression, in bytes.
pub const MAX_INFLATED_BYTES: u32 = 64 << 20;

/// The longest atom that Erlang allows, in characters.
pub const MAX_ATOM_CHARS: usize = 255;

/// The byte with which every external term starts.
const VERSION: u8 = 131;

/// The tags: the first byte of a term, which gives its type.
mod tag {
    pub(super) const NEW_FLOAT: u8 = 70;
    pub(super) const BIT_BINARY: u8 = 77;
    pub(super) const COMPRESSED: u8 = 80;
    pub(super) const NEW_PID: u8 = 88;
    pub(super) const NEW_PORT: u8 = 89;
    pub(super) const NEWER_REFERENCE: u8 = 90;
    pub(super) const SMALL_INTEGER: u8 = 97;
    pub(super) const INTEGER: u8 = 98;
    pub(super) const FLOAT: u8 = 99;
    pub(super) const ATOM: u8 = 100;
    pub(super) const REFERENCE: u8 = 101;
    pub(super) const PORT: u8 = 102;
    pub(super) const PID: u8 = 103;
    pub(super) const SMALL_TUPLE: u8 = 104;
    pub(super) const LARGE_TUPLE: u8 = 105;
    pub(super) const NIL: u8 = 106;
    pub(super) const STRING: u8 = 107;
    pub(super) const LIST: u8 = 108;
    pub(super) const BINARY: u8 = 109;
    pub(super) const SMALL_BIG: u8 = 110;
    pub(super) const LARGE_BIG: u8 = 111;
    pub(super) const NEW_FUN: u8 = 112;
    pub(super) const EXPORT: u8 = 113;
    pub(super) const NEW_REFERENCE: u8 = 114;
    pub(super) const SMALL_ATOM: u8 = 115;
    pub(super) const MAP: u8 = 116;
    pub(super) const ATOM_UTF8: u8 = 118;
    pub(super) const SMALL_ATOM_UTF8: u8 = 119;
    pub(super) const V4_PORT: u8 = 120;
}

/// Why bytes are not a valid term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermError {
    /// The first byte is not 131.
    #[error("a term does not start with the version byte 131")]
    Version,
    /// The bytes end before the term does.
    #[error("a term is cut short")]
    Truncated,
    /// The term ends before the bytes do.
    #[error("there are bytes after the end of a term")]
    TrailingBytes,
    /// A tag that is unknown or that Erlang does not write into files.
    #[error("a term has the unknown tag {0}")]
    Tag(u8),
    /// Nested deeper than [`MAX_DEPTH`] or [`MAX_COPIED_DEPTH`].
    #[error("a term is nested too deeply")]
    Depth,
    /// More parts than [`MAX_TERMS`].
    #[error("a term consists of more than {MAX_TERMS} terms")]
    TooManyTerms,
    /// A compressed term that is larger than [`MAX_INFLATED_BYTES`] after decompression.
    #[error("a compressed term is larger than {MAX_INFLATED_BYTES} bytes")]
    Inflated,
    /// A compressed term that cannot be decompressed, or does not have the stated size.
    #[error("a compressed term is damaged")]
    Compressed,
    /// An atom that is not UTF-8 or longer than [`MAX_ATOM_CHARS`], or another term where an atom is required.
    #[error("an atom is malformed")]
    Atom,
    /// A floating-point number that is infinite or NaN, which Erlang does not have.
    #[error("a floating-point number is malformed")]
    Float,
    /// A bit string whose last byte holds an impossible number of bits.
    #[error("a bit string is malformed")]
    BitString,
    /// A map with a key twice.
    #[error("a map holds a key twice")]
    MapKeys,
    /// A reference or function whose parts do not fit together.
    #[error("a reference or function is malformed")]
    Opaque,
}

/// An Erlang term.
///
/// The variants state rules for their contents, and [`decode()`] follows them. To build terms, use [`Term::map`], [`Term::list`] and
/// [`Term::integer`] for variants with a rule, because equality relies on the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Term {
    /// An integer of at most 64 bits.
    Integer(i64),
    /// An integer that does not fit into 64 bits.
    BigInteger(BigInteger),
    /// A floating-point number.
    Float(Float),
    /// An atom.
    Atom(Box<str>),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A proper list. Strings are lists of characters.
    List(Vec<Self>),
    /// A list with elements before a tail that is not a list.
    ImproperList(Vec<Self>, Box<Self>),
    /// A map, in the order of the encoded keys, each key once.
    Map(Vec<(Self, Self)>),
    /// A binary.
    Binary(Vec<u8>),
    /// A bit string that is not a binary.
    BitString(BitString),
    /// A process, port, reference or function.
    Opaque(Opaque),
}

impl Term {
    /// An atom, of at most [`MAX_ATOM_CHARS`] characters.
    #[must_use]
    pub fn atom(text: &str) -> Self {
        Self::Atom(text.into())
    }

    /// A binary.
    #[must_use]
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// An integer of any size: the magnitude is in little-endian order.
    #[must_use]
    pub fn integer(is_negative: bool, magnitude: &[u8]) -> Self {
        let len = magnitude.iter().rposition(|byte| *byte != 0);
        let magnitude = magnitude.get(..len.map_or(0, |last| last + 1));
        let magnitude = magnitude.unwrap_or_default();
        let mut low = [0; 8];
        if let Some(low_bytes) = low.get_mut(..magnitude.len()) {
            low_bytes.copy_from_slice(magnitude);
            let value = i128::from(u64::from_le_bytes(low));
            let value = if is_negative { -value } else { value };
            if let Ok(small) = i64::try_from(value) {
                return Self::Integer(small);
            }
        }
        Self::BigInteger(BigInteger {
            is_negative,
            magnitude: magnitude.into(),
        })
    }

    /// A list of the code points of a text, which is what Erlang calls a string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        let chars = text.chars();
        Self::List(chars.map(|c| Self::Integer(u32::from(c).into())).collect())
    }

    /// A list with these elements before this tail: proper if the tail is.
    #[must_use]
    pub fn list(mut elements: Vec<Self>, tail: Self) -> Self {
        match tail {
            Self::List(rest) => {
                elements.extend(rest);
                Self::List(elements)
            }
            Self::ImproperList(rest, end) => {
                elements.extend(rest);
                Self::ImproperList(elements, end)
            }
            end if elements.is_empty() => end,
            end => Self::ImproperList(elements, Box::new(end)),
        }
    }

    /// A map.
    ///
    /// # Errors
    /// [`TermError::MapKeys`] if a key occurs twice.
    pub fn map(mut pairs: Vec<(Self, Self)>) -> Result<Self, TermError> {
        pairs.sort_by_cached_key(|(key, _)| encode(key));
        let mut neighbours = pairs.iter().zip(pairs.iter().skip(1));
        if neighbours.any(|((a, _), (b, _))| a == b) {
            return Err(TermError::MapKeys);
        }
        Ok(Self::Map(pairs))
    }

    /// The text of an atom.
    #[must_use]
    pub const fn as_atom(&self) -> Option<&str> {
        match self {
            Self::Atom(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a tuple.
    #[must_use]
    pub const fn as_tuple(&self) -> Option<&[Self]> {
        match self {
            Self::Tuple(elements) => Some(elements.as_slice()),
            _ => None,
        }
    }

    /// The elements of a proper list.
    #[must_use]
    pub const fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) => Some(elements.as_slice()),
            _ => None,
        }
    }

    /// The value of an integer that fits into 64 bits.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The text of a list of code points.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        Self::text_of(self.as_list()?)
    }

    fn text_of(elements: &[Self]) -> Option<String> {
        let code_point = |term: &Self| char::from_u32(u32::try_from(term.as_integer()?).ok()?);
        elements.iter().map(code_point).collect()
    }
}

/// An integer that does not fit into 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BigInteger {
    is_negative: bool,
    /// Little-endian, without zeros at the end.
    magnitude: Box<[u8]>,
}

impl BigInteger {
    /// Whether the integer is below zero.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        self.is_negative
    }

    /// The absolute value in little-endian order, without leading zeros.
    #[must_use]
    pub const fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }
}

/// A finite floating-point number, compared by its bits: `0.0` and `-0.0` differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Float(u64);

impl Float {
    /// `None` for infinities and NaN.
    #[must_use]
    pub const fn new(value: f64) -> Option<Self> {
        if value.is_finite() {
            Some(Self(value.to_bits()))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// A bit string whose length is not a multiple of eight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BitString {
    /// Not empty; the unused low bits of the last byte are zero.
    bytes: Box<[u8]>,
    /// Bits in use in the last byte: 1 to 7.
    last_bits: u8,
}

impl BitString {
    /// The bytes. Only the upper [`last_bits`](Self::last_bits) bits of the last byte count.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bits in use in the last byte: 1 to 7.
    #[must_use]
    pub const fn last_bits(&self) -> u8 {
        self.last_bits
    }
}

/// A value of a running node that only that node can interpret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Opaque {
    kind: OpaqueKind,
    /// The newest encoding, with its tag.
    bytes: Box<[u8]>,
}

impl Opaque {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> OpaqueKind {
        self.kind
    }

    /// Its encoding, starting with the tag.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The kinds of [`Opaque`] terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpaqueKind {
    /// A process.
    Pid,
    /// A port.
    Port,
    /// A reference.
    Reference,
    /// A function, anonymous or of a module.
    Fun,
}

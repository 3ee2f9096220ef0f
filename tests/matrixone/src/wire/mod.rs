//! The part of the MySQL protocol that a MatrixOne server needs.
//!
//! [`Wire`] is a connection with its packets, [`handshake`] has the login, [`answer`] the answers. No crate is used, because those for
//! MySQL support no error numbers above those of MySQL, and MatrixOne has such. Invariant: every answer has the sequence numbers that the
//! client expects.

pub(crate) mod answer;
pub(crate) mod handshake;
mod packet;

pub(crate) use packet::{Reader, Wire, put_length, put_text};

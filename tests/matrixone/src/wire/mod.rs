//! The protocol of MySQL, as much of it as a server of MatrixOne needs.
//!
//! [`Wire`] is a connection with its packets, [`handshake`] who is at the other end, [`answer`] what they are told.
//! Written here because the crates for it know no error numbers above those of MySQL, and a client of MatrixOne must.
//! Invariant: every packet that is answered is answered with the sequence numbers the client expects.

pub(crate) mod answer;
pub(crate) mod handshake;
mod packet;

pub(crate) use packet::{Reader, Wire, put_length, put_text};

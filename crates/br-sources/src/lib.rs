//! What br can back up besides files.
//!
//! Each module connects one kind of system with the [`Source`](br_core::source::Source) and [`Sink`](br_core::sink::Sink) of `br-core`:
//! [`bundle`] the export bundles of `br-archive`, [`matrixone`] clusters of MatrixOne. To back up nothing but folders, this crate is not needed.

pub mod bundle;
pub mod matrixone;

//! Archives as MatrixOne writes them: made here, then checked, damaged, resolved and restored.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests end where something is not as expected, and tell their figures"
)]

mod bench;
mod broken;
mod chains;
mod hostile;
mod interrupted;
mod make;
mod restored;
mod stores;

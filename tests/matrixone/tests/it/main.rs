//! The tests of the simulated server, in one program.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml exempts test functions, not what they share"
)]

mod archives;
mod command_line;
mod faults;
mod golden;
mod statements;
mod support;

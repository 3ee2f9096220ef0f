//! What a command works with: its options, its repositories, its output, and when to stop.
//!
//! [`CommandContext`] in `command` is the shared state, `places` finds the repositories that options, variables and configuration files name.

mod command;
mod places;

pub(crate) use command::CommandContext;

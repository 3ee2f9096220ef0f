//! The br command.

/// m
pub fn main() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }

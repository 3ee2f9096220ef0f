//! The `br` program; the library contains everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    br_cli::main()
}

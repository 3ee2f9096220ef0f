//! The `br` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    br_cli::main()
}

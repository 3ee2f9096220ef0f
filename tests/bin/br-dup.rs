//! The br program once more, so that tests of this package can run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    br_cli::main()
}

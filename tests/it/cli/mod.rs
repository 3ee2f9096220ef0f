//! The program as a person or a script sees it: a file a command, and what holds for all of them.

use std::path::Path;

use br_testkit::BrCmd;

/// A br with a home, which is made.
pub(crate) fn br(home: &Path) -> BrCmd {
    std::fs::create_dir_all(home).unwrap();
    BrCmd::new(env!("CARGO_BIN_EXE_br-dup"), home).env("BR_CACHE_DIR", "cache")
}

/// Reads a JSON document.
pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

//! Environment variables. Invariant: an empty variable is the same as one that is not set, unless it holds or names a secret.

use std::ffi::OsString;

use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// The value of an environment variable, unchanged.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The value of an environment variable; `None` if it is empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The value of a variable that holds or names a secret. An empty one is an error: if a secret failed to expand, br must not
/// continue without it.
pub(crate) fn secret_variable(name: &str) -> Result<Option<OsString>, CommandError> {
    not_empty(name, std::env::var_os(name))
}

/// Refuses a variable that is set but empty.
pub(crate) fn not_empty(
    name: &str,
    value: Option<OsString>,
) -> Result<Option<OsString>, CommandError> {
    match value {
        Some(value) if value.is_empty() => Err(CommandError::new(
            ExitStatus::AccessDenied,
            format!("{name} is set but empty"),
            format!("set {name} to a value, or remove it with `unset {name}`"),
        )),
        value => Ok(value),
    }
}

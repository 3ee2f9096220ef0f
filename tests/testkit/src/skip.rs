//! Skips tests that need something that this machine may not have.

/// Says why a test was not run. With `CI_NO_SKIP=1` in the environment that is a failure.
///
/// # Panics
/// With `CI_NO_SKIP=1`.
#[expect(
    clippy::print_stderr,
    reason = "the user must see which tests are skipped"
)]
pub fn skip(why: &str) {
    let forbidden = std::env::var_os("CI_NO_SKIP").is_some_and(|value| value == "1");
    assert!(
        !forbidden,
        "this test must not be skipped here, and was: {why}"
    );
    eprintln!("skipped: {why}");
}

/// Says that a test takes too long to run by default. This is never a failure.
#[expect(
    clippy::print_stderr,
    reason = "the user must see which tests are skipped"
)]
pub fn skip_slow() {
    eprintln!("skipped: slow; set BR_SLOW_TESTS=1");
}

/// True when the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

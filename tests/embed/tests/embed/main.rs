//! One file for each use of the library.

mod cancel_resume;
mod errors;
mod own_sink;
mod own_source;
mod own_store;
mod progress;
mod random_access;
mod retention;

/// What a test returns, so that it can use `?` as a program does.
type TestResult = Result<(), Box<dyn std::error::Error>>;

//! br-core
#![allow(dead_code)]
pub mod model;
mod format;

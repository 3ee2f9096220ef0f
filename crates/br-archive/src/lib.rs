//! Portable export bundles: named, verifiable `tar.gz` archives, written and read without trust.
//!
//! A leaf of the workspace: it works on plain [`std::io::Read`] and [`std::io::Write`], and knows neither repositories nor an
//! async runtime. This version only fixes the names of bundles; the writer and the reader follow.
//!
//! ```
//! use br_archive::BundleName;
//!
//! let name = BundleName::new("br-export", "2026-11-20-08-13-00.250")?;
//! assert_eq!(name.file_name(), "br-export-2026-11-20-08-13-00.250.tar.gz");
//! # Ok::<_, br_archive::NameError>(())
//! ```

mod name;

pub use name::{BundleName, NameError};

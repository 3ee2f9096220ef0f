//! The target: the folder that a restore writes to, or the program that takes a file.
//!
//! [`CommandTarget`] is a program that reads the content of a file from its standard input, such as the client of a database. All else here is
//! about folders: [`LocalTarget`] is a folder on this machine, [`Cursor`] has the operations of one thread, [`NewFile`] and [`SharedFile`] are unfinished
//! files. Invariant: all operations stay inside the target's folder, whatever the entries and the existing files are. No symbolic link is
//! followed, except links to folders inside the target that [`LocalTarget::follow`] checked before anything was written.
//!
//! A file gets its name only when it is complete. Until then it has a name of the form `.br-0123456789abcdef` in the same folder. The
//! first eight digits are those of the record `.br-01234567-restore`: with the record, a later restore finds and removes the unfinished
//! files of a killed one. Only `unix` depends on the operating system.

mod command;
mod error;
mod metadata;
mod unix;

pub use command::{CommandTarget, CommandTargetError};
pub use error::TargetError;
pub use metadata::{MetadataOptions, MetadataWarning, Refused};
pub use unix::{Cursor, Existing, LocalTarget, NewFile, SharedFile};
pub(crate) use unix::{may_set_owner, user};

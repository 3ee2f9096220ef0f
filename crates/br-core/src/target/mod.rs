//! Where a restore writes.
//!
//! [`LocalTarget`] is a folder of this machine, a [`Cursor`] is what one thread writes with, [`NewFile`] and [`SharedFile`]
//! are files that take shape. Invariant: everything happens beneath the target's folder, whatever the entries say and
//! whatever is there already. No symbolic link is followed but those to folders beneath the target that
//! [`LocalTarget::follow`] looked at before anything was written.
//!
//! Files appear under their name once they are whole: until then they have a name of the form `.br-0123456789abcdef` in
//! the same folder. Its first eight digits are those of the record `.br-01234567-restore`, by which a later restore finds and
//! removes what a dead one left. Only `unix` depends on the operating system.

mod error;
mod metadata;
mod unix;

pub use error::TargetError;
pub use metadata::{MetadataOptions, Refused, Warning};
pub use unix::{Cursor, Existing, LocalTarget, NewFile, SharedFile};
pub(crate) use unix::{may_set_owner, user};

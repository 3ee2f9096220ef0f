//! Where a restore writes.
//!
//! [`LocalTarget`] is a folder of this machine, a [`Cursor`] is what one thread writes with, [`NewFile`] and [`SharedFile`]
//! are files that take shape. Invariant: everything happens beneath the target's folder, whatever the entries say and
//! whatever lies there already. No symbolic link beneath it is ever followed.
//!
//! Files appear under their name once they are whole: until then they have a name of the form `.br-0123456789abcdef` in
//! the same folder. All that differs between systems lies in `unix`.

mod error;
mod metadata;
mod unix;

pub use error::TargetError;
pub use metadata::{MetadataOptions, Refused, Warning};
pub(crate) use unix::may_set_owner;
pub use unix::{Cursor, Existing, LocalTarget, NewFile, SharedFile};

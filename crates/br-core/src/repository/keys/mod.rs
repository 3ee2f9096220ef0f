//! The keys of an encrypted repository: passwords and recipients, and the master keys behind them.
//!
//! A [`Key`] is a key slot, which one password or one recipient opens. Invariant: a log entry removes a key before its object is deleted, and no process
//! removes the key that it opened the repository with. So two processes cannot remove the last two keys.

mod change;
mod key;
mod rotate;
pub(super) mod slots;

pub(super) use key::check_new_password;
pub use key::{Key, MasterKeyChange, NewKey};

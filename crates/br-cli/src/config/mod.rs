//! Configuration files: `br.toml`.
//!
//! [`Config::load`] reads them. `document` turns the text of a file into settings, `grammar` knows the sections and their keys, `hooks` the commands of a set, `load` finds and
//! merges the files, `names` checks what sections say about each other, `portable` makes the copy that a backup keeps, `settings` has the result, `schema` writes the grammar for editors, `reference` the references to secrets. Invariant: every setting is understood and has its place in a file, or is
//! a [`Problem`].
//!
//! The keys of a command's section are the long options of the command, so the grammar comes from clap.

mod document;
mod grammar;
mod hooks;
mod load;
mod names;
mod portable;
mod problem;
mod reference;
mod schema;
mod settings;

pub(crate) use document::{Setting, Value};
pub(crate) use hooks::{HookCommand, Hooks};
pub(crate) use load::default_files;
pub(crate) use names::{place_of, texts_of};
pub(crate) use problem::{Place, Problem};
pub(crate) use reference::SecretReference;
pub(crate) use schema::schema;
pub(crate) use settings::{BackupSet, Config, NamedRepository, words};

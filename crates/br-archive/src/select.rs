//! Selection of a part of a bundle: by path, by table set, by root key.
//!
//! [`Selection`] says which part. Invariant: an empty selection selects everything, and a selection has the same meaning in every
//! operation.

use br_emqx::table_sets;

use crate::path::MemberPath;

/// The path of the configuration in a bundle of EMQX.
pub const CONFIG_PATH: &str = "cluster.hocon";
/// The path of the file that contains version and edition.
pub const META_PATH: &str = "META.hocon";

/// Which members an operation uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selection {
    /// These paths and everything below them; all if empty.
    pub paths: Vec<MemberPath>,
    /// Only tables of these table sets, such as `banned`; all if `None`.
    pub table_sets: Option<Vec<String>>,
    /// Only these root keys of the configuration, such as `mqtt`; all if `None`.
    pub root_keys: Option<Vec<String>>,
}

impl Selection {
    /// Sets the paths.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<MemberPath>) -> Self {
        self.paths = paths;
        self
    }

    /// Sets the table sets.
    #[must_use]
    pub fn with_table_sets(mut self, sets: Option<Vec<String>>) -> Self {
        self.table_sets = sets;
        self
    }

    /// Sets the root keys.
    #[must_use]
    pub fn with_root_keys(mut self, keys: Option<Vec<String>>) -> Self {
        self.root_keys = keys;
        self
    }

    /// True if it selects everything.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.paths.is_empty() && self.table_sets.is_none() && self.root_keys.is_none()
    }

    /// True if it selects the member or a part of it. `META.hocon` is always selected.
    #[must_use]
    pub fn takes(&self, path: &MemberPath) -> bool {
        if path.as_str() == META_PATH {
            return true;
        }
        let by_path =
            self.paths.is_empty() || self.paths.iter().any(|wanted| path.is_within(wanted));
        by_path && self.takes_table(path)
    }

    fn takes_table(&self, path: &MemberPath) -> bool {
        let (Some(sets), Some(table)) = (&self.table_sets, table_name(path)) else {
            return true;
        };
        table_sets::set_of(table).is_some_and(|set| sets.iter().any(|wanted| wanted == set))
    }
}

/// The name of the table, if the path is `mnesia/<table>`.
#[must_use]
pub fn table_name(path: &MemberPath) -> Option<&str> {
    let name = path.as_str().strip_prefix("mnesia/")?;
    (!name.contains('/')).then_some(name)
}

/// True if the path is a configuration: `cluster.hocon` or `ns/<namespace>/cluster.hocon`.
#[must_use]
pub fn is_config(path: &MemberPath) -> bool {
    path.as_str() == CONFIG_PATH || namespace(path).is_some()
}

/// The namespace of the configuration at this path.
#[must_use]
pub fn namespace(path: &MemberPath) -> Option<&str> {
    let rest = path.as_str().strip_prefix("ns/")?;
    let (namespace, name) = rest.split_once('/')?;
    (name == CONFIG_PATH).then_some(namespace)
}

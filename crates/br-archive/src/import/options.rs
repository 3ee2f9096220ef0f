//! Options of an import.

use br_emqx::rules::Node;

use crate::limits::Limits;
use crate::select::Selection;

/// Options of an import.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Which members are imported.
    pub selection: Selection,
    /// The limits on what the bundle contains.
    pub limits: Limits,
    /// The EMQX node that the folder belongs to. If `None`, the folder's `META.hocon` says which bundles are accepted.
    pub node: Option<Node>,
    /// Change nothing.
    pub dry_run: bool,
    /// Wait until everything new is on disk before the folder changes.
    pub sync: bool,
    /// A random number for the name of the staging folder.
    pub id: u64,
}

impl ImportOptions {
    /// The defaults: import everything, wait for the disk.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            selection: Selection::default(),
            limits: Limits::default(),
            node: None,
            dry_run: false,
            sync: true,
            id,
        }
    }

    /// Sets the selection.
    #[must_use]
    pub fn with_selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the node.
    #[must_use]
    pub fn with_node(mut self, node: Option<Node>) -> Self {
        self.node = node;
        self
    }

    /// Makes it a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets whether to wait for the disk.
    #[must_use]
    pub const fn with_sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }
}

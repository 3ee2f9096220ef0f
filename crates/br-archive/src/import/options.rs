//! How a bundle is imported.

use br_emqx::rules::Node;

use crate::limits::Limits;
use crate::select::Selection;

/// How a bundle is imported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// What is taken.
    pub selection: Selection,
    /// What the bundle may ask for.
    pub limits: Limits,
    /// The EMQX node that the folder belongs to. Without it the folder's `META.hocon` says which bundles are welcome.
    pub node: Option<Node>,
    /// Change nothing.
    pub dry_run: bool,
    /// Wait until everything new is on disk before the folder changes.
    pub sync: bool,
    /// A random number, for the name of the folder in which everything takes shape.
    pub id: u64,
}

impl ImportOptions {
    /// The defaults: everything, for good.
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

    /// Sets what is taken.
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

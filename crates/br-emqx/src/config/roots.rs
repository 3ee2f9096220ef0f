//! The roots of a configuration, and how EMQX imports each.
//!
//! [`ROOTS`] is the table. Invariant: an import ignores a root that is not in it, without an error.

use std::borrow::Cow;

use crate::hocon::{Object, Value};
use crate::rules::{Refusal, Version};
use crate::table_sets::Release;

/// How EMQX imports a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Its name.
    pub name: &'static str,
    /// How it is imported.
    pub import: Import,
    /// The first release that imports it, if earlier ones ignored it.
    pub since: Option<Release>,
    /// The first release that no longer imports it.
    pub until: Option<Release>,
}

/// How a root is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// The import replaces the old value.
    Replaced,
    /// The import replaces the old value, with an importer for this root.
    ReplacedByOwner,
    /// Parts of it are merged with the old value.
    Merged {
        /// The parts.
        parts: &'static [Part],
        /// What the import does with the rest.
        rest: Rest,
    },
    /// EMQX ignores it without an error.
    Ignored,
}

/// A part of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The key below the root, or `None` for the root itself.
    pub key: Option<&'static str>,
    /// How it is merged.
    pub merge: Merge,
    /// Whether the root is ignored as a whole when this part is missing.
    pub needed: bool,
}

/// How a part is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Objects of names: values with names of this depth are replaced as a whole, other names stay.
    Names {
        /// Number of keys in a name: 2 for type and name.
        depth: usize,
    },
    /// A list: elements of the same identity are replaced in place, new ones are appended, others stay.
    List(Identity),
    /// Objects are merged recursively.
    Deep,
    /// It is replaced.
    Replaced,
}

/// What the import does with the keys of a root that are in no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// They are replaced: keys that the bundle lacks are removed.
    Replaced,
    /// They are ignored.
    Ignored,
}

/// How to match elements of two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The mechanism and the backend of an authenticator.
    Authenticator,
    /// The text of a key.
    Key(&'static str),
}

impl Identity {
    /// Returns the identity of an element.
    #[must_use]
    pub fn of(self, item: &Value) -> Option<Cow<'_, str>> {
        let object = item.as_object()?;
        let text = |key| object.get(key).and_then(Value::as_text);
        match self {
            Self::Key(key) => text(key).map(Into::into),
            Self::Authenticator => match (text("mechanism")?, text("backend")) {
                (mechanism, Some(backend)) => Some(format!("{mechanism}:{backend}").into()),
                (mechanism, None) => Some(mechanism.into()),
            },
        }
    }
}

const fn root(name: &'static str, import: Import) -> Root {
    Root {
        name,
        import,
        since: None,
        until: None,
    }
}

const fn replaced(name: &'static str) -> Root {
    root(name, Import::Replaced)
}

const fn owned(name: &'static str) -> Root {
    root(name, Import::ReplacedByOwner)
}

const fn merged(name: &'static str, parts: &'static [Part]) -> Root {
    let rest = Rest::Replaced;
    root(name, Import::Merged { parts, rest })
}

const fn part(key: &'static str, merge: Merge) -> Part {
    Part {
        key: Some(key),
        merge,
        needed: false,
    }
}

const fn needed(key: &'static str, merge: Merge) -> Part {
    Part {
        needed: true,
        ..part(key, merge)
    }
}

const fn whole(merge: Merge) -> Part {
    Part {
        key: None,
        merge,
        needed: false,
    }
}

const BY_NAME: Merge = Merge::List(Identity::Key("name"));
const BY_TOPIC: Merge = Merge::List(Identity::Key("topic"));
const TYPE_AND_NAME: &[Part] = &[whole(Merge::Names { depth: 2 })];
const ONE_NAME: &[Part] = &[whole(Merge::Names { depth: 1 })];

/// All roots that EMQX imports. A root comes after the roots that it needs: connectors, then actions and sources, then rules.
pub const ROOTS: &[Root] = &[
    replaced("delayed"),
    replaced("rewrite"),
    replaced("retainer"),
    replaced("mqtt"),
    replaced("alarm"),
    replaced("sysmon"),
    replaced("sys_topics"),
    replaced("limiter"),
    replaced("log"),
    replaced("persistent_session_store"),
    // Its name before 5.7; later releases do not accept it.
    Root {
        since: Some((5, 5, 0)),
        until: Some((5, 7, 0)),
        ..replaced("session_persistence")
    },
    replaced("durable_sessions"),
    replaced("prometheus"),
    replaced("crl_cache"),
    replaced("conn_congestion"),
    replaced("force_shutdown"),
    replaced("flapping_detect"),
    replaced("broker"),
    replaced("force_gc"),
    replaced("zones"),
    Root {
        since: Some((5, 1, 2)),
        ..replaced("slow_subs")
    },
    root(
        "cluster",
        Import::Merged {
            parts: &[part("links", Merge::Replaced)],
            rest: Rest::Ignored,
        },
    ),
    merged(
        "authentication",
        &[whole(Merge::List(Identity::Authenticator))],
    ),
    merged(
        "authorization",
        &[part("sources", Merge::List(Identity::Key("type")))],
    ),
    merged("connectors", TYPE_AND_NAME),
    merged("actions", TYPE_AND_NAME),
    Root {
        since: Some((5, 6, 1)),
        ..merged("sources", TYPE_AND_NAME)
    },
    // The predecessor of connectors, actions and sources; newer nodes convert it.
    merged("bridges", TYPE_AND_NAME),
    merged("schema_registry", &[needed("schemas", Merge::Deep)]),
    merged(
        "message_transformation",
        &[part("transformations", BY_NAME)],
    ),
    merged("schema_validation", &[part("validations", BY_NAME)]),
    merged(
        "ai",
        &[
            part("providers", BY_NAME),
            part("completion_profiles", BY_NAME),
        ],
    ),
    // A typing error in 5.1.0 and 5.1.1 disables its importer.
    Root {
        since: Some((5, 1, 2)),
        ..merged("rule_engine", &[needed("rules", Merge::Names { depth: 1 })])
    },
    merged("listeners", TYPE_AND_NAME),
    merged("gateway", ONE_NAME),
    merged("exhook", &[needed("servers", BY_NAME)]),
    merged("auto_subscribe", &[needed("topics", BY_TOPIC)]),
    Root {
        since: Some((5, 1, 2)),
        ..merged("topic_metrics", &[whole(BY_TOPIC)])
    },
    merged("file_transfer", ONE_NAME),
    merged("durable_queues", ONE_NAME),
    owned("psk_authentication"),
    Root {
        since: Some((5, 7, 0)),
        ..owned("license")
    },
    owned("multi_tenancy"),
];

/// Returns how a root is imported by a node, or by the newest one.
#[must_use]
pub fn import_of(name: &str, node: Option<&Version>) -> Import {
    let Some(root) = ROOTS.iter().find(|root| root.name == name) else {
        return Import::Ignored;
    };
    // Without a node, assume the newest.
    let has_reached = |release| node.is_none_or(|node| node.is_since(release));
    let is_imported = root.since.is_none_or(has_reached) && !root.until.is_some_and(has_reached);
    if is_imported {
        root.import
    } else {
        Import::Ignored
    }
}

/// Roots that EMQX has but does not import. An export accepts these and the [`ROOTS`].
const OTHER_ROOTS: &[&str] = &[
    "a2a_registry",
    "alarms",
    "api_key",
    "audit",
    "banned",
    "client_attrs",
    "cluster_link",
    "dashboard",
    "durable_storage",
    "gcp_device",
    "mq",
    "namespace",
    "node",
    "node_rebalance",
    "opentelemetry",
    "overload_protection",
    "plugins",
    "quic",
    "rpc",
    "stats",
    "statsd",
    "streams",
    "telemetry",
    "trace",
    "username_quota",
];

/// True if EMQX has a root of this name, whether it imports it or not.
#[must_use]
pub fn is_root(name: &str) -> bool {
    ROOTS.iter().any(|root| root.name == name) || OTHER_ROOTS.contains(&name)
}

/// Returns the names of a configuration's roots, in their order.
#[must_use]
pub fn roots(config: &Object) -> Vec<&str> {
    config.keys().collect()
}

/// Returns only these roots of a configuration, in its order.
///
/// # Errors
/// [`Refusal::UnknownRootKeys`] with all names that the configuration does not have.
pub fn select_roots(config: &Object, roots: &[impl AsRef<str>]) -> Result<Object, Refusal> {
    let names: std::collections::BTreeSet<&str> = roots.iter().map(AsRef::as_ref).collect();
    let unknown = names.iter().filter(|name| !config.contains_key(name));
    let keys: Vec<String> = unknown.map(|&name| name.to_owned()).collect();
    if !keys.is_empty() {
        return Err(Refusal::UnknownRootKeys { keys });
    }
    let selected = config.iter().filter(|(name, _)| names.contains(name));
    Ok(selected
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect())
}

//! Compares definitions.
//!
//! It knows the kinds of objects in [`KINDS`]. Invariant: the order of objects and of keys means nothing, and what only the server has is no difference, because an import merges.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// The most characters of a value in a difference.
const SHOWN: usize = 60;
/// The name that an import may give a server, and need not.
const CLUSTER_ID: &str = "internal_cluster_id";

/// The type that a queue has if its definition names none.
const CLASSIC: &str = "classic";

/// A kind of object in definitions.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// What people call it.
    name: &'static str,
    /// Its list in the definitions.
    list: &'static str,
    /// The keys that identify an object.
    identity: &'static [&'static str],
    /// Its values may be shown: they have no passwords.
    is_public: bool,
}

const KINDS: [Kind; 10] = [
    Kind::new("virtual host", "vhosts", &["name"], true),
    Kind::new("user", "users", &["name"], false),
    Kind::new("permission", "permissions", &["user", "vhost"], true),
    Kind::new(
        "topic permission",
        "topic_permissions",
        &["user", "vhost", "exchange"],
        true,
    ),
    Kind::new("global parameter", "global_parameters", &["name"], false),
    // Parameters of federation and shovel have addresses with passwords.
    Kind::new(
        "parameter",
        "parameters",
        &["name", "vhost", "component"],
        false,
    ),
    Kind::new("policy", "policies", &["name", "vhost"], true),
    Kind::new("queue", "queues", &["name", "vhost"], true),
    Kind::new("exchange", "exchanges", &["name", "vhost"], true),
    Kind::new(
        "binding",
        "bindings",
        &[
            "source",
            "vhost",
            "destination_type",
            "destination",
            "routing_key",
            "arguments",
        ],
        true,
    ),
];

impl Kind {
    const fn new(
        name: &'static str,
        list: &'static str,
        identity: &'static [&'static str],
        is_public: bool,
    ) -> Self {
        Self {
            name,
            list,
            identity,
            is_public,
        }
    }
}

/// Something that the definitions have, and that the server does not have, or has differently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is, such as `queue`.
    pub kind: String,
    /// Its name, and in which virtual host it is.
    pub name: String,
    /// What differs, such as `missing`. It has no passwords.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.what)
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many objects the definitions have.
    pub objects: u64,
    /// What the server does not have as the definitions have it.
    pub differences: Vec<Difference>,
    /// How many objects only the server has. An import leaves them alone.
    pub others: u64,
    /// The version that the definitions are from, if its first two numbers are higher than those of the server.
    pub newer: Option<String>,
}

/// Definitions, by kind and identity.
#[derive(Debug)]
pub(super) struct Definitions {
    version: String,
    objects: BTreeMap<(usize, String), Map<String, Value>>,
}

impl Definitions {
    /// Reads definitions; the error says what is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let parsed = serde_json::from_slice::<Map<String, Value>>(bytes);
        let all = parsed.map_err(|error| format!("it is no whole JSON object ({error})"))?;
        let version = ["rabbitmq_version", "rabbit_version"]
            .iter()
            .find_map(|key| all.get(*key)?.as_str());
        let Some(version) = version else {
            return Err(
                "it has no `rabbit_version`, so these are no definitions of a whole server"
                    .to_owned(),
            );
        };
        let mut objects = BTreeMap::new();
        for (at, kind) in KINDS.iter().enumerate() {
            let list = all.get(kind.list).and_then(Value::as_array);
            for object in list.into_iter().flatten().filter_map(Value::as_object) {
                if kind.list == "global_parameters" && text(object, "name") == CLUSTER_ID {
                    continue;
                }
                let identity = kind.identity.iter().map(|key| exact(object.get(*key)));
                let identity = identity.collect::<Vec<_>>().join("\n");
                objects.insert((at, identity), object.clone());
            }
        }
        Ok(Self {
            version: version.to_owned(),
            objects,
        })
    }

    /// What `now` lacks or has differently.
    pub(super) fn compare(&self, now: &Self) -> Imported {
        let mut differences = Vec::new();
        for (key, object) in &self.objects {
            let kind = &KINDS[key.0];
            let difference = |what: String| Difference {
                kind: kind.label(object),
                name: kind.label_of_name(object),
                what,
            };
            match now.objects.get(key) {
                // An exclusive queue ends with its connection. Some versions export only its bindings.
                None if kind.list == "bindings" && !self.has_destination(object) => {}
                None => differences.push(difference("missing".to_owned())),
                Some(now) => {
                    let what = kind.compare(object, now);
                    if !what.is_empty() {
                        differences.push(difference(what.join(", ")));
                    }
                }
            }
        }
        let others = now
            .objects
            .keys()
            .filter(|key| !self.objects.contains_key(*key))
            .count();
        Imported {
            objects: self.objects.len() as u64,
            differences,
            others: others as u64,
            newer: (series(&self.version) > series(&now.version)).then(|| self.version.clone()),
        }
    }

    /// False if a binding leads to a queue that the definitions do not have.
    fn has_destination(&self, binding: &Map<String, Value>) -> bool {
        if text(binding, "destination_type") != "queue" {
            return true;
        }
        let identity = ["destination", "vhost"].map(|key| exact(binding.get(key)));
        let queues = KINDS.iter().position(|kind| kind.list == "queues");
        queues.is_some_and(|at| self.objects.contains_key(&(at, identity.join("\n"))))
    }
}

impl Kind {
    /// The kind of one object.
    fn label(&self, object: &Map<String, Value>) -> String {
        match (self.list, text(object, "component")) {
            ("parameters", "operator_policy") => "operator policy".to_owned(),
            ("parameters", component) => format!("parameter of {component}"),
            _ => self.name.to_owned(),
        }
    }

    fn label_of_name(&self, object: &Map<String, Value>) -> String {
        let of = |key: &str| text(object, key);
        match self.list {
            "vhosts" | "users" | "global_parameters" => format!("`{}`", of("name")),
            "permissions" => format!("of `{}` in `{}`", of("user"), of("vhost")),
            "topic_permissions" => format!(
                "of `{}` for `{}` in `{}`",
                of("user"),
                of("exchange"),
                of("vhost")
            ),
            "bindings" => format!(
                "from `{}` to {} `{}` in `{}`, routing key `{}`",
                of("source"),
                of("destination_type"),
                of("destination"),
                of("vhost"),
                of("routing_key")
            ),
            _ => format!("`{}` in `{}`", of("name"), of("vhost")),
        }
    }

    /// What differs between an object of a backup and that of a server.
    fn compare(&self, backup: &Map<String, Value>, now: &Map<String, Value>) -> Vec<String> {
        let mut out = Vec::new();
        for (key, value) in backup {
            let (value, now) = (self.normal(key, value), now.get(key));
            let now = now.map(|now| self.normal(key, now));
            self.compare_values(key, Some(&value), now.as_ref(), &mut out);
        }
        out
    }

    fn compare_values(
        &self,
        name: &str,
        backup: Option<&Value>,
        now: Option<&Value>,
        out: &mut Vec<String>,
    ) {
        if canonical(backup) == canonical(now) {
            return;
        }
        if !self.is_public {
            out.push(format!("{name} differs"));
            return;
        }
        if let (Some(Value::Object(backup)), Some(Value::Object(now))) = (backup, now) {
            for (key, value) in backup {
                self.compare_values(key, Some(value), now.get(key), out);
            }
            // Newer servers add properties of virtual hosts.
            let added = now.iter().filter(|(key, _)| !backup.contains_key(*key));
            for (key, value) in added.filter(|_| self.list != "vhosts") {
                self.compare_values(key, None, Some(value), out);
            }
            return;
        }
        out.push(format!("{name} is {}, not {}", shown(now), shown(backup)));
    }

    /// A value without what means nothing.
    fn normal(&self, key: &str, value: &Value) -> Value {
        match (self.list, key, value) {
            // Old versions have tags as one text.
            ("users", "tags", Value::String(tags)) => {
                let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                sorted(tags.map(Value::from).collect())
            }
            ("users" | "vhosts", "tags", Value::Array(tags)) => sorted(tags.clone()),
            // Newer versions write this type too; older versions leave it out.
            ("queues", "arguments", Value::Object(arguments)) => {
                without_classic(arguments, "x-queue-type")
            }
            ("vhosts", "metadata", Value::Object(metadata)) => {
                without_classic(metadata, "default_queue_type")
            }
            ("vhosts", "default_queue_type", Value::String(kind)) if kind == CLASSIC => Value::Null,
            _ => value.clone(),
        }
    }
}

fn without_classic(object: &Map<String, Value>, key: &str) -> Value {
    let mut object = object.clone();
    if text(&object, key) == CLASSIC {
        object.remove(key);
    }
    Value::Object(object)
}

fn sorted(mut items: Vec<Value>) -> Value {
    items.sort_by_key(|item| canonical(Some(item)));
    Value::Array(items)
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A part of an identity as text. No arguments are the same as empty ones.
fn exact(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::Object(object)) if object.is_empty() => String::new(),
        Some(Value::Object(object)) => {
            let entries = object.iter().map(|(key, value)| (key, exact(Some(value))));
            format!("{:?}", entries.collect::<BTreeMap<_, _>>())
        }
        Some(Value::Array(items)) => {
            let items = items.iter().map(|item| exact(Some(item)));
            format!("{:?}", items.collect::<Vec<_>>())
        }
        Some(other) => other.to_string(),
    }
}

/// A value as text that is the same for equal values. Nothing, an empty value and `undefined` are equal.
fn canonical(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text == "undefined" => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) => float.to_string(),
            _ => number.to_string(),
        },
        Some(Value::Array(items)) if items.is_empty() => String::new(),
        Some(Value::Array(items)) => {
            let items = items.iter().map(|item| canonical(Some(item)));
            format!("{:?}", items.collect::<Vec<_>>())
        }
        Some(Value::Object(object)) => {
            let entries = object
                .iter()
                .map(|(key, value)| (key, canonical(Some(value))));
            let entries: BTreeMap<_, _> = entries.filter(|(_, text)| !text.is_empty()).collect();
            if entries.is_empty() {
                return String::new();
            }
            format!("{entries:?}")
        }
        Some(other) => other.to_string(),
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "absent".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The first two numbers of a version.
fn series(version: &str) -> (u64, u64) {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0));
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(kind: &str, backup: Value, now: Value) -> Vec<String> {
        let of = |object: Value| {
            let all = json!({"rabbit_version": "3.10.8", kind: [object]});
            Definitions::parse(all.to_string().as_bytes()).unwrap()
        };
        let imported = of(backup).compare(&of(now));
        let texts = imported.differences.iter().map(ToString::to_string);
        texts.collect()
    }

    #[test]
    fn what_means_the_same_is_no_difference() {
        for (kind, backup, now) in [
            (
                "users",
                json!({"name": "a", "tags": "b,a"}),
                json!({"name": "a", "tags": ["a", "b"], "limits": {}}),
            ),
            (
                "users",
                json!({"name": "a", "tags": "", "limits": {}}),
                json!({"name": "a", "tags": []}),
            ),
            (
                "vhosts",
                json!({"name": "/", "metadata": {"tags": []}}),
                json!({"name": "/", "metadata": {"description": "", "tags": [], "default_queue_type": "classic"}}),
            ),
            (
                "vhosts",
                json!({"name": "/", "default_queue_type": "classic", "metadata": {"description": "", "default_queue_type": "classic"}, "limits": []}),
                json!({"name": "/"}),
            ),
            (
                "vhosts",
                json!({"name": "/", "default_queue_type": "undefined"}),
                json!({"name": "/"}),
            ),
            (
                "queues",
                json!({"name": "q", "vhost": "/", "arguments": {}}),
                json!({"name": "q", "vhost": "/", "type": "classic", "arguments": {"x-queue-type": "classic"}}),
            ),
            (
                "exchanges",
                json!({"name": "e", "vhost": "/", "arguments": {"a": 1.0, "b": [1, {"x": "y", "z": 2}]}}),
                json!({"name": "e", "vhost": "/", "arguments": {"b": [1, {"z": 2, "x": "y"}], "a": 1}}),
            ),
            (
                "bindings",
                json!({"source": "e", "vhost": "/", "destination_type": "queue", "destination": "exclusive"}),
                json!({}),
            ),
            (
                "global_parameters",
                json!({"name": "internal_cluster_id", "value": "a"}),
                json!({"name": "internal_cluster_id", "value": "b"}),
            ),
        ] {
            let found = compared(kind, backup.clone(), now);
            assert!(found.is_empty(), "{kind} {backup}: {found:?}");
        }
    }

    #[test]
    fn a_difference_says_what_differs_and_shows_no_secret() {
        for (kind, backup, now, expected) in [
            (
                "queues",
                json!({"name": "q", "vhost": "/", "durable": true, "arguments": {"x-max-length": 5}}),
                json!({"name": "q", "vhost": "/", "durable": false, "arguments": {"x-queue-type": "quorum"}}),
                "queue `q` in `/`: x-max-length is absent, not 5, x-queue-type is `quorum`, not absent, durable is false, not true",
            ),
            (
                "queues",
                json!({"name": "q", "vhost": "a"}),
                json!({"name": "q", "vhost": "b"}),
                "queue `q` in `a`: missing",
            ),
            (
                "vhosts",
                json!({"name": "v", "default_queue_type": "quorum", "metadata": {"description": "d"}}),
                json!({"name": "v", "default_queue_type": "classic", "metadata": {"description": "", "tags": ["t"]}}),
                "virtual host `v`: default_queue_type is absent, not `quorum`, description is ``, not `d`",
            ),
            (
                "exchanges",
                json!({"name": "e", "vhost": "/", "type": "topic"}),
                json!({"name": "e", "vhost": "/", "type": "fanout"}),
                "exchange `e` in `/`: type is `fanout`, not `topic`",
            ),
            (
                "users",
                json!({"name": "a", "password_hash": "SECRET", "tags": ["b"]}),
                json!({"name": "a", "password_hash": "OTHER", "tags": []}),
                "user `a`: password_hash differs, tags differs",
            ),
            (
                "parameters",
                json!({"name": "up", "vhost": "/", "component": "shovel", "value": {"uri": "amqp://u:SECRET@h"}}),
                json!({"name": "up", "vhost": "/", "component": "shovel", "value": {"uri": "amqp://h"}}),
                "parameter of shovel `up` in `/`: value differs",
            ),
            (
                "bindings",
                json!({"source": "e", "vhost": "/", "destination_type": "exchange", "destination": "f", "routing_key": "k"}),
                json!({}),
                "binding from `e` to exchange `f` in `/`, routing key `k`: missing",
            ),
            (
                "permissions",
                json!({"user": "u", "vhost": "/", "read": "a"}),
                json!({"user": "u", "vhost": "/", "read": ""}),
                "permission of `u` in `/`: read is ``, not `a`",
            ),
        ] {
            assert_eq!(compared(kind, backup, now), [expected]);
        }
    }

    #[test]
    fn what_only_the_server_has_is_counted() {
        let of = |text: &str| Definitions::parse(text.as_bytes()).unwrap();
        let backup =
            of(r#"{"rabbitmq_version": "4.1.0", "queues": [{"name": "a", "vhost": "/"}]}"#);
        let now = of(
            r#"{"rabbitmq_version": "3.10.8", "users": [{"name": "u"}], "queues": [{"name": "b", "vhost": "/"}, {"name": "a", "vhost": "/"}]}"#,
        );
        let imported = backup.compare(&now);
        assert_eq!((imported.objects, imported.others), (1, 2));
        assert_eq!(imported.differences, []);
        assert_eq!(imported.newer.as_deref(), Some("4.1.0"));
        assert_eq!(now.compare(&backup).newer, None);
    }

    #[test]
    fn what_is_no_definitions_is_refused() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"queues": []}"#,
            r#"{"rabbit_version": "3.1"} x"#,
        ] {
            assert!(Definitions::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

//! What a server lacks for a good backup.

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Limits, OVERVIEW};
use super::options::RabbitMqOptions;
use super::probe::{ADMINISTRATOR, has_tag, json, tags};
use crate::server::{Examine, Finding, Fix, MissingRights, ServerError, Topic};

/// Where the statements are typed.
const PLACE: &str = "in a shell on the machine of the server, as root";
/// What to do with messages.
const KEEP_MESSAGES: &str = "to keep messages, let the programs that read them finish, or stop the server and back up its data folder";

impl Examine for RabbitMqOptions {
    fn folder(&self) -> &'static str {
        "rabbitmq"
    }

    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding> {
        if let Err(error) = self.check() {
            let fix = "correct --rabbitmq-user";
            return vec![Finding::of_error(Topic::Connection, &error, fix)];
        }
        let api = Api {
            options: self.clone(),
            limits: Limits::default(),
        };
        let ask = |path: &str| json(&api, path, cancel);
        let mut found: Vec<Finding> = self.encryption().into_iter().collect();
        let overview = match ask(OVERVIEW) {
            Ok(overview) => overview,
            Err(error) => {
                found.push(self.refused(&error));
                return found;
            }
        };
        found.push(self.connection(&overview));
        found.push(match ask("whoami") {
            Ok(who) => self.rights(&who),
            Err(error) => self.refused(&error),
        });
        match ask("nodes") {
            Ok(nodes) => found.extend(of_nodes(&nodes)),
            // The tag is missing, which is a finding already.
            Err(ServerError::NotPermitted { .. }) => {}
            Err(error) => found.push(Finding::of_error(Topic::State, &error, LOOK_AT_LOG)),
        }
        found.extend(messages(&overview));
        found
    }
}

/// What to do if nothing else is known.
const LOOK_AT_LOG: &str = "look at the log of the server";

impl RabbitMqOptions {
    fn encryption(&self) -> Option<Finding> {
        (self.address.is_plain() && !self.address.is_of_this_machine()).then(|| {
            let message = format!(
                "the connection to {} is not encrypted, so others on the network may read the password",
                self.address()
            );
            let fix = "use an address with https, or a tunnel such as `ssh -L`";
            Finding::advice(Topic::Connection, message, Fix::advice(fix))
        })
    }

    fn connection(&self, overview: &Value) -> Finding {
        let text = |key: &str| overview.get(key).and_then(Value::as_str);
        let Some(version) = text("rabbitmq_version") else {
            let error = ServerError::Answer {
                answer: "it has no version of RabbitMQ".to_owned(),
            };
            let fix = "check that the address is that of a management plugin of RabbitMQ";
            return Finding::of_error(Topic::Connection, &error, fix);
        };
        let message = format!(
            "RabbitMQ {version} at {} answers the user {} (cluster {})",
            self.address(),
            self.user,
            text("cluster_name").unwrap_or_default()
        );
        Finding::ok(Topic::Connection, message)
    }

    fn rights(&self, who: &Value) -> Finding {
        if has_tag(who, ADMINISTRATOR) {
            let message = format!("the user {} has the tag {ADMINISTRATOR}", self.user);
            return Finding::ok(Topic::Rights, message);
        }
        self.lacks_tag(&tags(who))
    }

    /// The server does not answer, or not this user.
    fn refused(&self, error: &ServerError) -> Finding {
        let fix = match error {
            // Without any tag, a user cannot even ask which ones it has.
            ServerError::NotPermitted { .. } => return self.lacks_tag(&[]),
            ServerError::Refused { .. } => {
                "correct --rabbitmq-user and --rabbitmq-password; the user guest may log in only from the machine of the server"
            }
            _ => {
                "start the server, enable the plugin with `rabbitmq-plugins enable rabbitmq_management`, or correct the address"
            }
        };
        Finding::of_error(Topic::Connection, error, fix)
    }

    /// `tags` are those that the user has, which the command would remove.
    fn lacks_tag(&self, tags: &[String]) -> Finding {
        let user = &self.user;
        let mut words = vec!["rabbitmqctl".to_owned(), "set_user_tags".to_owned()];
        words.push(user.clone());
        words.extend(tags.iter().cloned());
        words.push(ADMINISTRATOR.to_owned());
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let rights = vec![format!("tag {ADMINISTRATOR}")];
        let missing = MissingRights::new(rights, vec![words.join(" ")], PLACE);
        let message = format!(
            "the user {user} lacks the tag {ADMINISTRATOR}, so a backup fails: only a user with it can read all definitions"
        );
        Finding::problem(Topic::Rights, message, Fix::Grant(missing))
    }
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Which nodes run, and whether they have alarms.
fn of_nodes(nodes: &Value) -> Vec<Finding> {
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    let mut warn = |message: String, fix: &str| {
        found.push(Finding::warning(Topic::State, message, Fix::advice(fix)));
    };
    for node in nodes {
        let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
        let is = |key: &str| node.get(key) == Some(&Value::Bool(true));
        if !is("running") {
            warn(
                format!("the node {name} does not run"),
                "start it, or remove it from the cluster with `rabbitmqctl forget_cluster_node`",
            );
        }
        for (key, what) in [("mem_alarm", "memory"), ("disk_free_alarm", "disk space")] {
            if is(key) {
                warn(
                    format!("the node {name} has an alarm about {what}: it accepts no messages"),
                    "free memory or disk space on its machine, or let programs read the messages",
                );
            }
        }
        let partitions = node.get("partitions").and_then(Value::as_array);
        if partitions.is_some_and(|nodes| !nodes.is_empty()) {
            warn(
                format!(
                    "the node {name} had no connection to other nodes, and their data may differ"
                ),
                "choose the nodes to trust, and restart the others",
            );
        }
    }
    if found.is_empty() && !nodes.is_empty() {
        let message = match nodes.len() {
            1 => "its node runs without alarms".to_owned(),
            count => format!("all {count} nodes run without alarms"),
        };
        found.push(Finding::ok(Topic::State, message));
    }
    found
}

/// Messages are not in a backup.
fn messages(overview: &Value) -> Option<Finding> {
    let messages = overview.pointer("/queue_totals/messages");
    let count = messages
        .and_then(Value::as_u64)
        .filter(|count| *count > 0)?;
    let message =
        format!("messages in queues are not backed up, only the definitions are: {count}");
    Some(Finding::warning(
        Topic::Content,
        message,
        Fix::advice(KEEP_MESSAGES),
    ))
}

//! The users of a server, and what they may do.

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::probe::{RedisOptions, RedisServer};
use super::takeover::setting;
use crate::server::ServerError;

/// The users, one line each, in the form of a file of users. Passwords are hashes. `None` if the server does not tell.
pub(super) fn list(connection: &mut Connection) -> Option<String> {
    let reply = connection.ask(&["ACL", "LIST"]).ok()?;
    let lines = reply.list().iter().map(|user| user.text() + "\n");
    Some(lines.collect())
}

impl RedisServer {
    /// Sets the users of a server to those of a `users.acl`. Users who are not in it stay as they are.
    ///
    /// The server first checks all rules with a user of the name `br:check`, whom br deletes again. The user of this connection is set last: it may lose the right to
    /// set others. A server with a file of users writes it anew; a server without one forgets the change when it restarts, and the result says so.
    /// Connections that are logged in stay so.
    ///
    /// # Errors
    /// When the text has a line that is no user, or the server refuses a rule, both before the first change; and when the server does not answer.
    pub fn set_users(options: &RedisOptions, text: &str) -> Result<UsersSet, ServerError> {
        let mut users = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                ["user", name, rules @ ..] => users.push((*name, rules.to_vec())),
                _ => {
                    return Err(ServerError::BadOption {
                        what: "the file with the users".to_owned(),
                        reason: "it has a line that does not begin with `user NAME`".to_owned(),
                    });
                }
            }
        }
        if users.is_empty() {
            return Err(ServerError::BadOption {
                what: "the file with the users".to_owned(),
                reason: "it has no user".to_owned(),
            });
        }
        let mut connection = Connection::open(options, &CancellationToken::new())?;
        let checked = users
            .iter()
            .try_for_each(|(_, rules)| set(&mut connection, CHECK, rules, &["off"]));
        let deleted = connection.ask(&["ACL", "DELUSER", CHECK]);
        checked?;
        deleted?;
        let own = connection.ask(&["ACL", "WHOAMI"])?.text();
        // While this user still may.
        let has_file = !setting(&mut connection, "aclfile")
            .unwrap_or_default()
            .is_empty();
        users.sort_by_key(|(name, _)| *name == own);
        for (name, rules) in &users {
            set(&mut connection, name, rules, &[])?;
        }
        let is_saved = has_file && connection.ask(&["ACL", "SAVE"]).is_ok();
        // The settings of a server have a password for this one.
        let is_own = |name: &str| name == DEFAULT_USER;
        Ok(UsersSet {
            users: users.len(),
            is_kept: is_saved || users.iter().all(|(name, _)| is_own(name)),
        })
    }
}

/// The result of [`RedisServer::set_users`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsersSet {
    /// How many users were set.
    pub users: usize,
    /// False if the server forgets users when it restarts, because it has no file of users.
    pub is_kept: bool,
}

/// The user that every server has, and that a connection without a name gets.
pub(super) const DEFAULT_USER: &str = "default";

/// The user with whom the server checks rules. It never can log in, because it is switched off.
const CHECK: &str = "br:check";

/// Gives a user these rules and no others.
fn set(
    connection: &mut Connection,
    name: &str,
    rules: &[&str],
    more: &[&str],
) -> Result<(), ServerError> {
    // Without `reset`, the user would keep what the rules do not mention.
    let mut command = vec!["ACL", "SETUSER", name, "reset"];
    command.extend(rules);
    command.extend(more);
    connection.ask(&command).map(drop)
}

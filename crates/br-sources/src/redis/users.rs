//! The users of a server, and what they may do.

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::probe::{RedisOptions, RedisServer};
use crate::server::ServerError;

/// The users, one line each, in the form of a file of users. Passwords are hashes. `None` if the server does not tell.
pub(super) fn list(connection: &mut Connection) -> Option<String> {
    let reply = connection.ask(&["ACL", "LIST"]).ok()?;
    let lines = reply.list().iter().map(|user| user.text() + "\n");
    Some(lines.collect())
}

impl RedisServer {
    /// Sets the users of a server to those of a `users.acl`, and returns their number. Users who are not in it stay as they are.
    ///
    /// The server first checks all rules with a user of the name `br:check`, whom br deletes again. The user of this connection is set last: it may lose the right to
    /// set others. The change is in memory: a server with a file of users needs `ACL SAVE` to keep it. Connections that are logged in stay so.
    ///
    /// # Errors
    /// When the text has a line that is no user, or the server refuses a rule, both before the first change; and when the server does not answer.
    pub fn set_users(options: &RedisOptions, text: &str) -> Result<usize, ServerError> {
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
        let mut connection = Connection::open(options, &CancellationToken::new())?;
        let checked = users
            .iter()
            .try_for_each(|(_, rules)| set(&mut connection, CHECK, rules, &["off"]));
        let deleted = connection.ask(&["ACL", "DELUSER", CHECK]);
        checked?;
        deleted?;
        let own = connection.ask(&["ACL", "WHOAMI"])?.text();
        users.sort_by_key(|(name, _)| *name == own);
        for (name, rules) in &users {
            set(&mut connection, name, rules, &[])?;
        }
        Ok(users.len())
    }
}

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

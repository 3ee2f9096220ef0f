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
    /// The change is in memory: a server with a file of users needs `ACL SAVE` to keep it. Connections that are logged in stay so.
    ///
    /// # Errors
    /// When the text has a line that is no user, before the first change; and when the server does not answer or refuses a user.
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
        for (name, rules) in &users {
            // Without `reset`, the user would keep what the rules do not mention.
            let mut command = vec!["ACL", "SETUSER", name, "reset"];
            command.extend(rules);
            connection.ask(&command)?;
        }
        Ok(users.len())
    }
}

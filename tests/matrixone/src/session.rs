//! One connection from the first packet to the last.
//!
//! [`serve`] greets, checks the password, and answers statements. Invariant: an error of the protocol ends the connection,
//! an error of a statement does not.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use crate::job::Job;
use crate::record::{KillRecord, LoggedStatement, LoginRecord};
use crate::sql::{Expression, Item, SqlError, Statement, masked, parse};
use crate::state::{Session, Settings, State};
use crate::step::BackupError;
use crate::wire::Wire;
use crate::wire::answer::{self, Value};
use crate::wire::handshake::{self, DEPRECATE_EOF, Login, User};

/// The accounts of a fresh cluster that tools use.
const USERS: [&str; 2] = ["dump", "root"];

/// Serves a connection until it ends.
pub(crate) fn serve(state: &State, socket: TcpStream, connection: u32) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let session = Arc::new(Session::new(socket.try_clone()?));
    let sessions = || state.sessions.lock().unwrap();
    sessions().insert(connection, Arc::clone(&session));
    // The server may have stopped before this connection was registered.
    if state.is_stopping() {
        return Ok(());
    }
    let mut wire = Wire::new(socket);
    let result = greet(state, &mut wire, connection).and_then(|login| match login {
        Some((login, settings)) => Client {
            state,
            session: &session,
            wire: &mut wire,
            connection,
            user: login.user,
            deprecate_eof: login.deprecate_eof && !settings.old_eof,
        }
        .run(),
        None => Ok(()),
    });
    sessions().remove(&connection);
    session.disconnect();
    result
}

/// Reads and checks the login; `None` if it is refused.
fn greet(state: &State, wire: &mut Wire, connection: u32) -> io::Result<Option<(Login, Settings)>> {
    let settings = state.settings();
    let eof = if settings.old_eof { 0 } else { DEPRECATE_EOF };
    wire.write(&handshake::greeting(
        &settings.version.banner(),
        connection,
        eof,
    ))?;
    let Some(packet) = wire.read()? else {
        return Ok(None);
    };
    let mut login = Login::parse(&packet)?;
    if settings.switch_auth || !login.is_native {
        wire.write(&handshake::switch(connection))?;
        login.proof = wire.read()?.unwrap_or_default();
    }
    let accepted = is_let_in(&login, &settings, connection);
    state.record().logins.push(LoginRecord {
        connection,
        account: login.user.account.clone(),
        user: login.user.name.clone(),
        accepted,
        attributes: std::mem::take(&mut login.attributes),
    });
    if accepted {
        wire.write(&answer::ok())?;
        return Ok(Some((login, settings)));
    }
    let text = format!(
        "Access denied for user {}. internal error: check password failed",
        login.user.name
    );
    wire.write(&answer::error(1045, &text))?;
    Ok(None)
}

fn is_let_in(login: &Login, settings: &Settings, connection: u32) -> bool {
    let User { account, name } = &login.user;
    let known = if account == "sys" {
        USERS.contains(&name.as_str())
    } else {
        settings.accounts.contains(account)
    };
    let salt = handshake::salt(connection);
    known && login.proof == handshake::scramble(&settings.password, &salt)
}

/// A client that has logged in.
struct Client<'a> {
    state: &'a State,
    session: &'a Session,
    wire: &'a mut Wire,
    connection: u32,
    user: User,
    deprecate_eof: bool,
}

/// The answer to a statement.
enum Answer {
    Ok,
    Row(Vec<(String, Value)>),
    /// The connection ends without an answer.
    Nothing,
}

impl Client<'_> {
    fn run(&mut self) -> io::Result<()> {
        while let Some(packet) = self.wire.read()? {
            let (command, rest) = packet.split_first().ok_or(io::ErrorKind::InvalidData)?;
            match command {
                // Quit.
                0x01 => return Ok(()),
                // Select a database, ping, reset the connection.
                0x02 | 0x0e | 0x1f => self.wire.write(&answer::ok())?,
                // A statement.
                0x03 => {
                    if !self.query(&String::from_utf8_lossy(rest))? {
                        return Ok(());
                    }
                }
                // A statement to prepare.
                0x16 => {
                    let text = "not supported: prepared statements";
                    self.wire.write(&answer::error(20105, text))?;
                }
                _ => self.wire.write(&answer::error(1047, "unknown command"))?,
            }
        }
        Ok(())
    }

    /// Answers a statement, and returns whether the connection stays open.
    fn query(&mut self, sql: &str) -> io::Result<bool> {
        let number = {
            let mut record = self.state.record();
            record.statements.push(LoggedStatement {
                connection: self.connection,
                text: masked(sql),
                error: None,
            });
            record.statements.len() - 1
        };
        let packets = match self.execute(sql) {
            Ok(Answer::Ok) => vec![answer::ok()],
            Ok(Answer::Row(columns)) => answer::rows(&columns, self.deprecate_eof),
            Ok(Answer::Nothing) => return Ok(false),
            Err(error) => {
                self.state.record().statements[number].error = Some(error.code);
                vec![answer::error(error.code, &error.text)]
            }
        };
        self.wire.write_all(&packets)?;
        Ok(true)
    }

    fn execute(&self, sql: &str) -> Result<Answer, SqlError> {
        let version = self.state.settings().version;
        match parse(sql, version)? {
            Statement::Nothing => Ok(Answer::Ok),
            Statement::Kill { query, connection } => self.kill(query, connection),
            Statement::Select(items) => {
                let columns = items.iter().map(|item| self.column(item));
                columns.collect::<Result<_, _>>().map(Answer::Row)
            }
            Statement::Backup(statement) => {
                if self.user.account != "sys" {
                    let why = "do not have privilege to execute the statement";
                    return Err(SqlError::internal(why));
                }
                let job = Job {
                    state: self.state,
                    session: self.session,
                    wire: self.wire,
                    connection: self.connection,
                    version,
                };
                match job.run(&statement) {
                    Ok(_) => Ok(Answer::Ok),
                    Err(BackupError::Refused { code, text }) => Err(SqlError { code, text }),
                    Err(BackupError::Crashed) => {
                        self.state.disconnect_all();
                        Ok(Answer::Nothing)
                    }
                    Err(BackupError::Dropped) => Ok(Answer::Nothing),
                }
            }
        }
    }

    fn kill(&self, query: bool, connection: u64) -> Result<Answer, SqlError> {
        let hit = self.state.kill(connection, query);
        self.state.record().kills.push(KillRecord {
            by: self.connection,
            connection,
            hit: hit == Some(true),
        });
        let unknown = || SqlError::internal(&format!("Unknown connection id {connection}"));
        hit.map(|_| Answer::Ok).ok_or_else(unknown)
    }

    fn column(&self, item: &Item) -> Result<(String, Value), SqlError> {
        let value = match &item.expression {
            Expression::Null => Value::Null,
            Expression::Number(number) => Value::Number(number.clone()),
            Expression::Text(text) => Value::Text(text.clone()),
            Expression::Variable(name) => self.variable(name)?,
            Expression::Call(name, given) => self.call(name, given)?,
        };
        Ok((item.name.clone(), value))
    }

    fn variable(&self, name: &str) -> Result<Value, SqlError> {
        let name = name
            .strip_prefix("session.")
            .or_else(|| name.strip_prefix("global."))
            .unwrap_or(name);
        let number = |text: &str| Ok(Value::Number(text.to_owned()));
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        match name {
            "max_allowed_packet" => number("16777216"),
            "wait_timeout" | "interactive_timeout" => number("28800"),
            "autocommit" => number("1"),
            "socket" => Ok(Value::Null),
            "version" => text(&self.state.settings().version.banner()),
            "version_comment" => text("MatrixOne"),
            "sql_mode" => text("ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES"),
            "time_zone" | "system_time_zone" => text("SYSTEM"),
            "lower_case_table_names" => number("1"),
            "tx_isolation" | "transaction_isolation" => text("REPEATABLE-READ"),
            _ => Err(SqlError::internal(&format!(
                "the system variable {name} does not exist"
            ))),
        }
    }

    fn call(&self, name: &str, given: &[String]) -> Result<Value, SqlError> {
        let text = |text: String| Ok(Value::Text(text));
        match (name, given) {
            ("version", []) => text(self.state.settings().version.banner()),
            ("connection_id", []) => Ok(Value::Number(self.connection.to_string())),
            ("database" | "schema", []) => Ok(Value::Null),
            ("user" | "current_user", []) => text(format!("{}@localhost", self.user.name)),
            ("mo_ctl", [service, method, argument]) => self.control(service, method, argument),
            _ => Err(SqlError::new(
                20105,
                format!("not supported: function or operator '{name}'"),
            )),
        }
    }

    /// `mo_ctl('dn','DiskCleaner',…)`: protects the objects that a backup needs, or ends the protection.
    fn control(&self, service: &str, method: &str, argument: &str) -> Result<Value, SqlError> {
        let settings = self.state.settings();
        let known = ["dn", "tn"].contains(&service.to_lowercase().as_str())
            && method.eq_ignore_ascii_case("diskcleaner")
            && settings.version.has_protection();
        let mut record = self.state.record();
        if let Some(name) = argument.strip_prefix("add_checker.").filter(|_| known) {
            record.protection = Some(name.to_owned());
        } else if known && argument.starts_with("remove_checker.") {
            record.protection = None;
        } else {
            return Err(SqlError::internal(&format!(
                "handleDiskCleaner: invalid operation {argument}"
            )));
        }
        let answer = "{\n  \"method\": \"DiskCleaner\",\n  \"result\": [\n    {\n      \"returnStr\": \"OK\"\n    }\n  ]\n}\n";
        Ok(Value::Text(answer.to_owned()))
    }
}

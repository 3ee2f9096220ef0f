//! A RabbitMQ server.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::skip::skip;

use super::{PAUSE, TRIES, command_of, folder_of, user_of};

/// Where Debian has the server itself; the program of this name in PATH runs only as a service.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const PLUGINS: &str =
    "[rabbitmq_management,rabbitmq_shovel_management,rabbitmq_federation_management].";
/// The user and the password that a new server has.
const LOGIN: &str = "guest:guest";

/// A RabbitMQ server with the user `guest`, whose password is `guest`. It is a node of its own, reachable only from this machine.
#[derive(Debug)]
pub struct RabbitMq {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The server and everything that it started: they are one process group.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

impl RabbitMq {
    /// Starts a server; `None` if it is not installed.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !Path::new(DEBIAN).exists() {
            skip("rabbitmq-server is not installed");
            return None;
        }
        // A port that is free now may be taken when the server needs it.
        let mut tries = (0..3).map(|_| Self::try_start());
        let server = tries.find_map(|server| server);
        assert!(server.is_some(), "rabbitmq-server does not answer");
        server
    }

    fn try_start() -> Option<Self> {
        let user = user_of("rabbitmq");
        let folder = folder_of(user);
        let at = |name: &str| folder.path().join(name);
        let [queues, management, nodes] = free_ports();
        let settings = format!(
            "listeners.tcp.local = 127.0.0.1:{queues}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        );
        std::fs::write(at("rabbitmq.conf"), settings).unwrap();
        std::fs::write(at("plugins"), PLUGINS).unwrap();
        let mut command = command_of(DEBIAN, user);
        command
            .env("HOME", folder.path())
            .env(
                "RABBITMQ_NODENAME",
                format!("br-test-{management}@localhost"),
            )
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_DIST_PORT", nodes.to_string())
            // Not the settings of the machine's own server.
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            .process_group(0);
        let mut server = Self {
            child: command.spawn().unwrap(),
            port: management,
            _folder: folder,
        };
        for _ in 0..TRIES {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            if server.call("GET", "health/checks/local-alarms", None).0 == 200 {
                return Some(server);
            }
            thread::sleep(PAUSE);
        }
        None
    }

    /// The address of its management plugin.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request to the API, with `guest`, and returns the status and the body of the answer. The status is 0 if there is none.
    ///
    /// # Panics
    /// When `curl` cannot be started.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-u", LOGIN, "-w", "\n%{http_code}", "-X", method])
            .args(["-H", "content-type: application/json"]);
        if let Some(body) = body {
            curl.arg("--data-binary").arg(body.to_string());
        }
        let output = curl
            .arg(format!("{}/api/{path}", self.address()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Sends a request that must succeed, and returns the body of the answer.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> String {
        let body = Some(body).filter(|body| !body.is_null());
        let (status, answer) = self.call(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status}: {answer}"
        );
        answer
    }

    /// Its definitions.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn definitions(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "definitions", &Value::Null)).unwrap()
    }
}

/// Three ports of this machine that are free now.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

//! `br init-config`: writes a configuration file to begin with.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::private_file;

const EXAMPLES: &str = "\
  br init-config --preset files
  br init-config --preset mysql --to br.toml";

/// Write a configuration file to begin with
///
/// The file has a repository, a policy and a set. Values that say FILL IN are yours to write; until then, br refuses the file and names them. The comments say what to do next.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::PLAIN),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::PLAIN))
)]
pub(crate) struct InitConfigArgs {
    /// What the set backs up
    #[arg(long, value_name = "NAME", value_enum)]
    preset: Preset,

    /// Write into this new file, such as /etc/br/br.toml [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// What a set backs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// Files and folders
    Files,
    /// A server of MySQL or MariaDB
    Mysql,
    /// A server of PostgreSQL
    Postgres,
    /// A server of Redis or Valkey
    Redis,
    /// The definitions of RabbitMQ
    Rabbitmq,
    /// MySQL, Redis, RabbitMQ, and an application with its files
    Stack,
    /// The same for the application TinyFlow
    Tinyflow,
}

const HEAD: &str = r#"# The configuration of br.
#
#  1. Write a value in place of each FILL IN.
#  2. Write a password for the repository into /etc/br/main.password, readable only by you. Keep a copy
#     somewhere else: without it, the backups are lost.
#  3. br config check
#  4. br -r main init
#  5. br run
#  6. br restore latest --tag SET --plan    # what a restore would do
#  7. Run it every night, with a line in /etc/crontab: 0 2 * * * root br run --quiet

[defaults]
repository = "main"

[repositories.main]
# A folder such as /srv/backup, or a URL such as s3://bucket/path.
location = "FILL IN"
password = "file:/etc/br/main.password"

# What `br run` keeps. The last good backup of a set always stays.
[policies.standard]
keep-daily = 7
keep-weekly = 4
keep-monthly = 12

[sets.SET]
policy = "standard"
prune = true
"#;

const FILES: &str = r#"
# Files and folders, such as ["/etc", "/home"].
paths = ["FILL IN"]
# exclude = ["*.tmp", "node_modules/"]
"#;

const MYSQL: &str = r#"
# Address, user and password come from an option file of MySQL:
#   [client]
#   user = br
#   password = …
# Names of databases, or ["all"].
mysql = ["FILL IN"]
mysql-defaults-file = "/etc/br/mysql.cnf"
# The user of the backup may only read. Another option file for a restore:
# restore-mysql-defaults-file = "/etc/br/mysql-restore.cnf"
"#;

const POSTGRES: &str = r#"
# Address and user come from the variables of PostgreSQL, such as PGHOST, and from ~/.pgpass.
# Names of databases, or ["all"].
postgres = ["FILL IN"]
# postgres-service = "br"
# restore-postgres-service = "br-restore"
"#;

const REDIS: &str = r#"
# HOST:PORT such as 127.0.0.1:6379, or the path of a socket.
redis = "FILL IN"
# redis-password = "file:/etc/br/redis.password"
"#;

const RABBITMQ: &str = r#"
# The address of the management plugin, such as http://127.0.0.1:15672.
rabbitmq = "FILL IN"
rabbitmq-password = "file:/etc/br/rabbitmq.password"
"#;

const STACK: &str = r#"
# Address, user and password come from an option file of MySQL. If its user may only read, a restore needs another one.
mysql = ["DATABASE"]
mysql-defaults-file = "/etc/br/mysql.cnf"
# restore-mysql-defaults-file = "/etc/br/mysql-restore.cnf"

# postgres = ["DATABASE"]
# postgres-service = "br"

redis = "127.0.0.1:6379"
# redis-password = "file:/etc/br/redis.password"

# The definitions of RabbitMQ. Remove these lines if there is none.
rabbitmq = "http://127.0.0.1:15672"
rabbitmq-password = "file:/etc/br/rabbitmq.password"

# The files of the application, such as /etc/systemd/system/SET.service, /etc/nginx/sites-available/SET, /opt/SET/app.jar and
# /opt/SET/application-prod.yml. If one of them is missing, the backup is incomplete, and br exits with 3.
paths = ["FILL IN"]

# Stop the application during the backup, if all parts must be of exactly the same moment:
# before = ["systemctl stop SET"]
# after = ["systemctl start SET"]

# What `br restore --execute` does before and after it restores the parts.
restore-before = ["systemctl stop SET"]
restore-after = ["systemctl start SET"]
verify = [
    "mariadb-check --defaults-file=/etc/br/mysql.cnf DATABASE",
    "redis-cli -e info keyspace",
    "curl -fsS --retry 10 --retry-connrefused http://127.0.0.1:8080/actuator/health",
]
"#;

impl Preset {
    /// The name of the set.
    const fn set(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
            Self::Stack => "shop",
            Self::Tinyflow => "tinyflow",
        }
    }

    fn text(self) -> String {
        let body = match self {
            Self::Files => FILES,
            Self::Mysql => MYSQL,
            Self::Postgres => POSTGRES,
            Self::Redis => REDIS,
            Self::Rabbitmq => RABBITMQ,
            Self::Stack | Self::Tinyflow => STACK,
        };
        let database = if self == Self::Tinyflow {
            "tiny-flow"
        } else {
            self.set()
        };
        format!("{HEAD}{body}")
            .replace("SET", self.set())
            .replace("DATABASE", database)
    }
}

pub(crate) fn run(args: &InitConfigArgs, context: &CommandContext) -> CommandResult {
    let text = args.preset.text();
    let Some(file) = &args.to else {
        context.output.text(text.as_bytes())?;
        return Ok(ExitStatus::Ok);
    };
    private_file::create(file, &text).map_err(|error| {
        let message = format!("cannot write {}", format::path(file));
        let hint =
            "name a new file in a folder that exists with --to, or print the text without --to";
        CommandError::new(ExitStatus::Usage, message, hint).because(&error)
    })?;
    let next = format!(
        "write a value in place of each FILL IN in {}",
        format::path(file)
    );
    context.output.console.hint(&next);
    Ok(ExitStatus::Ok)
}

//! The configuration files of a cluster.
//!
//! [`Backend`] is the backend of its file service, [`files`] returns the files that a launch file names. Invariant: the files of a cluster
//! on S3 contain its secret, as on real clusters.

/// The backend of a cluster's file service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// A disk, with framed files.
    #[default]
    Disk,
    /// A disk, with raw files.
    DiskV2,
    /// S3.
    S3,
}

impl Backend {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "DISK",
            Self::DiskV2 => "DISK-V2",
            Self::S3 => "S3",
        }
    }

    /// True if files on the disk are framed.
    #[must_use]
    pub fn is_framed(self) -> bool {
        self == Self::Disk
    }
}

/// The secret in the configuration of a cluster on S3.
pub const CLUSTER_SECRET: &str = "cluster-secret-of-the-tests";

/// A configuration file: the kind of service, the name, the text.
pub(crate) type ConfigFile = (&'static str, &'static str, String);

pub(crate) fn files(backend: Backend) -> Vec<ConfigFile> {
    vec![
        ("launch", "launch.toml", launch()),
        ("log", "log.toml", log(backend)),
        ("dn", "tn.toml", tn(backend)),
        ("cn", "cn.toml", cn(backend)),
    ]
}

fn launch() -> String {
    let section = |name: &str, file: &str| format!("{name} = [\n    \"./etc/launch/{file}\",\n]\n");
    [
        section("logservices", "log.toml"),
        section("tnservices", "tn.toml"),
        section("cnservices", "cn.toml"),
    ]
    .join("\n")
}

fn shared(backend: Backend) -> String {
    let folder = match backend {
        Backend::Disk => "mo-data/shared",
        Backend::DiskV2 => "mo-data/shared2",
        Backend::S3 => {
            return format!(
                "[[fileservice]]\nname = \"SHARED\"\nbackend = \"S3\"\n\n[fileservice.s3]\n\
                 endpoint = \"http://127.0.0.1:9000\"\nbucket = \"cluster\"\nkey-prefix = \"data\"\n\
                 key-id = \"cluster-key\"\nkey-secret = \"{CLUSTER_SECRET}\"\n"
            );
        }
    };
    let name = backend.name();
    format!(
        "[[fileservice]]\nname = \"SHARED\"\nbackend = \"{name}\"\ndata-dir = \"{folder}\"\n\n\
         [fileservice.cache]\nmemory-capacity = \"512MB\"\n"
    )
}

/// The settings of every service.
fn service(kind: &str, backend: Backend) -> String {
    let local = match backend {
        Backend::DiskV2 => "backend = \"DISK-V2\"\ndata-dir = \"mo-data/local2\"",
        Backend::Disk | Backend::S3 => "backend = \"DISK\"\ndata-dir = \"mo-data/local\"",
    };
    let shared = shared(backend);
    format!(
        "service-type = \"{kind}\"\ndata-dir = \"./mo-data\"\n\n[log]\nlevel = \"info\"\n\n\
         [[fileservice]]\nname = \"LOCAL\"\n{local}\n\n{shared}\n\
         [[fileservice]]\nname = \"ETL\"\nbackend = \"DISK-ETL\"\ndata-dir = \"mo-data/etl\"\n"
    )
}

fn log(backend: Backend) -> String {
    let all = service("LOG", backend);
    format!("{all}\n[logservice]\nuuid = \"7c4dccb4-4d3c-41f8-b482-5251dc7a41bf\"\n")
}

fn tn(backend: Backend) -> String {
    let all = service("TN", backend);
    format!(
        "{all}\n[tn]\nuuid = \"dd4dccb4-4d3c-41f8-b482-5251dc7a41bf\"\nport-base = 19000\n\n\
         [tn.Txn.Storage]\nbackend = \"TAE\"\nlog-backend = \"logservice\"\n\n\
         [tn.Ckp]\nflush-interval = \"60s\"\nmin-count = 100\n"
    )
}

fn cn(backend: Backend) -> String {
    let all = service("CN", backend);
    format!("{all}\n[cn]\nuuid = \"dd1dccb4-4d3c-41f8-b482-5251dc7a41bf\"\nport-base = 18000\n")
}

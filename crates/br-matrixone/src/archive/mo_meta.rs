//! `mo_meta`, which MatrixOne writes last into a backup.
//!
//! [`MoMeta`] names the server that made the backup and its configuration files. Invariant: a backup without `mo_meta.sha256` is not
//! complete, and every file named here is a plain name.

use super::error::{Error, Result};
use super::lines::{Lines, fields};
use super::path;

/// The content of `mo_meta`, or of the `backup_meta` next to it, which has the same format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoMeta {
    /// The id of the backup; only in a `backup_meta`.
    pub id: Option<String>,
    /// The format version. Servers have always written `0823`.
    pub version: String,
    /// The build of the server: `GoVersion: …|BranchName: …|CommitID: …|BuildTime: …|Version: …`.
    pub build: String,
    /// Configuration files.
    pub configs: Vec<ConfigFile>,
}

/// A configuration file in a backup. It may contain the keys of an object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFile {
    /// The service it belongs to: `launch`, `log`, `dn`, `cn` or `proxy`.
    pub service: String,
    /// Its name below `config/`.
    pub file: String,
}

impl MoMeta {
    const CONFIGS: usize = 10_000;

    /// Reads the content of the file.
    ///
    /// # Errors
    /// If a line does not have three columns, or a file name leads out of the folder. Lines of unknown types are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut lines = Lines::new(bytes, u64::MAX);
        while let Some(line) = lines.next()? {
            let fields = fields(line).unwrap_or_default();
            let [kind, subtype, rest @ ..] = fields.as_slice() else {
                return Err(lines.wrong("it has fewer than two columns"));
            };
            let subtype = subtype.as_ref().to_owned();
            match kind.to_ascii_lowercase().as_str() {
                "id" => out.id = Some(subtype),
                "version" => out.version = subtype,
                "buildinfo" => out.build = subtype,
                "launchconfig" => {
                    let Some(file) = rest.first() else {
                        return Err(lines.wrong("it has fewer than three columns"));
                    };
                    let file = file.strip_prefix("config/").unwrap_or(file);
                    path::check(file)?;
                    if file.contains('/') || out.configs.len() == Self::CONFIGS {
                        return Err(Error::refused("it names a file outside its folder").at(file));
                    }
                    out.configs.push(ConfigFile {
                        service: subtype,
                        file: file.to_owned(),
                    });
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// The version of the server that made the backup, from its build: `v1.2.0`.
    #[must_use]
    pub fn server_version(&self) -> Option<&str> {
        let mut parts = self.build.split('|');
        let version = parts.find_map(|part| part.trim().strip_prefix("Version:"))?;
        Some(version.trim()).filter(|version| !version.is_empty())
    }

    /// The configuration of the TN, which says where a cluster keeps its data.
    #[must_use]
    pub fn tn_config(&self) -> Option<&ConfigFile> {
        let is_tn = |config: &&ConfigFile| matches!(config.service.as_str(), "dn" | "tn");
        self.configs.iter().find(is_tn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mo_meta_of_servers_is_parsed() {
        let text = "buildinfo,GoVersion: go1.21|BranchName: main|CommitID: ab|BuildTime: x|Version: v1.2.0,\n\
            launchconfig,dn,tn.toml_018f70d1-310e-78fc-ac96-aa5e06981bd7\nlaunchconfig,log,log.toml_1\nversion,0823,\n";
        let meta = MoMeta::parse(text.as_bytes()).unwrap();
        assert_eq!(meta.version, "0823");
        assert_eq!(meta.server_version(), Some("v1.2.0"));
        assert_eq!(meta.configs.len(), 2);
        assert_eq!(
            meta.tn_config().unwrap().file,
            "tn.toml_018f70d1-310e-78fc-ac96-aa5e06981bd7"
        );
        assert_eq!(
            MoMeta::parse(b"id,x,\nfuture,y,z,w\n").unwrap().id.unwrap(),
            "x"
        );
        for bad in [
            "x",
            "launchconfig,dn",
            "launchconfig,dn,../x",
            "launchconfig,dn,a/b",
            "launchconfig,dn,",
        ] {
            assert!(MoMeta::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

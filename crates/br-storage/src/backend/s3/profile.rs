//! Profiles of AWS's own tools.
//!
//! [`Profile`] holds the settings that `~/.aws/credentials` and `~/.aws/config` give for a name. Invariant: a
//! missing file counts as empty; a file that cannot be parsed is an error.

use std::{env, path::PathBuf};

use ini::Ini;

use super::credentials::variable;
use crate::secret::Secret;

/// An access key id, its secret, and a token if the key is temporary.
type Keys = (String, Secret, Option<Secret>);

/// The settings for a name in both files.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) keys: Option<Keys>,
    pub(super) region: Option<String>,
    /// The role to assume with the keys of the profile `source`.
    pub(super) role: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) source: Option<String>,
}

impl Profile {
    /// Reads a profile. Without a name, reads the one that `AWS_PROFILE` names, or `default`.
    pub(super) fn load(name: Option<&str>) -> Result<Option<Self>, String> {
        let name = name.map(str::to_owned);
        let name = name.or_else(|| variable("AWS_PROFILE"));
        let name = name.unwrap_or_else(|| "default".to_owned());
        let credentials = read("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
        let config = read("AWS_CONFIG_FILE", "config")?;
        Self::find(&name, &credentials, &config)
    }

    fn find(name: &str, credentials: &Ini, config: &Ini) -> Result<Option<Self>, String> {
        let in_config = match name {
            "default" => config.section(Some("default")),
            _ => None,
        };
        let in_config = in_config.or_else(|| config.section(Some(format!("profile {name}"))));
        let sections = [credentials.section(Some(name)), in_config];
        if sections.iter().all(Option::is_none) {
            return Ok(None);
        }
        let get = |key: &str| {
            let values = sections
                .iter()
                .flatten()
                .filter_map(|section| section.get(key));
            values
                .map(str::trim)
                .find(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let (id, secret) = (get("aws_access_key_id"), get("aws_secret_access_key"));
        if id.is_some() != secret.is_some() {
            let missing = match id {
                Some(_) => "aws_secret_access_key",
                None => "aws_access_key_id",
            };
            return Err(format!(
                "profile {name:?} holds half a key pair: {missing} is missing"
            ));
        }
        let keys = id.zip(secret);
        let token = get("aws_session_token").map(Secret::from);
        Ok(Some(Self {
            name: name.to_owned(),
            keys: keys.map(|(id, secret)| (id, secret.into(), token)),
            region: get("region"),
            role: get("role_arn"),
            external_id: get("external_id"),
            source: get("source_profile"),
        }))
    }

    /// Returns whether the profile has neither keys nor a role.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_none() && self.role.is_none()
    }
}

fn read(variable_name: &str, file: &str) -> Result<Ini, String> {
    let usual = || Some(env::home_dir()?.join(".aws").join(file));
    let path = variable(variable_name).map(PathBuf::from).or_else(usual);
    let Some(path) = path else {
        return Ok(Ini::new());
    };
    match Ini::load_from_file_noescape(&path) {
        Ok(ini) => Ok(ini),
        Err(ini::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Ini::new())
        }
        Err(error) => Err(format!("{} cannot be understood: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_is_read_from_both_files() {
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=s/e+c=r\\et\n\
                           [work]\naws_access_key_id=W\naws_secret_access_key=w\naws_session_token=t\n";
        let config = "[default]\nregion=eu-west-1\n[profile work]\nregion = us-west-2\n\
                      [profile role]\nrole_arn=arn:aws:iam::1:role/x\nsource_profile=work\nexternal_id=e\n";
        let credentials = Ini::load_from_str_noescape(credentials).unwrap();
        let config = Ini::load_from_str_noescape(config).unwrap();
        let find = |name| Profile::find(name, &credentials, &config).unwrap();
        let profile = find("default").unwrap();
        assert_eq!(profile.region.as_deref(), Some("eu-west-1"));
        assert_eq!(
            profile.keys,
            Some(("A".to_owned(), "s/e+c=r\\et".into(), None))
        );
        let work = find("work").unwrap();
        assert_eq!(
            work.keys,
            Some(("W".to_owned(), "w".into(), Some("t".into())))
        );
        let role = find("role").unwrap();
        assert_eq!(role.role.as_deref(), Some("arn:aws:iam::1:role/x"));
        assert_eq!(role.source.as_deref(), Some("work"));
        assert_eq!(role.external_id.as_deref(), Some("e"));
        assert!(role.keys.is_none() && !role.is_empty());
        assert!(find("other").is_none());
        let half = Ini::load_from_str_noescape("[a]\naws_access_key_id = A\n").unwrap();
        let refused = Profile::find("a", &half, &Ini::new()).unwrap_err();
        assert!(
            refused.contains("aws_secret_access_key is missing"),
            "{refused}"
        );
    }
}

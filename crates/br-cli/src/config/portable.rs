//! The configuration as a backup keeps it, for another machine.
//!
//! [`Config::portable`] makes it. Invariant: it has no secrets. The files have only references to them; values that can hold one are removed.

use std::path::{Component, Path, PathBuf};

use std::ops::Range;

use br_core::model::{Configuration, ConfigurationFile, ConfiguredRepository};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::is_hidden_key;
use super::settings::Config;
use crate::output::format;

/// The value of a removed setting.
const REMOVED: &str = "\"removed: it can hold a secret\"";

impl Config {
    /// What a backup of a set keeps for another machine.
    pub(crate) fn portable(&self, set: &str) -> Configuration {
        let files = self.texts.iter().map(|(path, text)| {
            let path = plain(path);
            let (text, removed) = without_secrets(text);
            ConfigurationFile::new(path.to_string_lossy().into_owned(), text, removed)
        });
        let repositories = self.repositories.iter();
        // A location with a key is an error when the files are read.
        let repositories = repositories
            .map(|(name, one)| ConfiguredRepository::new(name.clone(), one.location.clone()));
        Configuration::new(set, system())
            .with_files(files.collect())
            .with_repositories(repositories.collect())
    }
}

/// The absolute path without `..`, which `br bootstrap` refuses. Links stay: the file is configured where the link is.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// The text of a file without values that can hold a secret, and the names of their settings.
fn without_secrets(text: &str) -> (String, Vec<String>) {
    let Ok(document) = DeTable::parse(text) else {
        // Such a file is an error when it is read.
        return (String::new(), Vec::new());
    };
    let mut found = Vec::new();
    for (key, value) in document.get_ref() {
        collect(key.get_ref(), key.get_ref(), value, &mut found);
    }
    found.sort_by_key(|(place, _)| place.start);
    let mut out = text.to_owned();
    for (place, _) in found.iter().rev() {
        out.replace_range(place.clone(), REMOVED);
    }
    let mut names: Vec<String> = found.into_iter().map(|(_, name)| name).collect();
    names.dedup();
    (out, names)
}

fn collect(
    key: &str,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    found: &mut Vec<(Range<usize>, String)>,
) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                let name = format!("{name}.{}", key.get_ref());
                collect(key.get_ref(), &name, value, found);
            }
        }
        DeValue::Array(items) if !is_hidden_key(key) => {
            items
                .iter()
                .for_each(|item| collect(key, name, item, found));
        }
        DeValue::String(text) if !is_hidden_key(key) && !has_login(text) => {}
        DeValue::Boolean(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {}
        _ => found.push((value.span(), name.to_owned())),
    }
}

/// True for a URL with a user or a key, such as `s3://key:secret@bucket`.
fn has_login(text: &str) -> bool {
    let mut authorities = text.split("://").skip(1);
    authorities.any(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// Name and version of the operating system, for example `Debian GNU/Linux 12 (bookworm), Linux 6.1.0`.
fn system() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name
        .map(|name| name.trim_matches(['"', '\'']))
        .unwrap_or_default();
    let (kernel, version) = (
        read("/proc/sys/kernel/ostype"),
        read("/proc/sys/kernel/osrelease"),
    );
    let kernel = format!("{} {}", kernel.trim(), version.trim());
    let parts = [name, kernel.trim()];
    let known: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format::text(&known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_can_hold_secrets_are_removed() {
        let text = "# kept\n[repositories.main]\nlocation = \"/srv\"\npassword = \"file:/p\"\nproxy = 'http://u:hunter2@p'\n\
                    [backup]\ncopy-to = [\"a\", \"s3://k:hunter2@b/x\"]\n[copy]\nfrom = \"s3://bucket/a@b\"\n";
        let (out, names) = without_secrets(text);
        assert!(!out.contains("hunter2"), "{out}");
        assert_eq!(names, ["repositories.main.proxy", "backup.copy-to"]);
        for kept in ["# kept", "file:/p", "\"a\", \"removed", "s3://bucket/a@b"] {
            assert!(out.contains(kept), "{kept}: {out}");
        }
        assert!(DeTable::parse(&out).is_ok(), "{out}");
        let plain = "[defaults]\nrepository = \"main\"\n";
        assert_eq!(without_secrets(plain), (plain.to_owned(), Vec::new()));
    }
}

//! What sections say about each other: names that must exist, and settings that need others.

use super::document::Setting;
use super::problem::{Place, Problem};
use super::settings::{BackupSet, Config};

impl Config {
    /// Adds the problems that no section has alone.
    pub(super) fn check_names(&self, problems: &mut Vec<Problem>) {
        let of_backup = self.commands.get("backup").into_iter().flatten();
        let copy_to = of_backup.filter(|setting| setting.key == "copy-to");
        for setting in self.repository.iter().chain(copy_to.clone()) {
            for name in setting.value.texts() {
                self.check_repository(name, &setting.place, problems);
            }
        }
        for setting in copy_to {
            let own = self.default_repository();
            let mut names = setting.value.texts().iter();
            if let Some(named) = names.find(|name| Some(name.as_str()) == own) {
                let message = format!("`{named}` is the repository of the section `[defaults]`");
                let hint = "remove it from `copy-to`";
                problems.push(Problem::new(&setting.place, message, hint));
            }
        }
        self.check_homes(problems);
        for (name, set) in &self.sets {
            self.check_set(name, set, problems);
        }
    }

    fn check_set(&self, name: &str, set: &BackupSet, problems: &mut Vec<Problem>) {
        let place = |key: &str| place_of(&set.settings, key).unwrap_or(&set.place);
        let own = self.repository_of(set);
        if own.is_none() {
            let message = format!("the set `{name}` has no repository");
            let hint = "add `repository = \"NAME\"` to the set, or to the section `[defaults]`";
            problems.push(Problem::new(&set.place, message, hint));
        }
        if let Some(named) = &set.repository {
            self.check_repository(named, place("repository"), problems);
        }
        for named in &set.copy_to {
            self.check_repository(named, place("copy-to"), problems);
            if own == Some(named) {
                let message = format!("`{named}` is the repository of the set `{name}` itself");
                let hint = "remove it from `copy-to`";
                problems.push(Problem::new(place("copy-to"), message, hint));
            }
        }
        match &set.policy {
            Some(policy) if !self.policies.contains_key(policy) => {
                let message = format!("there is no section `[policies.{policy}]`");
                let hint = format!("add the section, or correct the name `{policy}`");
                problems.push(Problem::new(place("policy"), message, hint));
            }
            None if set.prune => {
                let message = "`prune` has no effect without `policy`";
                let hint = "add `policy = \"NAME\"`, or remove `prune`";
                problems.push(Problem::new(place("prune"), message, hint));
            }
            _ => {}
        }
    }

    /// A repository is a section, a path or a URL.
    fn check_repository(&self, name: &str, place: &Place, problems: &mut Vec<Problem>) {
        if self.repositories.contains_key(name) || name.contains(['/', ':']) {
            return;
        }
        let message = format!("there is no section `[repositories.{name}]`");
        let known: Vec<&str> = self.repositories.keys().map(String::as_str).collect();
        let hint = match known.as_slice() {
            [] => "add the section; a folder is written as `./NAME`".to_owned(),
            known => format!(
                "add the section, or write one of {}; a folder is written as `./NAME`",
                known.join(", ")
            ),
        };
        problems.push(Problem::new(place, message, hint));
    }

    /// Finds `~`, which only a shell replaces.
    fn check_homes(&self, problems: &mut Vec<Problem>) {
        let of_sets = self.sets.values().flat_map(|set| &set.settings);
        let of_repositories = self.repositories.values().flat_map(|one| &one.settings);
        let of_commands = self.commands.values().flatten();
        let keys = [
            "location",
            "paths",
            "password",
            "secret-access-key",
            "exclude-file",
        ];
        let all = of_sets.chain(of_repositories).chain(of_commands);
        for setting in all.filter(|setting| keys.contains(&&*setting.key)) {
            let mut texts = setting.value.texts().iter();
            if texts.any(|text| text.strip_prefix("file:").unwrap_or(text).starts_with('~')) {
                let message = format!(
                    "`{}` begins with `~`, which br does not replace",
                    setting.key
                );
                let hint = "write the whole path";
                problems.push(Problem::new(&setting.place, message, hint));
            }
        }
    }
}

/// The place of a key in a section.
pub(crate) fn place_of<'s>(settings: &'s [Setting], key: &str) -> Option<&'s Place> {
    let mut settings = settings.iter();
    settings
        .find(|setting| setting.key == key)
        .map(|setting| &setting.place)
}

/// The texts of a key in a section; none if it is missing.
pub(crate) fn texts_of<'s>(settings: &'s [Setting], key: &str) -> &'s [String] {
    let mut settings = settings.iter();
    let found = settings.find(|setting| setting.key == key);
    found.map_or(&[], |setting| setting.value.texts())
}

//! Command lines of `mo_br`'s manual, which know no `matrixone` in front.

use std::ffi::{OsStr, OsString};

/// Options without a value that may stand before the verb.
const FLAGS: [&str; 5] = ["--json", "-q", "--quiet", "-v", "--verbose"];
/// The verbs of `mo_br`.
const VERBS: [&str; 5] = ["backup", "list", "check", "restore", "delete"];
/// Options of `mo_br` with a value that may stand before the verb.
const SETTINGS: [&str; 3] = ["--config", "--log-file", "--log-level"];

/// Puts `matrixone` before a verb that is meant in the manner of `mo_br`: one that only that tool has options for; and where a catalogue of
/// backups of MatrixOne is, one that can only mean that, or names a backup in it. `ids` are those of the catalogue, `None` when there is none.
///
/// # Errors
/// The id that is to be deleted, when both the catalogue and a repository of the environment may be meant.
pub(crate) fn translate(
    mut arguments: Vec<OsString>,
    has_repository: bool,
    ids: &dyn Fn() -> Option<Vec<String>>,
) -> Result<Vec<OsString>, String> {
    let mut words = arguments.iter().map(OsString::as_os_str).skip(1);
    let (mut at, mut settings) = (1, false);
    let verb = loop {
        match words.next().map(OsStr::to_str) {
            None => return Ok(arguments),
            Some(Some(word)) if FLAGS.contains(&word) => at += usize::from(!settings),
            Some(Some(word)) if names(word, &SETTINGS) => {
                settings = true;
                if !word.contains('=') {
                    words.next();
                }
            }
            Some(word) => break word.unwrap_or_default(),
        }
    };
    let rest: Vec<&str> = words
        .map_while(OsStr::to_str)
        .take_while(|word| *word != "--")
        .collect();
    let line = Line {
        rest: &rest,
        has_repository,
        ids,
    };
    if !settings && verb == "delete" && has_repository && !line.is_typed(verb) {
        // What is deleted is gone: it is not guessed which is meant.
        if line.is_in_catalogue(false) {
            return Err(rest.first().copied().unwrap_or_default().to_owned());
        }
    }
    if line.is_mo_br(verb) || (settings && VERBS.contains(&verb)) {
        arguments.insert(at, "matrixone".into());
    }
    Ok(arguments)
}

/// Whether a word may be the id of a backup, or its start.
fn is_id(word: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    word.len() >= 4 && word.len() <= 36 && word.bytes().all(is_good)
}

/// Whether a word is one of these options.
fn names(word: &str, options: &[&str]) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    options
        .iter()
        .any(|wanted| name.replace('_', "-") == *wanted)
}

/// What stands behind a verb, and what is around.
struct Line<'a> {
    rest: &'a [&'a str],
    has_repository: bool,
    ids: &'a dyn Fn() -> Option<Vec<String>>,
}

impl Line<'_> {
    fn is_mo_br(&self, verb: &str) -> bool {
        let asks_for_help = |word: &&str| matches!(*word, "-h" | "--help");
        if self.rest.iter().any(asks_for_help) {
            return false;
        }
        self.is_typed(verb)
            || match verb {
                "list" => self.is_in_catalogue(true),
                "check" | "delete" => self.is_in_catalogue(false),
                _ => false,
            }
    }

    /// Whether there is an option that only `mo_br` has.
    fn is_typed(&self, verb: &str) -> bool {
        if self.has(&SETTINGS) {
            return VERBS.contains(&verb);
        }
        match verb {
            "backup" => self.has(&["--port", "--user", "--password"]),
            "list" => self.has(&["--meta-path", "--not-check-data"]),
            "check" => self.has(&["--meta-path"]),
            "restore" => self.has(&[
                "--restore-dir",
                "--restore-path",
                "--restore-bucket",
                "--dn-config-path",
            ]),
            "delete" => self.has(&["--not-delete-data", "--meta-path", "--cascade"]),
            _ => false,
        }
    }

    fn has(&self, names: &[&str]) -> bool {
        self.rest.iter().any(|word| self::names(word, names))
    }

    /// Whether this is about the catalogue. A place that was typed is meant; a repository of the environment is, unless the whole id is one of
    /// the catalogue.
    fn is_in_catalogue(&self, all: bool) -> bool {
        let is_short =
            |word: &&str| !word.starts_with("--") && word.starts_with('-') && word.contains('r');
        if self.has(&["--repo", "--backup-dir"]) || self.rest.iter().any(is_short) {
            return false;
        }
        let id = self.rest.first().filter(|word| !word.starts_with('-'));
        let Some(ids) = (id.is_some() || all).then(self.ids).flatten() else {
            // The command says that there is no catalogue.
            return !self.has_repository && id.is_some_and(|id| is_id(id));
        };
        !self.has_repository
            || id.is_some_and(|id| ids.iter().any(|known| known.eq_ignore_ascii_case(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1614f462-126c-11ef-9af3-26dd28356ef3";

    #[test]
    fn verbs_of_mo_br_are_told_from_those_of_br() {
        let (br, mo_br) = (false, true);
        for (line, has_repository, expected) in [
            (
                "br backup --host h --port 6001 --user dump --password 111",
                true,
                mo_br,
            ),
            ("br backup docs --host h", false, br),
            ("br list", false, mo_br),
            ("br --log-level debug list", true, mo_br),
            ("br list --log-file=console", true, mo_br),
            ("br --json -q list", false, mo_br),
            ("br list 1614f462", false, mo_br),
            ("br list", true, br),
            ("br list -r x", false, br),
            ("br list -r/srv/x", false, br),
            ("br list -qr x", false, br),
            ("br list --help", false, br),
            ("br list --meta_path=x", true, mo_br),
            ("br list --backup_dir filesystem --path x", false, br),
            (&format!("br check {ID}"), true, mo_br),
            (&format!("br check {ID} -r x"), true, br),
            ("br check 1614f462", false, mo_br),
            ("br check latest", true, br),
            ("br check --read-data", true, br),
            ("br check --read-data", false, br),
            (
                "br restore 25536ff0 --restore_dir filesystem --restore_path x",
                true,
                mo_br,
            ),
            ("br restore latest --target x", false, br),
            ("br delete e4cade26", false, mo_br),
            ("br delete e4cade26", true, br),
            (&format!("br delete {ID}"), false, mo_br),
            ("br delete e4cade26 --not_delete_data", true, mo_br),
            ("br delete", false, br),
            ("br delete latest", false, mo_br),
            ("br", false, br),
        ] {
            let arguments = || line.split(' ').map(OsString::from).collect::<Vec<_>>();
            let is_mo_br = |arguments: Vec<OsString>| arguments.contains(&"matrixone".into());
            let out = translate(arguments(), has_repository, &|| Some(vec![ID.to_owned()]));
            assert_eq!(is_mo_br(out.unwrap()), expected, "{line}");
            // Where nothing is known of MatrixOne, only its options make the difference, and an id where there is no repository.
            let out = translate(arguments(), has_repository, &|| None);
            let says_it = ["_", "--port", "--log-"]
                .iter()
                .any(|mark| line.contains(mark));
            let has_id = ["1614f462", "e4cade26"].iter().any(|id| line.contains(id));
            let alone = expected && (says_it || (has_id && !has_repository));
            assert_eq!(is_mo_br(out.unwrap()), alone, "{line} without a catalogue");
        }
    }

    #[test]
    fn a_deletion_that_may_mean_either_is_refused() {
        let known = || Some(vec![ID.to_owned()]);
        let translate = |line: &str, has_repository| {
            let arguments = line.split(' ').map(OsString::from).collect();
            translate(arguments, has_repository, &known).is_ok()
        };
        assert!(!translate(&format!("br delete {ID}"), true));
        for (line, has_repository) in [
            (format!("br delete {ID}"), false),
            (format!("br delete {ID} -r x"), true),
            (format!("br matrixone delete {ID}"), true),
            (format!("br delete {ID} --meta_path mo_br.meta"), true),
            ("br delete 1614f462".to_owned(), true),
            (format!("br check {ID}"), true),
        ] {
            assert!(translate(&line, has_repository), "{line}");
        }
    }
}

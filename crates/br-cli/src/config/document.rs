//! The text of a configuration file as sections and settings.
//!
//! [`parse`] knows the shape of the file, but not its sections and keys. Invariant: every setting knows its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// Sections that contain named sections.
pub(super) const NAMED: [&str; 3] = ["repositories", "policies", "sets"];

/// A section of one file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: String,
    /// For a section such as `[sets.home]`.
    pub(super) name: Option<String>,
    pub(super) place: Place,
    pub(super) settings: Vec<Setting>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A value. Numbers are text, as on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Switch(bool),
    Text(String),
    List(Vec<String>),
}

impl Setting {
    /// The value as one text; of a list, the first.
    pub(crate) fn text(&self) -> Option<&str> {
        self.value.texts().first().map(String::as_str)
    }

    /// True when the value can contain a secret.
    pub(crate) fn is_hidden(&self) -> bool {
        is_hidden_key(&self.key)
    }
}

/// True when the value of a key can contain a secret.
pub(super) fn is_hidden_key(key: &str) -> bool {
    matches!(key, "proxy" | "server-side-encryption")
}

impl Value {
    /// The values of the option on a command line; for a switch none.
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::Switch(_) => &[],
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
        }
    }

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let text = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()).filter(|text| !text.contains('\0')),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(|number| number.to_string()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => None,
        };
        match value {
            DeValue::Boolean(yes) => Some(Self::Switch(*yes)),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| text(item.get_ref()));
                items.collect::<Option<_>>().map(Self::List)
            }
            value => text(value).map(Self::Text),
        }
    }
}

/// Reads the sections of a file.
pub(super) fn parse(file: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Section> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |at: usize| 1 + ends.partition_point(|end| *end < at);
    let place_at = |at: usize| Place {
        file: file.to_owned(),
        line: line_of(at),
    };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let place = place_at(error.span().map_or(0, |span| span.start));
            let hint = "correct the syntax; `br help config` has an example";
            problems.push(Problem::new(&place, error.message(), hint));
            return Vec::new();
        }
    };
    let reader = Reader {
        place_at: &place_at,
    };
    let mut sections = Vec::new();
    for (kind, value) in document.get_ref() {
        let place = place_at(kind.span().start);
        let kind = kind.get_ref().to_string();
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{kind}` is outside of a section");
            let hint = "put it below a line such as `[defaults]` or `[backup]`";
            problems.push(Problem::new(&place, message, hint));
            continue;
        };
        if !NAMED.contains(&&*kind) {
            let settings = reader.settings(table, problems);
            sections.push(Section {
                kind,
                name: None,
                place,
                settings,
            });
            continue;
        }
        for (name, value) in table {
            let place = place_at(name.span().start);
            let name = name.get_ref().to_string();
            let Some(table) = value.get_ref().as_table() else {
                let message = format!("`{name}` must be in a section with a name");
                let hint = format!("write `[{kind}.NAME]`");
                problems.push(Problem::new(&place, message, hint));
                continue;
            };
            let settings = reader.settings(table, problems);
            sections.push(Section {
                kind: kind.clone(),
                name: Some(name),
                place,
                settings,
            });
        }
    }
    sections
}

struct Reader<'a> {
    place_at: &'a dyn Fn(usize) -> Place,
}

impl Reader<'_> {
    fn settings(&self, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Vec<Setting> {
        let mut settings = Vec::new();
        for (key, value) in table {
            let place = (self.place_at)(key.span().start);
            let key: &Spanned<_> = key;
            let key = key.get_ref().to_string();
            match Value::read(value.get_ref()) {
                Some(value) => settings.push(Setting { key, value, place }),
                None => {
                    let message = format!("`{key}` has a value of a kind that br does not use");
                    let hint = "write text in quotes, a number, true or false, or a list of text";
                    problems.push(Problem::new(&place, message, hint));
                }
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_knows_its_line() {
        let text = "[backup]\nexclude = [\"a\", \"b\"]\n\ncompression = 7\n[sets.home]\n# text\nprune = true\n";
        let mut problems = Vec::new();
        let sections = parse(Path::new("f"), text, &mut problems);
        assert_eq!(problems, []);
        let lines = |section: &Section| -> Vec<(String, usize)> {
            let settings = section.settings.iter();
            settings
                .map(|one| (one.key.clone(), one.place.line))
                .collect()
        };
        let backup = sections.iter().find(|one| one.kind == "backup").unwrap();
        let mut found = lines(backup);
        found.sort();
        assert_eq!(
            found,
            [("compression".to_owned(), 4), ("exclude".to_owned(), 2)]
        );
        let set = sections.iter().find(|one| one.kind == "sets").unwrap();
        assert_eq!(set.name.as_deref(), Some("home"));
        assert_eq!(lines(set), [("prune".to_owned(), 7)]);
    }

    #[test]
    fn wrong_shape_is_named_with_its_line() {
        for (text, line) in [
            ("[backup]\nexclude = \"a", 2),
            ("loose = 1\n", 1),
            ("[backup]\n\nexclude = { a = 1 }\n", 3),
            ("[sets]\npaths = [\"/\"]\n", 2),
            ("[backup]\nx = 1\nx = 2\n", 3),
        ] {
            let mut problems = Vec::new();
            let _ = parse(Path::new("f"), text, &mut problems);
            let lines: Vec<usize> = problems.iter().map(|problem| problem.place.line).collect();
            assert_eq!(lines, [line], "{text}: {problems:?}");
        }
    }
}

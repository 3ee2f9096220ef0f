//! `br config schema`: the schema and the checks of configuration files accept the same keys.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::{Session, json};

/// The schema that the program prints.
fn schema(session: &Session) -> Value {
    json(&session.run(["config", "schema"]).expect(0).stdout)
}

/// The schema of the table of a section.
fn table<'s>(schema: &'s Value, section: &str) -> &'s Value {
    let section = &schema["properties"][section];
    match &section["additionalProperties"] {
        Value::Bool(_) => section,
        table => table,
    }
}

/// Why a document does not fit a schema, as far as the schema of br needs it.
fn mismatch(value: &Value, schema: &Value, at: &str) -> Option<String> {
    if let Some(kinds) = schema.get("anyOf") {
        let mut kinds = kinds.as_array().unwrap().iter();
        return kinds
            .all(|kind| mismatch(value, kind, at).is_some())
            .then(|| format!("{at}: no form fits {value}"));
    }
    if let Some(words) = schema.get("enum") {
        let is_known = words.as_array().unwrap().contains(value);
        return (!is_known).then(|| format!("{at}: {value} is none of {words}"));
    }
    let own = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    if !kinds.iter().any(|kind| kind == own) {
        return Some(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let (Some(_), Some(text)) = (schema.get("pattern"), value.as_str()) {
        let is_reference = ["file:", "command:", "env:", "credential:"]
            .iter()
            .any(|start| text.len() > start.len() && text.starts_with(start));
        return (text != "none" && !is_reference).then(|| format!("{at}: {text}"));
    }
    if let Value::Array(items) = value {
        return items
            .iter()
            .find_map(|item| mismatch(item, &schema["items"], at));
    }
    let fields = value.as_object()?;
    fields.iter().find_map(|(name, field)| {
        let at = format!("{at}.{name}");
        match (
            schema["properties"].get(name),
            &schema["additionalProperties"],
        ) {
            (Some(known), _) => mismatch(field, known, &at),
            (None, Value::Object(_)) => mismatch(field, &schema["additionalProperties"], &at),
            _ => Some(format!("{at}: unknown")),
        }
    })
}

fn toml(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A document of the repository.
fn document(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn published_schema_is_the_one_that_br_prints() {
    let session = Session::new();
    let printed = session.run(["config", "schema"]).expect(0).stdout;
    assert!(
        document("docs/br.schema.json") == printed,
        "run `br config schema > docs/br.schema.json`"
    );
}

#[test]
fn schema_has_exactly_the_keys_that_br_accepts() {
    let session = Session::new();
    let schema = schema(&session);
    let sections: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert!(sections.len() > 20, "{sections:?}");
    // All long options of br, and the keys that are no options.
    let reference = document("docs/cli/reference.md");
    let is_part = |c: char| !c.is_ascii_lowercase() && c != '-' && !c.is_ascii_digit();
    let mut words: BTreeSet<&str> = reference
        .split("--")
        .filter_map(|text| text.split(is_part).next())
        .filter(|word| word.len() > 1 && !word.starts_with('-'))
        .collect();
    words.extend(["location", "paths", "repository", "policy", "password"]);
    words.extend([
        "before",
        "after",
        "restore-before",
        "restore-after",
        "restore-stream",
    ]);
    words.extend(["verify", "hook-timeout"]);
    let logins = [
        "mysql-defaults-file",
        "postgres-service",
        "redis-user",
        "redis-password",
        "rabbitmq-user",
        "rabbitmq-password",
    ];
    let logins = logins.map(|key| format!("restore-{key}"));
    words.extend(logins.iter().map(String::as_str));
    assert!(words.len() > 150, "{words:?}");
    let words: Vec<&str> = words.into_iter().collect();
    for section in sections {
        let keys = table(&schema, section)["properties"].as_object().unwrap();
        let mut accepted: BTreeSet<&str> = words.iter().copied().collect();
        let is_named = ["repositories", "policies", "sets"].contains(&&**section);
        // br explains a limited number of mistakes.
        for words in words.chunks(60) {
            let mut text = format!("[{section}{}]\n", if is_named { ".x" } else { "" });
            for word in words {
                writeln!(text, "{word} = \"x\"").unwrap();
            }
            session.write_secret("br.toml", text);
            let checked = session.run(["--config", "br.toml", "config", "check", "--json"]);
            let checked = json(&checked.stdout);
            for mistake in checked["mistakes"].as_array().unwrap() {
                let message = mistake["message"].as_str().unwrap();
                assert!(!message.contains("unknown section"), "{message}");
                if let Some(key) = message.strip_prefix("unknown key `") {
                    accepted.remove(key.trim_end_matches('`'));
                }
            }
        }
        let known: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
        assert_eq!(known, accepted, "{section}");
    }
    let unknown = "[nonsense]\nx = 1\n";
    assert!(mismatch(&toml(unknown), &schema, "").is_some());
}

#[test]
fn examples_fit_the_schema_and_misspelled_keys_do_not() {
    let session = Session::new();
    let schema = schema(&session);
    let text = document("docs/config.md");
    let examples: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in &examples {
        assert_eq!(mismatch(&toml(example), &schema, ""), None, "{example}");
        for (right, wrong) in [
            ("\nexclude =", "\nexlude ="),
            ("[defaults]", "[default]"),
            ("password = \"file:", "password = \""),
            ("exclude-caches = true", "exclude-caches = \"yes\""),
            ("keep-daily = 7", "keep-dayly = 7"),
        ] {
            let misspelled = example.replace(right, wrong);
            if misspelled != **example {
                assert!(
                    mismatch(&toml(&misspelled), &schema, "").is_some(),
                    "{wrong}"
                );
            }
        }
    }
    for (text, fits) in [
        ("[backup]\nexclude = \"*.tmp\"\ncompression = 7\n", true),
        ("[backup]\ncompression = \"7\"\n", true),
        ("[backup]\ncompression = true\n", false),
        ("[backup]\ndeltas = \"sometimes\"\n", false),
        (
            "[sets.x]\npaths = [\"/home\"]\ncopy-to = [\"a\", \"b\"]\n",
            true,
        ),
        ("[sets.x]\ninit = true\n", false),
    ] {
        let found = mismatch(&toml(text), &schema, "");
        assert_eq!(found.is_none(), fits, "{text}: {found:?}");
    }
}

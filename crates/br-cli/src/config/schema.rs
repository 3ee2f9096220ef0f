//! The grammar of configuration files as a JSON schema, for editors.
//!
//! Invariant: the schema comes from the same table of keys as the checks, so it names exactly the keys that br accepts. It does not know what sections
//! say about each other.

use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

use super::document::NAMED;
use super::grammar::{Grammar, Key, Kind};

/// The schema of `br.toml`.
pub(crate) fn schema(br: Command) -> Value {
    let grammar = Grammar::new(br);
    let sections: Map<String, Value> = (grammar.sections().into_iter())
        .map(|name| {
            let section = section(&grammar, &name);
            (name, section)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "br.toml",
        "description": "Configuration of the backup tool br",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

fn section(grammar: &Grammar, name: &str) -> Value {
    let keys = grammar.keys(name).unwrap_or_default();
    let properties: Map<String, Value> = keys.iter().map(property).collect();
    let about = Grammar::about(name);
    let table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let mut table = if NAMED.contains(&name) {
        json!({"type": "object", "additionalProperties": table})
    } else {
        table
    };
    table["description"] = about.into();
    table
}

fn property(key: &Key) -> (String, Value) {
    let mut value = match &key.kind {
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Text => json!({"type": "string"}),
        Kind::List => list_of(&json!({"type": "string"})),
        Kind::Secret => json!({
            "type": "string",
            "pattern": "^(none$|(file|command|env|credential):.)",
        }),
        Kind::Option(arg) => of_option(arg),
    };
    value["description"] = key.about.clone().into();
    (key.name.clone(), value)
}

fn of_option(arg: &Arg) -> Value {
    if !arg.get_action().takes_values() {
        return json!({"type": "boolean"});
    }
    let words = arg.get_possible_values();
    let words: Vec<&str> = words
        .iter()
        .map(clap::builder::PossibleValue::get_name)
        .collect();
    let one = if words.is_empty() {
        json!({"type": ["string", "number"]})
    } else {
        json!({"enum": words})
    };
    match arg.get_action() {
        ArgAction::Append => list_of(&one),
        _ => one,
    }
}

/// One value, or a list of values.
fn list_of(one: &Value) -> Value {
    json!({"anyOf": [one, {"type": "array", "items": one}]})
}

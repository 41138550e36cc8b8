//! The one place that prints. Data goes to standard output, everything else to standard error. A closed pipe ends quietly.

use std::io::Write as _;

/// Prints data.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints a line for people.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints a value as JSON with its schema, or as text.
pub(crate) fn show(
    json: bool,
    schema: &str,
    value: &serde_json::Value,
    text: impl FnOnce() -> String,
) {
    if !json {
        data(&text());
        return;
    }
    let mut object = serde_json::Map::new();
    object.insert("schema".into(), schema.into());
    match value {
        serde_json::Value::Object(fields) => {
            object.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        other => {
            object.insert("value".into(), other.clone());
        }
    }
    data(&serde_json::Value::Object(object).to_string());
}

/// A table for people.
#[must_use]
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

//! What a run found: rows for people and for scripts.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::machine::{Machine, commit};

/// Rows with the machine and the commit that they were measured on.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Map<String, Value>>,
    /// Figures about all rows.
    summary: Map<String, Value>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a row: an object.
    pub(crate) fn row(&mut self, row: Value) {
        if let Value::Object(row) = row {
            self.rows.push(row);
        }
    }

    /// Adds a figure about all rows, which JSON has beside them.
    #[cfg(feature = "execute")]
    pub(crate) fn summarise(&mut self, name: &str, figure: Value) {
        self.summary.insert(name.to_owned(), figure);
    }

    /// Adds a sentence that belongs to every figure.
    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    pub(crate) fn to_json(&self) -> String {
        let mut all = json!({
            "schema": "gongsuan/bench/v1",
            "machine": Machine::read(),
            "commit": commit(),
            "seed": 0,
            "notes": self.notes,
            "rows": self.rows,
        });
        if let Value::Object(all) = &mut all {
            all.extend(self.summary.clone());
        }
        all.to_string()
    }

    pub(crate) fn to_table(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for key in self.rows.iter().flat_map(Map::keys) {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
        // The name first.
        columns.sort_by_key(|column| (*column != "name", *column != "batch"));
        let cell = |row: &Map<String, Value>, column: &str| match row.get(column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let mut table = vec![columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>()];
        table.extend(self.rows.iter().map(|row| columns.iter().map(|c| cell(row, c)).collect()));
        let width = |at: usize| table.iter().map(|row| row[at].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let mut text = format!("{} · commit {}\n", Machine::read().cpu, commit());
        for row in &table {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for (name, figure) in &self.summary {
            let _ = writeln!(text, "{name}: {figure}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

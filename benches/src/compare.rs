//! `gongsuan-bench compare`: two reports side by side.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

/// Options of `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The report to compare with.
    before: PathBuf,
    /// The new report.
    after: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn load(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is no report: {error}", path.display()))
}

/// What names a row: its texts other than results.
fn name(row: &Value) -> String {
    let parts = ["engine", "name", "workload"];
    let parts: Vec<&str> = parts.iter().filter_map(|part| row[*part].as_str()).collect();
    let batch = row["batch"].as_u64().map(|batch| format!(" {batch}")).unwrap_or_default();
    format!("{}{batch}", parts.join(" / "))
}

/// Runs `compare`.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let (before, after) = (load(&options.before)?, load(&options.after)?);
    let none = Vec::new();
    let rows = |report: &Value| report["rows"].as_array().unwrap_or(&none).clone();
    let mut found = Vec::new();
    for row in rows(&after) {
        let Some(old) = rows(&before).into_iter().find(|old| name(old) == name(&row)) else {
            continue;
        };
        let Some(fields) = row.as_object() else { continue };
        for (field, value) in fields {
            let (Some(new), Some(was)) = (value.as_u64(), old[field].as_u64()) else { continue };
            let percent = (new * 100).checked_div(was);
            found.push(serde_json::json!({
                "name": name(&row), "field": field, "before": was, "after": new,
                "percent": percent,
            }));
        }
        if let (Some(was), Some(new)) = (old["digest"].as_str(), row["digest"].as_str()) {
            found.push(serde_json::json!({
                "name": name(&row), "field": "digest", "before": was, "after": new,
                "equal": was == new,
            }));
        }
    }
    if options.json {
        let report = serde_json::json!({ "schema": "gongsuan/bench/compare/v1", "rows": found });
        crate::data(&report.to_string());
        return Ok(());
    }
    for row in &found {
        let percent = row["percent"].as_u64().map(|percent| format!("{percent} %"));
        let equal = row["equal"].as_bool().map(|equal| if equal { "equal" } else { "DIFFERS" });
        crate::data(&format!(
            "{:<44} {:<24} {:>18} {:>18}  {}",
            row["name"].as_str().unwrap_or_default(),
            row["field"].as_str().unwrap_or_default(),
            row["before"].to_string(),
            row["after"].to_string(),
            percent.as_deref().or(equal).unwrap_or("-")
        ));
    }
    Ok(())
}

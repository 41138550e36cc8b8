//! The report as one page with drawings in it; nothing is loaded from elsewhere.

use std::collections::BTreeSet;

use crate::report::{Report, Row};

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// One bar for each row, longest for the largest value.
fn bars(title: &str, unit: &str, rows: &[&Row], value: impl Fn(&Row) -> u64) -> String {
    let largest = rows.iter().map(|row| value(row)).max().unwrap_or(1).max(1);
    let height = 24 * rows.len() + 10;
    let mut svg = format!(
        "<h3>{}</h3><svg viewBox=\"0 0 760 {height}\" width=\"760\" height=\"{height}\" role=\"img\">",
        escape(title)
    );
    for (index, row) in rows.iter().enumerate() {
        let (y, length) = (24 * index + 4, (value(row) * 400 / largest).max(1));
        let fill = if row.engine.starts_with("gongsuan") { "#b3261e" } else { "#8a8f98" };
        let number = value(row);
        svg.push_str(&format!(
            "<text x=\"0\" y=\"{}\" font-size=\"13\">{}</text><rect x=\"190\" y=\"{y}\" width=\"{length}\" height=\"16\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\" font-size=\"12\">{number} {unit}</text>",
            y + 13,
            escape(&row.engine),
            length + 196,
            y + 13,
        ));
    }
    svg.push_str("</svg>");
    svg
}

/// The page.
pub(crate) fn page(report: &Report) -> Result<String, String> {
    let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Order books</title><style>body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2em auto;padding:0 1em}pre{background:#f4f4f2;padding:1em;overflow:auto}</style><h1>Order books under one stream of orders</h1>",
    );
    let workloads: BTreeSet<&str> = report.rows.iter().map(|row| row.workload.as_str()).collect();
    for workload in workloads {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.workload == workload).collect();
        page.push_str(&format!("<h2>{}</h2>", escape(workload)));
        page.push_str(&bars("Operations per second", "/s", &rows, |row| row.ops_per_second));
        page.push_str(&bars("99th percentile of one operation", "ns", &rows, |row| row.p99_ns));
    }
    page.push_str(&format!("<h2>All figures</h2><pre>{}</pre></html>\n", escape(&json)));
    Ok(page)
}

//! Rows of figures and the forms in which they are shown.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::machine::{Machine, commit};
use crate::matching::stream::{Kind, Stream};

/// One engine on one workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) engine: String,
    pub(crate) workload: String,
    /// The best run, by CPU time.
    pub(crate) ops_per_second: u64,
    pub(crate) ops_per_second_median: u64,
    /// The best run, by the clock on the wall.
    pub(crate) ops_per_second_wall: u64,
    pub(crate) cpu_ns_per_op: u64,
    /// Percentiles of single operations, one read of the clock included.
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) fills: u64,
    pub(crate) volume: u64,
    pub(crate) digest: String,
    /// Whether fills, volume and digest are those of the independent reference.
    pub(crate) equal: Option<bool>,
    #[serde(flatten)]
    pub(crate) extras: BTreeMap<String, u64>,
}

/// A workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workload {
    name: String,
    counts: BTreeMap<String, u64>,
}

/// Everything that one run of the benchmark found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    machine: Machine,
    commit: String,
    seed: u64,
    workloads: Vec<Workload>,
    left_out: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            schema: "gongsuan/bench/match/v1",
            machine: Machine::read(),
            commit: commit(),
            seed,
            workloads: Vec::new(),
            left_out: "decoding, signatures, accounts and state hashing; the books are in memory, on one thread",
            rows: Vec::new(),
        }
    }

    pub(crate) fn describe(&mut self, name: &str, stream: &Stream) {
        let count = |kind| stream.ops.iter().filter(|op| op.kind == kind).count() as u64;
        self.workload(
            name,
            &[
                ("preloaded", stream.preload.len() as u64),
                ("limit", count(Kind::Add)),
                ("cancel", count(Kind::Cancel)),
                ("market", count(Kind::Market)),
                ("resting_at_end", stream.resting as u64),
            ],
        );
    }

    pub(crate) fn workload(&mut self, name: &str, counts: &[(&str, u64)]) {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        self.workloads.push(Workload { name: name.into(), counts });
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        let Machine { cpu, cores, rustc, load, clock_read_ns } = &self.machine;
        crate::note(&format!(
            "{cpu}, {cores} cores, load {load}, {rustc}, commit {}, seed {}; a clock read takes {clock_read_ns} ns",
            self.commit, self.seed
        ));
        for workload in &self.workloads {
            let counts: Vec<String> =
                workload.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            crate::note(&format!("{}: {}", workload.name, counts.join(", ")));
        }
        let mut table = String::new();
        table.push_str(&format!(
            "{:<26} {:<24} {:>12} {:>12} {:>12} {:>7} {:>7} {:>8} {:>10}  {:>9} {:>16} {}\n",
            "engine",
            "workload",
            "ops/s",
            "median",
            "wall",
            "p50",
            "p99",
            "p99.9",
            "max ns",
            "fills",
            "digest",
            "equal"
        ));
        for row in &self.rows {
            let equal = row.equal.map_or("-", |equal| if equal { "yes" } else { "NO" });
            table.push_str(&format!(
                "{:<26} {:<24} {:>12} {:>12} {:>12} {:>7} {:>7} {:>8} {:>10}  {:>9} {:>16} {}",
                row.engine,
                row.workload,
                row.ops_per_second,
                row.ops_per_second_median,
                row.ops_per_second_wall,
                row.p50_ns,
                row.p99_ns,
                row.p999_ns,
                row.max_ns,
                row.fills,
                row.digest,
                equal
            ));
            for (name, value) in &row.extras {
                table.push_str(&format!(" {name}={value}"));
            }
            table.push('\n');
        }
        crate::note(&table);
    }

    pub(crate) fn write(
        &self,
        json: Option<&Path>,
        csv: Option<&Path>,
        html: Option<&Path>,
    ) -> Result<(), String> {
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
            if path == Path::new("-") {
                crate::data(&text);
            } else {
                save(path, &text)?;
            }
        }
        if let Some(path) = csv {
            save(path, &self.csv()?)?;
        }
        if let Some(path) = html {
            save(path, &crate::html::page(self)?)?;
        }
        Ok(())
    }

    fn csv(&self) -> Result<String, String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let fields = [
            "engine",
            "workload",
            "ops_per_second",
            "ops_per_second_median",
            "ops_per_second_wall",
            "cpu_ns_per_op",
            "p50_ns",
            "p99_ns",
            "p999_ns",
            "max_ns",
            "fills",
            "volume",
            "digest",
        ];
        let text = |error: csv::Error| error.to_string();
        writer.write_record(fields).map_err(text)?;
        for row in &self.rows {
            let value = serde_json::to_value(row).map_err(|error| error.to_string())?;
            let record = fields.map(|field| {
                value[field].as_str().map_or_else(|| value[field].to_string(), str::to_owned)
            });
            writer.write_record(&record).map_err(text)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

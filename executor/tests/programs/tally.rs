// Counts lines, numbers and words of its input, and tells a little of the world around it. Built for the machine and for WASI.
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Write};

fn main() {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut sum = 0.0_f64;
    let mut lines = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the input is text");
        lines += 1;
        for word in line.split_whitespace() {
            match word.parse::<f64>() {
                Ok(number) => sum += number.sqrt(),
                Err(_) => *counts.entry(word.to_lowercase()).or_default() += 1,
            }
        }
    }
    // The order of a hash map follows from random bytes: sorted, it is the same everywhere.
    let sorted: BTreeMap<_, _> = counts.into_iter().collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{lines} lines, roots sum up to {sum:.6}").unwrap();
    for (word, count) in &sorted {
        writeln!(out, "{word} {count}").unwrap();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    writeln!(out, "arguments {arguments:?}").unwrap();
    if let Err(error) = std::fs::write("/nowhere/at/all", "x") {
        writeln!(out, "writing: {}", error.kind() != std::io::ErrorKind::Other).unwrap();
    }
    out.flush().unwrap();
    std::process::exit(if lines == 0 { 3 } else { 0 });
}

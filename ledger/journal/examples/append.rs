//! Appends the words given to a journal, and prints all that is in it.
//!
//! ```text
//! cargo run -p gongsuan-journal --example append -- FOLDER word word ...
//! ```

use std::io::Write;
use std::path::Path;

use gongsuan_journal::{Folder, Journal, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("usage: append FOLDER [WORD ...]")?;
    let words: Vec<String> = words.collect();
    let options = Options::new(*b"words\0\0\0");
    let (mut journal, cut) = Journal::open(Box::new(Folder::open(Path::new(&folder))?), options)?;
    let mut out = std::io::stdout().lock();
    if let Some(cut) = cut {
        writeln!(out, "{} torn bytes were cut: {}", cut.bytes, cut.what)?;
    }
    journal.append_and_sync(&words)?;
    for record in journal.iter_from(journal.first()) {
        let (number, payload) = record?;
        writeln!(out, "{number} {}", String::from_utf8_lossy(&payload))?;
    }
    Ok(())
}

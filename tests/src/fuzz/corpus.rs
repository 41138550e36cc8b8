//! The committed seeds: `tests/corpus/<target>/<hash>`. Written by `cargo run -p gongsuan-tests --bin fuzz -- --write-corpus`.

use std::io;
use std::path::{Path, PathBuf};

use gongsuan_types::Hash;

use super::{Target, targets};

/// Where the corpora stand.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// A target's seeds, in the order of their names.
///
/// # Errors
/// What the disk said.
pub fn read_corpus(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    read(target.name)
}

pub(super) fn read(name: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder().join(name))? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

/// Writes the seeds of every target anew. Inputs that once broke something are kept: their names begin with `found-`. Returns the bytes written.
///
/// # Errors
/// What the disk said.
pub fn write_corpus() -> io::Result<usize> {
    let mut total = 0;
    for target in targets() {
        let folder = folder().join(target.name);
        std::fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with("found-") {
                std::fs::remove_file(entry.path())?;
            }
        }
        for seed in seeds {
            total += seed.len();
            std::fs::write(folder.join(Hash::of_content(&seed).short()), seed)?;
        }
    }
    Ok(total)
}

//! The process that commits blocks until it is ended.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use gongsuan_ledger::{Chain, Retention};

use super::truth::{Script, ordered};
use super::{NoSync, Plant, options};

/// Commits one block after another to the chain in `dir`, and appends each height to the file `acks` when it is durable. Does not end by itself.
///
/// # Errors
/// What failed, in words.
pub fn write(
    dir: &Path,
    acks: &Path,
    retention: Retention,
    plant: Plant,
) -> Result<std::convert::Infallible, String> {
    let script = Script::new();
    let chain = if plant == Plant::NoSync {
        Chain::open_over(&NoSync(dir), None, &script.genesis, options(retention))
    } else {
        Chain::open_with(dir, &script.genesis, options(retention))
    };
    let mut chain = chain.map_err(|error| format!("the folder does not open: {error}"))?;
    let list = File::options().create(true).append(true).open(acks);
    let mut list = list.map_err(|error| format!("{}: {error}", acks.display()))?;
    loop {
        let height = chain.state().height().0 + 1;
        let acknowledge = |list: &mut File| {
            let line = format!("{height}\n");
            list.write_all(line.as_bytes()).map_err(|error| format!("{}: {error}", acks.display()))
        };
        if plant == Plant::EarlyAck {
            acknowledge(&mut list)?;
        }
        let body = script.body(height);
        script.check_body(&body)?;
        let block = (ordered(&script, height, &body), height.to_le_bytes().to_vec());
        chain.commit(&[block]).map_err(|error| error.to_string())?;
        if plant != Plant::EarlyAck {
            acknowledge(&mut list)?;
        }
    }
}

/// The last block of the list of acknowledgements; a line that was cut short does not count.
pub(super) fn acknowledged(acks: &Path) -> u64 {
    let Ok(file) = File::open(acks) else { return 0 };
    let mut last = 0;
    let mut line = String::new();
    let mut reader = BufReader::new(file);
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        if let Some(height) = line.strip_suffix('\n').and_then(|line| line.parse().ok()) {
            last = height;
        }
        line.clear();
    }
    last
}

//! `kill -9` at random moments, also while the folder is being opened.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::truth::Truth;
use super::writer::acknowledged;
use super::{Dice, Plant, retention};

/// Kills of one folder, before a new one is begun.
const KILLS_PER_FOLDER: u64 = 40;
/// The writer lives at most so long.
const LIFE_MAX: Duration = Duration::from_millis(250);

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sum {
    /// Kills.
    pub kills: u64,
    /// Of these, how many came before the writer's first commit.
    pub while_opening: u64,
    /// Blocks acknowledged.
    pub acknowledged: u64,
    /// Blocks that were there without having been acknowledged.
    pub unacknowledged: u64,
}

/// Kills writers; the program `writer` takes a folder, a list of acknowledgements, a retention and a fault to plant.
///
/// # Errors
/// What was lost, in words, after how many kills.
pub fn run(room: &Path, times: u64, seed: u64, plant: Plant) -> Result<Sum, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut dice = Dice(seed);
    let mut sum = Sum::default();
    let mut folder = 0;
    while sum.kills < times {
        let dir = room.join(format!("home-{folder}"));
        let acks = room.join(format!("acks-{folder}"));
        let retention = retention(folder);
        let mut truth = Truth::new();
        let mut head = 0;
        for _ in 0..KILLS_PER_FOLDER.min(times - sum.kills) {
            let mut writer = Command::new(&program)
                .args(["write", "--plant", &plant.to_string()])
                .args(["--retention", &retention.to_string()])
                .arg(&dir)
                .arg(&acks)
                .stdin(Stdio::null())
                .spawn()
                .map_err(|error| format!("the writer does not start: {error}"))?;
            let life = LIFE_MAX * u32::try_from(dice.below(1_000)).unwrap_or(0) / 1_000;
            // The moment is random on purpose: what is waited for is nothing.
            let end = Instant::now() + life;
            while Instant::now() < end {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
            }
            let ended = writer.try_wait().map_err(|error| error.to_string())?;
            writer.kill().and_then(|()| writer.wait()).map_err(|error| error.to_string())?;
            sum.kills += 1;
            let what = |reason: String| {
                format!("kill {} (seed {seed}, retention {retention}): {reason}", sum.kills)
            };
            if let Some(status) = ended {
                return Err(what(format!("the writer ended by itself: {status}")));
            }
            let last = acknowledged(&acks);
            let found = truth.judge(&dir, retention, (head, last)).map_err(what)?;
            sum.while_opening += u64::from(last <= head);
            sum.acknowledged += last.saturating_sub(head);
            sum.unacknowledged += found - last.max(head).min(found);
            head = found;
        }
        drop(std::fs::remove_dir_all(&dir));
        folder += 1;
    }
    Ok(sum)
}

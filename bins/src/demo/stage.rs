//! What a person sees while the demo runs: lines with times on standard error, and a bar on a terminal.

use std::io::IsTerminal as _;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Summary;

pub(super) struct Stage {
    started: Instant,
    bars: MultiProgress,
    terminal: bool,
}

pub(super) struct Bar<'a> {
    stage: &'a Stage,
    bar: ProgressBar,
    told: std::cell::Cell<u32>,
    total: u32,
}

impl Stage {
    pub(super) fn new(started: Instant) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { started, bars: MultiProgress::with_draw_target(target), terminal }
    }

    pub(super) fn say(&self, word: &str, text: &str) {
        let line = format!("{:5.1}s {word:<8} {text}", self.started.elapsed().as_secs_f32());
        if self.terminal {
            drop(self.bars.println(line));
        } else {
            crate::cli::output::note(&line);
        }
    }

    pub(super) fn bar(&self, total: u32) -> Bar<'_> {
        let style = ProgressStyle::with_template("       run      {wide_bar} {pos}/{len} tiles");
        let bar = ProgressBar::new(u64::from(total));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Bar { stage: self, bar: self.bars.add(bar), told: std::cell::Cell::new(0), total }
    }

    pub(super) fn print_summary(&self, summary: &Summary) {
        crate::cli::demo::print_text(summary);
    }
}

impl Bar<'_> {
    /// Without a terminal: a line for every quarter.
    pub(super) fn set(&self, done: u32) {
        self.bar.set_position(u64::from(done));
        let quarter = (self.total / 4).max(1);
        if !self.stage.terminal && done / quarter > self.told.get() / quarter {
            self.told.set(done);
            self.stage.say("run", &format!("{done}/{} tiles", self.total));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

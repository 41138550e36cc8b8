//! A lane whose work is done by a pilot.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gongsuan_types::Hash;

use super::fleet::PilotState;
use super::link::Link;
use super::message::{Order, Report, TaskEnd};
use super::pace::Pace;
use super::pilots::Pilots;
use super::seal::{Reader, Writer};
use super::spool::{LOG, Part};
use crate::WorkerFailure;
use crate::jobs::log;
use crate::lane::{Lane, LaneEnd};
use crate::meter::MODULE_BYTES_MAX;
use crate::pool::{Cancel, Event, Inputs, Job};
use crate::worker::{check, refuse_too_large};

/// Inputs of one task in bytes, at about which the next task begins: the pilot holds them in memory.
const TASK_INPUT_BYTES: usize = 64 << 20;
/// Pilots in a row that were over before they stood, at which the work fails.
const STARTS_MAX: u32 = 3;
/// How long a pilot that was told to end may take.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts to get a pilot: a cluster's controller has other people to serve.
const HIRE_EVERY: Duration = Duration::from_millis(500);

/// Runs segments on one pilot at a time.
#[derive(Debug)]
pub(crate) struct PilotLane {
    number: usize,
    pilots: Arc<Pilots>,
    link: Option<Link>,
    /// Pilots in a row that did not come to stand.
    failed_starts: u32,
}

/// A stretch of a batch.
enum Stretch {
    /// An earlier controller's pilot did it.
    Stored(u32),
    /// To be done.
    Task(Vec<u32>),
}

fn lost(error: impl std::fmt::Display) -> LaneEnd {
    LaneEnd::Failed(WorkerFailure::Lost { reason: error.to_string() })
}

/// Why a pilot is of no use any more, if so.
fn fate(pilots: &Pilots, link: &mut Link) -> Option<String> {
    if let Some(why) = &link.left {
        return Some(why.clone());
    }
    let name = &link.contact.name;
    match pilots.state(name, link.since) {
        Some(PilotState::Over(why)) => return Some(format!("pilot {name} is over: {why}")),
        Some(PilotState::Waiting) => return None,
        Some(PilotState::Running) => drop(link.runs_since.get_or_insert_with(Instant::now)),
        None => {}
    }
    let limit = pilots.config().silence_max;
    if link.stands {
        let silence = link.heard.elapsed();
        return (silence >= limit)
            .then(|| format!("pilot {name} gave no sign of life for {silence:.0?}"));
    }
    let mute = link.runs_since.is_some_and(|since| since.elapsed() >= limit);
    mute.then(|| {
        format!("pilot {name} runs and says nothing that counts: another key, version or folder")
    })
}

/// Waits as long as given, unless nobody wants it any more.
fn pause(wanted: &dyn Fn() -> bool, patience: Duration) {
    let (mut pace, end) = (Pace::default(), Instant::now() + patience);
    while wanted() && Instant::now() < end {
        pace.wait();
    }
}

/// What a pilot that never stood has said to people.
fn last_words(pilots: &Pilots, link: &Link) -> String {
    let path = pilots.spool.pilot(&link.contact.name).join(LOG);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

impl PilotLane {
    pub(crate) fn new(number: usize, pilots: Arc<Pilots>) -> Self {
        Self { number, pilots, link: None, failed_starts: 0 }
    }

    /// Gives a pilot up.
    fn dismiss(&mut self) {
        if let Some(link) = self.link.take() {
            self.pilots.bury(&link.contact.name);
        }
    }

    fn stretches(&self, id: Hash, job: &Job, segments: &[u32]) -> Vec<Stretch> {
        let (mut stretches, mut bytes) = (Vec::new(), 0);
        for &segment in segments {
            let own = match &job.inputs {
                Inputs::Shared(_) => 0,
                Inputs::Each(_) => job.inputs.of(segment).map_or(0, <[u8]>::len),
            };
            match stretches.last_mut() {
                _ if self.pilots.has_stored(id, segment) => {
                    stretches.push(Stretch::Stored(segment));
                }
                Some(Stretch::Task(task)) if bytes < TASK_INPUT_BYTES => {
                    task.push(segment);
                    bytes += own;
                }
                Some(_) | None => {
                    stretches.push(Stretch::Task(vec![segment]));
                    bytes = own;
                }
            }
        }
        stretches
    }

    fn batch(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd> {
        let id = job.spec.id();
        for stretch in self.stretches(id, job, segments) {
            match stretch {
                Stretch::Task(segments) => self.task(id, job, &segments, stops, told)?,
                Stretch::Stored(segment) => {
                    let done = self.pilots.stored(id, segment);
                    // One that is of no use is forgotten, and the segment is run.
                    let Some(done) = done.and_then(|done| check(job, segment, done).ok()) else {
                        self.pilots.forget_stored(id, segment);
                        self.task(id, job, &[segment], stops, told)?;
                        continue;
                    };
                    told(Event::Done(done));
                }
            }
        }
        Ok(())
    }

    /// Orders a task; returns its number and where its results come.
    fn order(&mut self, id: Hash, job: &Job, segments: &[u32]) -> std::io::Result<(u64, Reader)> {
        self.pilots.put(id, job)?;
        let spool = &self.pilots.spool;
        let Some(link) = &mut self.link else {
            return Err(std::io::Error::other("no pilot stands"));
        };
        let (task, name) = (link.task, link.contact.name.clone());
        if !link.contact.occupy() {
            return Err(std::io::Error::other("the pilot was let go"));
        }
        link.task += 1;
        link.spent.push(task);
        let shared_input = match &job.inputs {
            Inputs::Shared(_) => true,
            Inputs::Each(_) => {
                let mut input = Writer::resume(spool.place(&name, Part::Input(task)))?;
                for &segment in segments {
                    let own = job.inputs.of(segment).map_err(std::io::Error::other)?;
                    input.append_bytes(own)?;
                }
                input.sync()?;
                false
            }
        };
        let results = spool.place(&name, Part::Result(task));
        File::create_new(&results.path)?;
        let (spec, segments) = (Box::new(job.spec.clone()), segments.to_vec());
        link.contact.say(&Order::Run { task, job: id, spec, segments, shared_input })?;
        Ok((task, Reader::new(results)))
    }

    /// One task from the order to its end.
    fn task(
        &mut self,
        id: Hash,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd> {
        let (task, mut results) = self.order(id, job, segments).map_err(lost)?;
        let mut waiting = segments.iter().copied();
        let mut pace = Pace::default();
        loop {
            let Some(link) = &mut self.link else { return Err(lost("no pilot stands")) };
            if stops.iter().any(|stop| stop.is_cancelled()) {
                link.contact.say(&Order::Cancel { task }).map_err(lost)?;
                return Err(LaneEnd::Cancelled);
            }
            // The end is looked for before the results are read: all of them come before it.
            let mut end = None;
            while let Some(report) = link.listen().map_err(lost)? {
                pace = Pace::default();
                match report {
                    Report::Worker { pid, protections } => {
                        told(Event::Worker { worker: self.number, pid, protections });
                    }
                    Report::Refused { task: of, error } if of == task => {
                        told(Event::Refused(error));
                    }
                    Report::Over { task: of, end: how } if of == task => end = Some(how),
                    // Of tasks that were cancelled.
                    Report::Refused { .. } | Report::Over { .. } | Report::Pong { .. } => {}
                    Report::Hello { .. } | Report::Beat | Report::Leaving { .. } => {}
                }
            }
            let gone = fate(&self.pilots, link);
            while let Some(bytes) = results.next_bytes().map_err(lost)? {
                pace = Pace::default();
                let done = log::parse(id, 0, &bytes).map_err(lost)?;
                let Some(segment) = waiting.next() else { return Err(lost("results too many")) };
                told(Event::Done(check(job, segment, done).map_err(LaneEnd::Failed)?));
            }
            match (end, gone) {
                (Some(TaskEnd::Done), _) if waiting.len() == 0 => return Ok(()),
                (Some(TaskEnd::Done), _) => return Err(lost("results are missing")),
                (Some(TaskEnd::Failed(why)), _) => return Err(LaneEnd::Failed(why)),
                (Some(TaskEnd::Cancelled), _) => return Err(lost("the pilot was told to end")),
                (None, Some(why)) => return Err(lost(why)),
                (None, None) => pace.wait(),
            }
        }
    }
}

impl Lane for PilotLane {
    /// Has a pilot that stands.
    fn stand(&mut self, wanted: &dyn Fn() -> bool) -> Result<bool, WorkerFailure> {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        while wanted() {
            let Some(link) = &mut self.link else {
                match self.pilots.hire() {
                    Ok(Some(link)) => self.link = Some(link),
                    Err(why) if begun.elapsed() >= self.pilots.config().start_patience => {
                        return Err(why);
                    }
                    Ok(None) | Err(_) => pause(wanted, HIRE_EVERY),
                }
                continue;
            };
            if !link.contact.occupy() {
                // It was let go for having had nothing to do.
                self.dismiss();
                continue;
            }
            let fate = match link.listen() {
                Ok(_) => fate(&self.pilots, link),
                Err(error) => Some(error.to_string()),
            };
            match fate {
                None if link.stands => {
                    link.contact.release();
                    self.failed_starts = 0;
                    return Ok(true);
                }
                None => pace.wait(),
                Some(_) if link.stands => self.dismiss(),
                Some(why) => {
                    let words = last_words(&self.pilots, link);
                    self.dismiss();
                    self.failed_starts += 1;
                    if self.failed_starts >= STARTS_MAX {
                        self.failed_starts = 0;
                        let command = format!("a pilot, {STARTS_MAX} times in a row,");
                        let reason = format!("{why}; its last words: {words}");
                        return Err(WorkerFailure::Spawn { command, reason });
                    }
                }
            }
        }
        if let Some(link) = &self.link {
            link.contact.release();
        }
        Ok(false)
    }

    fn run(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd> {
        if job.module.len() > MODULE_BYTES_MAX {
            return refuse_too_large(job, segments, told);
        }
        // Whatever was told before this call has been written down since.
        if let Some(link) = &mut self.link {
            for task in link.spent.drain(..) {
                self.pilots.spool.remove_task(&link.contact.name, task);
            }
        }
        let end = self.batch(job, segments, stops, told);
        match &self.link {
            // The pilot is of no further use, or nobody can say.
            Some(_) if matches!(end, Err(LaneEnd::Failed(WorkerFailure::Lost { .. }))) => {
                self.dismiss();
            }
            Some(link) => link.contact.release(),
            None => {}
        }
        end
    }

    /// Ends the pilot: nobody will come back for it.
    fn close(&mut self) {
        let Some(link) = &mut self.link else { return };
        if link.contact.end().is_ok() && link.stands {
            let (mut pace, deadline) = (Pace::default(), Instant::now() + END_PATIENCE);
            while link.left.is_none() && Instant::now() < deadline {
                if link.listen().is_err() {
                    break;
                }
                pace.wait();
            }
        }
        self.dismiss();
    }
}

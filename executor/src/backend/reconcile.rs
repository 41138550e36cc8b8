//! What a controller finds when it comes back.
//!
//! 1. Pilots that say so still stand: they are asked, not believed from old files. What they were at is stopped first, so that
//!    nothing is run here and there.
//! 2. Pilots that wait for a machine, by the word of the fleet, are kept.
//! 3. The others are over. If the fleet thinks otherwise, it is told.
//! 4. Every result that any of them finished is kept for whoever submits its job.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use super::fleet::{Fleet, PilotState};
use super::link::Link;
use super::message::{Order, Report};
use super::pace::Pace;
use super::seal::Reader;
use super::spool::{Part, Spool, SpoolError, io_error};
use super::stored::Stored;

/// How long a pilot that stands may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What was found when a spool was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reconciled {
    /// Pilots that stand, or wait for a machine.
    pub kept: usize,
    /// Pilots that are over.
    pub lost: usize,
    /// Results of segments that nobody has taken yet.
    pub results: usize,
}

pub(super) struct Found {
    pub(super) links: Vec<Link>,
    pub(super) stored: Stored,
    pub(super) summary: Reconciled,
}

pub(super) fn reconcile(
    spool: &Spool,
    fleet: &dyn Fleet,
    results_kept: Duration,
) -> Result<Found, SpoolError> {
    let names = spool.pilots()?;
    // A fleet that cannot say leaves it to the pilots themselves.
    let states = fleet.look(&names.iter().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let (mut links, mut asked, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let state = states.get(&name);
        if matches!(state, Some(PilotState::Over(_))) {
            over.push(name);
            continue;
        }
        let link = meet(spool, &name).map_err(io_error("read", &spool.pilot(&name)))?;
        if link.left.is_some() {
            over.push(name);
        } else if link.stands {
            asked.push(link);
        } else if state.is_some() {
            links.push(link);
        } else {
            over.push(name);
        }
    }
    for link in await_answers(asked) {
        match link {
            Ok(link) => links.push(link),
            Err(name) => over.push(name),
        }
    }
    let mut stored = Stored::default();
    let living = links.iter().map(|link| &link.contact.name);
    for name in living.chain(&over) {
        for task in spool.results(name)? {
            if is_stale(&spool.place(name, Part::Result(task)).path, results_kept) {
                spool.remove_task(name, task);
            } else {
                stored.index(spool, name, task);
            }
        }
    }
    // Nobody is at a task any more, and the last controller may have died between two files of a job.
    spool.remove_jobs()?;
    for name in &over {
        // If it cannot be ended it ends by itself when its folder is gone.
        let _ = fleet.end(name);
        stored.bury(spool, name);
    }
    let summary = Reconciled { kept: links.len(), lost: over.len(), results: stored.len() };
    Ok(Found { links, stored, summary })
}

/// Reads what was said to a pilot and by it, stops what it is at, and asks it to answer.
fn meet(spool: &Spool, name: &str) -> std::io::Result<Link> {
    let mut link = Link::fresh(spool, name)?;
    let mut open = BTreeSet::new();
    let mut inbox = Reader::new(spool.place(name, Part::Inbox));
    while let Some(order) = inbox.next::<Order>()? {
        if let Order::Run { task, .. } = order {
            open.insert(task);
            link.task = task + 1;
        }
    }
    while let Some(report) = link.listen()? {
        if let Report::Over { task, .. } = report {
            open.remove(&task);
        }
    }
    if link.stands && link.left.is_none() {
        for task in open {
            link.contact.say(&Order::Cancel { task })?;
        }
        link.contact.say(&Order::Ping { number: link.task })?;
    }
    Ok(link)
}

fn await_answers(asked: Vec<Link>) -> Vec<Result<Link, String>> {
    let deadline = Instant::now() + ANSWER_PATIENCE;
    asked
        .into_iter()
        .map(|mut link| {
            let mut pace = Pace::default();
            loop {
                match link.listen() {
                    Ok(Some(Report::Pong { number })) if number == link.task => return Ok(link),
                    Ok(Some(_)) => {}
                    Ok(None) if link.left.is_none() && Instant::now() < deadline => pace.wait(),
                    Ok(None) | Err(_) => return Err(link.contact.name.clone()),
                }
            }
        })
        .collect()
}

fn is_stale(path: &std::path::Path, kept: Duration) -> bool {
    let age = |at: SystemTime| at.elapsed().unwrap_or_default();
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| age(at) > kept)
}

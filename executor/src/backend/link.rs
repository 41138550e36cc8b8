//! What a controller holds of one pilot.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::{Order, PROTOCOL, Report};
use super::seal::{Reader, Writer};
use super::spool::{Part, Spool};

/// The way to a pilot: what the keeper of all pilots shares with the lane that uses this one.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    inbox: Writer,
    /// When it last had something to do; `None` while it has.
    idle_since: Option<Instant>,
    ended: bool,
}

impl Contact {
    pub(super) fn new(name: &str, inbox: Writer) -> Self {
        let inner = Inner { inbox, idle_since: Some(Instant::now()), ended: false };
        Self { name: name.to_owned(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, order: &Order) -> io::Result<()> {
        self.lock().inbox.say(order)
    }

    /// Ends the pilot in peace.
    pub(super) fn end(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.ended = true;
        inner.inbox.say(&Order::End)
    }

    /// Has the pilot at work, or waited for, unless it was let go.
    pub(super) fn occupy(&self) -> bool {
        let mut inner = self.lock();
        inner.idle_since = None;
        !inner.ended
    }

    /// Has nothing for the pilot to do.
    pub(super) fn release(&self) {
        self.lock().idle_since = Some(Instant::now());
    }

    /// Shows a sign of life, or lets the pilot go. What cannot be written is noticed by whoever needs the pilot.
    pub(super) fn mind(&self, beat: bool, idle_max: Duration) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        if inner.idle_since.is_some_and(|since| since.elapsed() >= idle_max) {
            inner.ended = true;
            let _ = inner.inbox.say(&Order::End);
        } else if beat {
            let _ = inner.inbox.say(&Order::Beat);
        }
    }
}

/// A pilot in the hands of one lane.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) contact: Arc<Contact>,
    pub(super) outbox: Reader,
    /// When it was asked for.
    pub(super) since: Instant,
    /// When the fleet first said that it runs.
    pub(super) runs_since: Option<Instant>,
    /// Its last sign of life.
    pub(super) heard: Instant,
    /// Whether it has said hello.
    pub(super) stands: bool,
    /// Whether it has said goodbye, and why.
    pub(super) left: Option<String>,
    /// The number of the next task.
    pub(super) task: u64,
    /// A task whose files are not needed any more once its results were taken.
    pub(super) spent: Vec<u64>,
}

impl Link {
    /// To a pilot that is about to be started.
    pub(super) fn fresh(spool: &Spool, name: &str) -> io::Result<Self> {
        let inbox = Writer::resume(spool.place(name, Part::Inbox))?;
        let now = Instant::now();
        Ok(Self {
            contact: Arc::new(Contact::new(name, inbox)),
            outbox: Reader::new(spool.place(name, Part::Outbox)),
            since: now,
            runs_since: None,
            heard: now,
            stands: false,
            left: None,
            task: 0,
            spent: Vec::new(),
        })
    }

    /// The next report, signs of life taken out.
    pub(super) fn listen(&mut self) -> io::Result<Option<Report>> {
        while let Some(report) = self.outbox.next::<Report>()? {
            self.heard = Instant::now();
            match report {
                Report::Hello { protocol: PROTOCOL, .. } => self.stands = true,
                Report::Hello { protocol, host, .. } => {
                    self.left = Some(format!(
                        "the pilot on {host} speaks version {protocol}, this is version {PROTOCOL}"
                    ));
                }
                Report::Leaving { why } => self.left = Some(format!("it left: {why}")),
                Report::Beat => {}
                Report::Worker { .. }
                | Report::Refused { .. }
                | Report::Over { .. }
                | Report::Pong { .. } => return Ok(Some(report)),
            }
        }
        Ok(None)
    }
}

//! The controller's side: which pilots there are, what they left behind, who still needs what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gongsuan_types::Hash;

use super::fleet::{Fleet, PilotState};
use super::link::{Contact, Link};
use super::reconcile::{self, Reconciled};
use super::seal::{Key, random};
use super::spool::{Spool, SpoolError, io_error};
use super::stored::Stored;
use crate::pool::{Inputs, Job};
use crate::{SegmentOutput, WorkerFailure};

/// Between two words to a pilot that has nothing to do.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at who has nothing to do.
const LOOK_AT_IDLE_EVERY: Duration = Duration::from_millis(250);
/// Memory that a pilot and its worker need beside a piece's own: the compiler, the engine, the module.
const OVERHEAD_BYTES: u64 = 256 << 20;

/// How pilots are used.
#[derive(Clone, Debug)]
pub struct PilotsConfig {
    /// The spool's folder, on a file system that all machines see.
    pub spool: PathBuf,
    /// The spool's key ([`super::key_file`]).
    pub key: Key,
    /// Pilots at once, at most. They are started when there is work for them.
    pub pilots: usize,
    /// Fuel that is handed to a pilot at once: enough for a second or so, because handing out costs some milliseconds.
    pub batch_fuel: u64,
    /// Memory of one pilot with its worker, in bytes.
    pub memory_bytes: u64,
    /// A pilot that stands and gives no sign of life for so long is given up.
    pub silence_max: Duration,
    /// A pilot without work for so long is let go.
    pub idle_max: Duration,
    /// How long starting a pilot is tried again when it is refused, before the work fails.
    pub start_patience: Duration,
    /// How often a [`Fleet`] is asked for its pilots, at most.
    pub look_every: Duration,
    /// How long results are kept that nobody asked for.
    pub results_kept: Duration,
}

impl PilotsConfig {
    /// Two pilots of 2 GiB, 4 Gf at once; patient by a minute, idle for five, a look every two seconds, results for a week.
    #[must_use]
    pub fn new(spool: PathBuf, key: Key) -> Self {
        Self {
            spool,
            key,
            pilots: 2,
            batch_fuel: 4_000_000_000,
            memory_bytes: 2 << 30,
            silence_max: Duration::from_mins(1),
            idle_max: Duration::from_mins(5),
            start_patience: Duration::from_mins(1),
            look_every: Duration::from_secs(2),
            results_kept: Duration::from_hours(7 * 24),
        }
    }
}

/// Pilots and their spool. One controller has it at a time; dropping it leaves the pilots to the next one.
#[derive(Debug)]
pub struct Pilots {
    pub(super) config: PilotsConfig,
    pub(super) spool: Spool,
    fleet: Arc<dyn Fleet>,
    reconciled: Reconciled,
    found: Mutex<VecDeque<Link>>,
    /// Pilots that are known already, where they join by themselves.
    welcomed: Mutex<BTreeSet<String>>,
    stored: Mutex<Stored>,
    taken: AtomicU64,
    /// Jobs that lanes may be at, with how many times each was submitted.
    jobs: Mutex<BTreeMap<Hash, usize>>,
    contacts: Arc<Contacts>,
    seen: Arc<Mutex<Seen>>,
    /// Held, not read.
    _lock: File,
}

/// All pilots, for whoever keeps them.
#[derive(Debug, Default)]
struct Contacts(Mutex<Vec<Weak<Contact>>>);

impl Contacts {
    fn living(&self) -> Vec<Arc<Contact>> {
        let mut contacts = lock(&self.0);
        contacts.retain(|contact| contact.strong_count() > 0);
        contacts.iter().filter_map(Weak::upgrade).collect()
    }
}

/// The fleet as it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    asked: Option<Instant>,
    looking: bool,
    answered: Option<Instant>,
    states: BTreeMap<String, PilotState>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pilots {
    /// Opens a spool as its one controller. Pilots that an earlier controller left are found again, what they were at is stopped, and what they
    /// finished is kept for whoever submits the same job.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn open(config: PilotsConfig, fleet: Arc<dyn Fleet>) -> Result<Arc<Self>, SpoolError> {
        let (spool, lock) = Spool::open(&config.spool, config.key.clone())?;
        let found = reconcile::reconcile(&spool, fleet.as_ref(), config.results_kept)?;
        let contacts = found.links.iter().map(|link| Arc::downgrade(&link.contact)).collect();
        let contacts = Arc::new(Contacts(Mutex::new(contacts)));
        // Those that are over and left results are not met again.
        let welcomed = spool.pilots()?.into_iter().collect();
        let (kept, idle_max) = (Arc::downgrade(&contacts), config.idle_max);
        let path = config.spool.clone();
        let keeper = std::thread::Builder::new().name("pilots".to_owned());
        keeper
            .spawn(move || keep(&kept, idle_max))
            .map_err(io_error("start a thread for", &path))?;
        Ok(Arc::new(Self {
            config,
            spool,
            fleet,
            reconciled: found.summary,
            found: Mutex::new(found.links.into()),
            welcomed: Mutex::new(welcomed),
            stored: Mutex::new(found.stored),
            taken: AtomicU64::new(0),
            jobs: Mutex::default(),
            contacts,
            seen: Arc::default(),
            _lock: lock,
        }))
    }

    /// How they are used.
    #[must_use]
    pub fn config(&self) -> &PilotsConfig {
        &self.config
    }

    /// What was there when the spool was opened.
    #[must_use]
    pub fn reconciled(&self) -> Reconciled {
        self.reconciled
    }

    /// Results of an earlier controller's pilots that were taken instead of running their segments.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Memory that one piece may have, in bytes.
    pub(crate) fn piece_bytes_max(&self) -> u64 {
        self.config.memory_bytes.saturating_sub(OVERHEAD_BYTES)
    }

    /// A pilot that was found, or a new one that has been asked for; `None` if it is to be waited for.
    pub(super) fn hire(&self) -> Result<Option<Link>, WorkerFailure> {
        if let Some(link) = lock(&self.found).pop_front() {
            return Ok(Some(link));
        }
        let lost = |error: SpoolError| WorkerFailure::Lost { reason: error.to_string() };
        if self.fleet.is_joined() {
            return self.welcome().map_err(lost);
        }
        let name = self.name()?;
        self.spool.make_pilot(&name).map_err(lost)?;
        let link = self.meet(&name).map_err(lost)?;
        if let Err(failure) = self.fleet.start(&name) {
            self.spool.remove_pilot(&name);
            return Err(failure);
        }
        lock(&self.contacts.0).push(Arc::downgrade(&link.contact));
        Ok(Some(link))
    }

    /// A pilot that has joined and that no lane has had.
    fn welcome(&self) -> Result<Option<Link>, SpoolError> {
        let mut welcomed = lock(&self.welcomed);
        let joined = self.spool.pilots()?;
        let Some(name) = joined.into_iter().find(|name| !welcomed.contains(name)) else {
            return Ok(None);
        };
        let link = self.meet(&name)?;
        welcomed.insert(name);
        lock(&self.contacts.0).push(Arc::downgrade(&link.contact));
        Ok(Some(link))
    }

    fn meet(&self, name: &str) -> Result<Link, SpoolError> {
        Link::fresh(&self.spool, name).map_err(io_error("open", &self.spool.pilot(name)))
    }

    fn name(&self) -> Result<String, WorkerFailure> {
        let draw =
            random::<8>().map_err(|error| WorkerFailure::Lost { reason: error.to_string() })?;
        Ok(format!("gongsuan-{:016x}", u64::from_le_bytes(draw)))
    }

    /// What the fleet says of a pilot, from a look that is younger than `since`. Looking takes as long as it takes, beside the work.
    pub(super) fn state(&self, name: &str, since: Instant) -> Option<PilotState> {
        let mut seen = lock(&self.seen);
        let is_due = seen.asked.is_none_or(|at| at.elapsed() >= self.config.look_every);
        if is_due && !seen.looking {
            let asked = Instant::now();
            (seen.asked, seen.looking) = (Some(asked), true);
            let (fleet, names) = (Arc::clone(&self.fleet), self.names());
            let shared = Arc::clone(&self.seen);
            let look = move || {
                let states = fleet.look(&names);
                let mut seen = lock(&shared);
                seen.looking = false;
                // A fleet that cannot say is asked again later; until then signs of life decide.
                if let Ok(states) = states {
                    (seen.answered, seen.states) = (Some(asked), states);
                }
            };
            let thread = std::thread::Builder::new().name("fleet".to_owned());
            if thread.spawn(look).is_err() {
                seen.looking = false;
            }
        }
        seen.answered.filter(|at| *at > since).and_then(|_| seen.states.get(name).cloned())
    }

    fn names(&self) -> BTreeSet<String> {
        self.contacts.living().iter().map(|one| one.name.clone()).collect()
    }

    /// Ends a pilot that is of no use any more, and removes what is not needed of it.
    pub(super) fn bury(&self, name: &str) {
        // If it cannot be ended it ends by itself when its folder is gone.
        let _ = self.fleet.end(name);
        lock(&self.stored).bury(&self.spool, name);
    }

    /// Whether an earlier controller's pilots left a result.
    pub(super) fn has_stored(&self, job: Hash, segment: u32) -> bool {
        lock(&self.stored).has(job, segment)
    }

    /// A stored result is of no use.
    pub(super) fn forget_stored(&self, job: Hash, segment: u32) {
        lock(&self.stored).forget_one(&self.spool, job, segment);
    }

    /// A result that an earlier controller's pilots left.
    pub(super) fn stored(&self, job: Hash, segment: u32) -> Option<SegmentOutput> {
        let found = lock(&self.stored).read(&self.spool, job, segment);
        self.taken.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
        found
    }

    /// Puts down what a job's segments have in common, if it is not there.
    pub(super) fn put(&self, id: Hash, job: &Job) -> std::io::Result<()> {
        let _turn = lock(&self.jobs);
        if self.spool.has_job(id) {
            return Ok(());
        }
        let shared = match &job.inputs {
            Inputs::Shared(bytes) => Some(bytes.as_ref()),
            Inputs::Each(_) => None,
        };
        self.spool.put_job(id, &job.module, shared)
    }

    /// A job that lanes will be at until the value is dropped.
    pub(crate) fn enter(self: &Arc<Self>, job: Hash) -> Stay {
        *lock(&self.jobs).entry(job).or_insert(0) += 1;
        Stay { pilots: Arc::clone(self), job, complete: AtomicBool::new(false) }
    }
}

/// A job in the spool. Its files go with the last of them.
#[derive(Debug)]
pub(crate) struct Stay {
    pilots: Arc<Pilots>,
    job: Hash,
    complete: AtomicBool,
}

impl Stay {
    /// Everything of the job was told: what is left of it is of no use.
    pub(crate) fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut jobs = lock(&self.pilots.jobs);
        let Some(count) = jobs.get_mut(&self.job) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        jobs.remove(&self.job);
        self.pilots.spool.remove_job(self.job);
        let complete = self.complete.load(Ordering::Relaxed);
        lock(&self.pilots.stored).forget(&self.pilots.spool, self.job, complete);
    }
}

/// Says to all pilots that the controller lives, and lets go those that had nothing to do for long.
fn keep(contacts: &Weak<Contacts>, idle_max: Duration) {
    let mut beaten = Instant::now();
    loop {
        std::thread::sleep(LOOK_AT_IDLE_EVERY);
        let Some(contacts) = contacts.upgrade() else { return };
        let beat = beaten.elapsed() >= BEAT_EVERY;
        if beat {
            beaten = Instant::now();
        }
        for contact in contacts.living() {
            contact.mind(beat, idle_max);
        }
    }
}

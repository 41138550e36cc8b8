//! What a deal has done, on disk: an agent that comes back does not run it twice.
//!
//! ```text
//! deals/<deal>-<cases>    results, one folder for each case that was lost or won: after a case it is run anew, whatever was found before
//! lists/<deal>-<hash>     a list of receipts that is committed, and shown when the auditors have sealed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_executor::SegmentOutput;
use gongsuan_executor::jobs::{JobLog, log};
use gongsuan_journal::{Folder, Journal, JournalError, Options};
use gongsuan_market::Deal;
use gongsuan_types::job::JobSpec;
use gongsuan_types::{DealId, Hash};

/// Results of one deal, durable before they are told.
#[derive(Debug)]
pub(super) struct DealLog(Journal);

impl JobLog for DealLog {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<(), String> {
        self.0.append_and_sync(records).map(drop).map_err(|error| error.to_string())
    }
}

fn name(deal: &Deal) -> String {
    format!("{}-{}", deal.id, deal.cases)
}

/// The journals of an agent, in a folder of its own.
#[derive(Debug, Clone)]
pub(super) struct Journals(PathBuf);

impl Journals {
    pub(super) fn new(state: PathBuf) -> Self {
        Self(state)
    }

    fn deals(&self) -> PathBuf {
        self.0.join("deals")
    }

    /// Opens a deal's journal, and reads what is done. One that cannot be read is begun anew: it costs work, not money.
    pub(super) fn open(
        &self,
        deal: &Deal,
        spec: &JobSpec,
    ) -> anyhow::Result<(DealLog, BTreeMap<u32, SegmentOutput>)> {
        let path = self.deals().join(name(deal));
        match read(&path, spec) {
            Ok(found) => Ok(found),
            Err(error) if is_worlds_fault(&error) => Err(error),
            Err(error) => {
                tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "the journal is begun anew");
                std::fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
                read(&path, spec)
            }
        }
    }

    /// Forgets what a deal has done: it is committed.
    pub(super) fn remove(&self, deal: &Deal) {
        // What stays is removed when the deal is over.
        let _ = std::fs::remove_dir_all(self.deals().join(name(deal)));
    }

    /// Keeps a list of receipts that is committed and not shown yet; durable when this returns.
    pub(super) fn hold(&self, deal: DealId, list: &[u8]) -> anyhow::Result<()> {
        let path = self.held(deal, Hash::of_content(list));
        let dir = path.parent().context("a folder of lists")?;
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let new = path.with_extension("new");
        let write = || {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(list)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(dir)?.sync_all()
        };
        write().with_context(|| format!("cannot keep {}", path.display()))
    }

    /// The list that a deal has committed under this hash, if it is still held back.
    pub(super) fn held_list(&self, deal: DealId, hash: Hash) -> Option<Vec<u8>> {
        let list = std::fs::read(self.held(deal, hash)).ok()?;
        (Hash::of_content(&list) == hash).then_some(list)
    }

    /// Forgets a list that is shown.
    pub(super) fn release(&self, deal: DealId, hash: Hash) {
        // What stays is removed when the deal is over.
        let _ = std::fs::remove_file(self.held(deal, hash));
    }

    fn held(&self, deal: DealId, hash: Hash) -> PathBuf {
        self.0.join("lists").join(format!("{deal}-{hash}"))
    }

    /// Forgets everything of these deals.
    pub(super) fn forget(&self, over: &BTreeSet<DealId>) {
        self.remove_where(|deal| over.contains(&deal));
    }

    /// Forgets everything but of these deals.
    pub(super) fn keep_only(&self, open: &BTreeSet<DealId>) {
        self.remove_where(|deal| !open.contains(&deal));
    }

    fn remove_where(&self, is_over: impl Fn(DealId) -> bool) {
        for folder in [self.deals(), self.0.join("lists")] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let deal = name.split_once('-').and_then(|(deal, _)| deal.parse().ok());
                if deal.is_some_and(&is_over) {
                    let path = entry.path();
                    let _ = match path.is_dir() {
                        true => std::fs::remove_dir_all(path),
                        false => std::fs::remove_file(path),
                    };
                }
            }
        }
    }
}

/// Whether the journal itself may be well.
fn is_worlds_fault(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<JournalError>();
    error
        .is_some_and(|error| matches!(error, JournalError::Locked { .. } | JournalError::Io { .. }))
}

fn read(path: &Path, spec: &JobSpec) -> anyhow::Result<(DealLog, BTreeMap<u32, SegmentOutput>)> {
    let disk = Folder::open(path)?;
    let (journal, _) = Journal::open(Box::new(disk), Options::new(*b"dealwork"))?;
    let numbers = journal.first()..journal.next();
    let records = numbers.filter_map(|number| journal.read(number).transpose());
    let done = log::replay(spec, records.collect::<Result<Vec<_>, _>>()?)?;
    Ok((DealLog(journal), done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
    use gongsuan_executor::jobs::Options;
    use gongsuan_executor::{Backend as _, EngineKind, InProcess, Inputs, Job};

    #[test]
    fn a_list_is_held_until_it_is_shown_or_its_deal_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::new(folder.path().to_owned());
        let deal = DealId(4);
        let hash = Hash::of_content(b"list");
        assert_eq!(journals.held_list(deal, hash), None);
        journals.hold(deal, b"list").unwrap();
        assert_eq!(journals.held_list(deal, hash).as_deref(), Some(b"list".as_slice()));
        assert_eq!(journals.held_list(DealId(14), hash), None);
        // Torn by something: it is not what was committed, and is not shown.
        std::fs::write(journals.held(deal, hash), b"li").unwrap();
        assert_eq!(journals.held_list(deal, hash), None);
        journals.hold(deal, b"list").unwrap();
        journals.forget(&BTreeSet::from([DealId(14)]));
        assert!(journals.held_list(deal, hash).is_some(), "another deal is over");
        journals.keep_only(&BTreeSet::from([deal]));
        assert!(journals.held_list(deal, hash).is_some(), "it is open");
        journals.forget(&BTreeSet::from([deal]));
        assert_eq!(std::fs::read_dir(folder.path().join("lists")).unwrap().count(), 0);
    }

    #[test]
    fn what_was_done_is_read_again_and_another_jobs_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deals/4-0");
        let scene =
            RaytraceScene { width: 8, height: 8, columns: 2, rows: 2, ..Default::default() };
        let spec = scene.to_job(Hash::ZERO);
        let job = Job {
            module: RAYTRACE.into(),
            spec: spec.clone(),
            segments: vec![2, 1],
            inputs: Inputs::Shared(scene.to_input().into()),
        };
        let (journal, before) = read(&path, &spec).unwrap();
        assert!(before.is_empty());
        let busy = read(&path, &spec).unwrap_err();
        assert!(is_worlds_fault(&busy), "{busy}");
        let threads = InProcess { engine: EngineKind::Wasmi, threads: 1 };
        let options = Options { log: Some(Box::new(journal)), ..Options::default() };
        let receipts = threads.submit(job, options).unwrap().wait(&mut |_| {}).unwrap();
        let (journal, after) = read(&path, &spec).unwrap();
        assert_eq!([after[&2].receipt, after[&1].receipt], receipts[..]);
        assert_eq!(after.len(), 2);
        drop(journal);
        let other = RaytraceScene { seed: 1, ..scene }.to_job(Hash::ZERO);
        assert!(!is_worlds_fault(&read(&path, &other).unwrap_err()));
    }
}

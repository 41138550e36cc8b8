//! What a deal has done, on disk: an agent that comes back does not run it twice.
//!
//! One folder for each deal and for each case that it lost or won: after a case it is run anew, whatever was found before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_executor::SegmentOutput;
use gongsuan_executor::jobs::{JobLog, log};
use gongsuan_journal::{Folder, Journal, JournalError, Options};
use gongsuan_market::Deal;
use gongsuan_types::job::JobSpec;

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

fn deals(state: &Path) -> PathBuf {
    state.join("deals")
}

/// Opens a deal's journal, and reads what is done. One that cannot be read is begun anew: it costs work, not money.
pub(super) fn open(
    state: &Path,
    deal: &Deal,
    spec: &JobSpec,
) -> anyhow::Result<(DealLog, BTreeMap<u32, SegmentOutput>)> {
    let path = deals(state).join(name(deal));
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

/// Forgets a deal that is committed.
pub(super) fn remove(state: &Path, deal: &Deal) {
    // What stays is removed when the deal is over.
    let _ = std::fs::remove_dir_all(deals(state).join(name(deal)));
}

/// Forgets the deals that are not among these.
pub(super) fn keep_only<'a>(state: &Path, open: impl Iterator<Item = &'a Deal>) {
    let Ok(found) = std::fs::read_dir(deals(state)) else { return };
    let open: BTreeSet<String> = open.map(|deal| deal.id.to_string()).collect();
    for entry in found.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('-').is_some_and(|(deal, _)| !open.contains(deal)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
    use gongsuan_executor::jobs::Options;
    use gongsuan_executor::{Backend as _, EngineKind, InProcess, Inputs, Job};
    use gongsuan_types::Hash;

    use super::*;

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

//! What is written down while a job runs, and what is left to do when it is read again.

use std::collections::BTreeMap;

use gongsuan_types::job::{JobSpec, OUTPUT_BYTES_MAX};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Hash, codec};
use serde::{Deserialize, Serialize};

use crate::SegmentOutput;
use crate::wasi::LOG_BYTES_MAX;

/// Room of a record's own fields.
const RECORD_BYTES_MAX: usize = OUTPUT_BYTES_MAX as usize + LOG_BYTES_MAX + 1024;

/// Where a job's results are written down before they are told. Any durable list of records will do, such as a `Journal` of
/// `gongsuan-journal`.
pub trait JobLog: Send {
    /// Appends records and returns when they would survive a crash.
    ///
    /// # Errors
    /// Why they could not be written: the job then ends with [`crate::PoolError::Log`].
    fn append(&mut self, records: &[Vec<u8>]) -> Result<(), String>;
}

/// A finished segment as it is written down.
#[derive(Serialize, Deserialize)]
struct Record {
    job: Hash,
    receipt: Receipt,
    output: Vec<u8>,
    log: Vec<u8>,
}

/// Why a job's log cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A record does not decode.
    #[error("record {index} of the job's log does not decode: {reason}")]
    Malformed {
        /// Which record, from 0.
        index: usize,
        /// What was wrong.
        reason: String,
    },
    /// A record belongs to another job.
    #[error("record {index} of the job's log is of job {got}, this is job {expected}")]
    OtherJob {
        /// Which record, from 0.
        index: usize,
        /// The job that is resumed.
        expected: Hash,
        /// The job of the record.
        got: Hash,
    },
    /// An output is not the one that its receipt names.
    #[error("record {index} of the job's log holds an output that is not its receipt's")]
    WrongOutput {
        /// Which record, from 0.
        index: usize,
    },
}

/// A finished segment as bytes for [`JobLog::append`].
pub(crate) fn record(job: Hash, done: &SegmentOutput) -> Vec<u8> {
    let SegmentOutput { receipt, output, log } = done.clone();
    codec::encode(&Record { job, receipt, output, log })
}

/// Reads a job's log: what is done already, by segment. A segment written twice counts once.
///
/// # Errors
/// [`LogError`]: nothing of a damaged log is used.
pub fn replay<R: AsRef<[u8]>>(
    spec: &JobSpec,
    records: impl IntoIterator<Item = R>,
) -> Result<BTreeMap<u32, SegmentOutput>, LogError> {
    let expected = spec.id();
    let mut done = BTreeMap::new();
    for (index, bytes) in records.into_iter().enumerate() {
        let output = parse(expected, index, bytes.as_ref())?;
        done.insert(output.receipt.segment, output);
    }
    Ok(done)
}

/// A finished segment out of the bytes of record number `index`.
pub(crate) fn parse(expected: Hash, index: usize, bytes: &[u8]) -> Result<SegmentOutput, LogError> {
    let malformed =
        |error: codec::DecodeError| LogError::Malformed { index, reason: error.to_string() };
    let (got, done) = open(bytes).map_err(malformed)?;
    if got != expected {
        return Err(LogError::OtherJob { index, expected, got });
    }
    if Hash::of_content(&done.output) != done.receipt.output {
        return Err(LogError::WrongOutput { index });
    }
    Ok(done)
}

/// A finished segment and the job that it is of, as they were written.
pub(crate) fn open(bytes: &[u8]) -> Result<(Hash, SegmentOutput), codec::DecodeError> {
    let record: Record = codec::decode("job record", RECORD_BYTES_MAX, bytes)?;
    let Record { job, receipt, output, log } = record;
    Ok((job, SegmentOutput { receipt, output, log }))
}

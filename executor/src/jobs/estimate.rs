//! What a job will cost, from running a few of its segments.

use gongsuan_types::receipt::{Receipt, Status};
use gongsuan_types::{Fuel, job::SEGMENT_FUEL_MAX};

use crate::PoolError;
use crate::pool::{Backend, Cancel, Job};

/// What a dry run found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Segments of the job, those that ran among them.
    pub segments: u32,
    /// The receipts of the segments that ran. They are true receipts: a later run need not repeat them.
    pub receipts: Vec<Receipt>,
}

impl Estimate {
    /// Fuel of the whole job if the other segments are like those that ran, rounded up.
    #[must_use]
    pub fn fuel(&self) -> Fuel {
        let sum: u128 = self.receipts.iter().map(|receipt| u128::from(receipt.fuel.0)).sum();
        let ran = self.receipts.len().max(1) as u128;
        Fuel(u64::try_from((sum * u128::from(self.segments)).div_ceil(ran)).unwrap_or(u64::MAX))
    }

    /// Fuel of the dearest segment that ran.
    #[must_use]
    pub fn most(&self) -> Fuel {
        self.receipts.iter().map(|receipt| receipt.fuel).max().unwrap_or(Fuel(0))
    }

    /// A limit for each segment: half as much again as the dearest that ran, within what a segment may have.
    #[must_use]
    pub fn limit(&self) -> Fuel {
        Fuel((self.most().0.saturating_add(self.most().0 / 2)).clamp(1, SEGMENT_FUEL_MAX.0))
    }

    /// The whole job's price at `per_giga_fuel` for 10⁹ fuel, rounded up, in the price's own money.
    #[must_use]
    pub fn price(&self, per_giga_fuel: u128) -> u128 {
        per_giga_fuel.saturating_mul(u128::from(self.fuel().0)).div_ceil(1_000_000_000)
    }

    /// The segments that ran and did not end well.
    pub fn failures(&self) -> impl Iterator<Item = (u32, Status)> {
        let ended = self.receipts.iter().map(|receipt| (receipt.segment, receipt.status));
        ended.filter(|(_, status)| *status != Status::Ok)
    }
}

/// Runs `samples` segments of those that the job lists, spread evenly, and estimates the rest.
///
/// # Errors
/// [`PoolError`].
pub fn dry_run(
    backend: &dyn Backend,
    job: &Job,
    samples: u32,
    cancel: &Cancel,
) -> Result<Estimate, PoolError> {
    let listed = job.segments.len();
    let wanted = (samples.max(1) as usize).min(listed);
    let pick = |index: usize| job.segments[index * listed / wanted];
    let segments: Vec<u32> = (0..wanted).map(pick).collect();
    let part = Job { segments, ..job.clone() };
    let receipts = backend.run(&part, cancel, &mut |_| {})?;
    Ok(Estimate { segments: u32::try_from(listed).unwrap_or(u32::MAX), receipts })
}

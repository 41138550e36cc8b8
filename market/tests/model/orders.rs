//! What the parties of the small world order, offer and produce.

use gongsuan_market::Command;
use gongsuan_types::job::{JobOrder, Pace};
use gongsuan_types::lease::{LeaseOrder, Witness};
use gongsuan_types::order::{Ask, Bid, Class, FillRule, Requirements, SelfMatch, Unit, Work};
use gongsuan_types::receipt::{Receipt, Status};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{DurationMs, Fuel, Hash, Price, TimeMs, Units};

use crate::world::{Bounds, What};

/// Orders live until then: longer than any deal.
pub(crate) const LATE: TimeMs = TimeMs(1 << 40);

/// The renter's secrets.
pub(crate) fn secrets() -> &'static Secrets {
    static SECRETS: std::sync::OnceLock<Secrets> = std::sync::OnceLock::new();
    SECRETS.get_or_init(|| Secrets::new(Hash([7; 32])))
}

/// The renter's tokens: the last one is what the lease commits to, each before it is for one interval more.
pub(crate) fn tokens(intervals: u32) -> Vec<Hash> {
    let next = |token: &Hash| Some(JobOrder::hash_secret(token));
    std::iter::successors(Some(Hash([3; 32])), next).take(intervals as usize + 1).collect()
}

pub(crate) fn receipts(first: u32, count: u32, is_right: bool) -> Vec<Receipt> {
    let receipt = |segment| Receipt {
        segment,
        input: Hash::ZERO,
        output: if is_right || segment != first { Hash([8; 32]) } else { Hash([6; 32]) },
        output_bytes: 4,
        fuel: Fuel(1_000_000_000),
        status: Status::Ok,
    };
    (first..first + count).map(receipt).collect()
}

pub(crate) const INTERVAL: DurationMs = DurationMs(10_000);

pub(crate) fn is_lease(bounds: &Bounds) -> bool {
    matches!(bounds.what, What::LeaseByRenter | What::LeaseByChain)
}

pub(crate) fn class(bounds: &Bounds) -> Class {
    let unit = if is_lease(bounds) { Unit::CoreSecond } else { Unit::GigaFuel };
    Class { unit, ..Class::WASM }
}

pub(crate) fn lot(bounds: &Bounds) -> Units {
    Units(if is_lease(bounds) { INTERVAL.0 / 1_000 } else { 1 })
}

pub(crate) fn ask(price: u64, bounds: &Bounds) -> Command {
    Command::PlaceAsk(Ask {
        class: class(bounds),
        price: Price(price),
        units: Units(u64::from(bounds.segments) * lot(bounds).0),
        fill_min: Units(1),
        machine: crate::spec::MACHINE,
        expires_at: LATE,
    })
}

pub(crate) fn lease(bounds: &Bounds) -> Command {
    let units = Units(u64::from(bounds.segments) * lot(bounds).0);
    let witness = match bounds.what {
        What::LeaseByRenter => Witness::Renter(*tokens(bounds.segments).last().unwrap()),
        _ => Witness::Chain,
    };
    Command::PlaceBid(Box::new(Bid {
        class: class(bounds),
        price_max: Price(1_100),
        units,
        lot: lot(bounds),
        fill_min: units,
        deals_max: 1,
        requirements: Requirements { cpu_cores_min: 1, duration_s_min: 60, ..Requirements::ANY },
        fill_rule: FillRule::ImmediateOrCancel,
        self_match: SelfMatch::Skip,
        expires_at: LATE,
        work: Work::Lease(Box::new(LeaseOrder {
            setup: Hash::ZERO,
            cores: 1,
            interval: INTERVAL,
            grace: DurationMs(5_000),
            ack_within: DurationMs(10_000),
            deposit_basis_points: 10_000,
            attempts_max: bounds.attempts,
            witness,
        })),
    }))
}

pub(crate) fn bid(bounds: &Bounds) -> Command {
    if is_lease(bounds) {
        return lease(bounds);
    }
    let segments = bounds.segments;
    let spec = crate::spec::job(segments, 1);
    Command::PlaceBid(Box::new(Bid {
        class: Class::WASM,
        price_max: Price(1_100),
        units: Units(u64::from(segments)),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 1,
        requirements: Requirements::ANY,
        fill_rule: FillRule::ImmediateOrCancel,
        self_match: SelfMatch::Skip,
        expires_at: LATE,
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(10_000),
            run_within: DurationMs(100_000),
            samples: 1,
            deposit_basis_points: 10_000,
            secret_hash: secrets().root(),
            check: bounds.check,
            pace: Pace {
                heartbeat_within: DurationMs(if bounds.heartbeat { 15_000 } else { 0 }),
                batches_max: bounds.batches,
                attempts_max: bounds.attempts,
            },
        })),
    }))
}

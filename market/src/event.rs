//! What happened, for whoever watches.

use gongsuan_types::capacity::Capacity;
use gongsuan_types::court::{CaseId, Finding};
use gongsuan_types::order::{Class, Side};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Address, Amount, DealId, OrderId, Price, Units};
use serde::{Deserialize, Serialize};

use crate::book::Why;
use crate::{Failure, Lapse, Sample, Settlement, Stage, Step};

/// One thing that happened.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Party, Region};
/// use gongsuan_types::{Address, Hash, Height, Price, TimeMs, Units};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let ask = Ask {
///     class: Class::WASM, price: Price(100), units: Units(50), fill_min: Units(1), machine,
///     expires_at: TimeMs(60_000),
/// };
/// let provider = Party { address: Address([7; 32]), attested: Capabilities::NONE };
/// let mut market = Market::new(Rules::default());
/// let outcome = market.submit(provider, Command::PlaceAsk(ask))?;
/// assert!(matches!(outcome.events[..], [Event::Placed { order: OrderId(1), .. }]));
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = MarketEvent))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An order was accepted.
    Placed {
        /// The order.
        order: OrderId,
        /// Whose.
        owner: Address,
        /// Which side.
        side: Side,
        /// What is traded.
        class: Class,
        /// Asked, or at most paid.
        price: Price,
        /// How much.
        units: Units,
    },
    /// An order was changed.
    Amended {
        /// The order.
        order: OrderId,
        /// Units open now.
        open: Units,
        /// The price now.
        price: Price,
    },
    /// What is left of an order is gone before its time.
    Cancelled {
        /// The order.
        order: OrderId,
        /// Units that were open.
        open: Units,
        /// Why.
        why: Why,
    },
    /// An order's time is over.
    Expired {
        /// The order.
        order: OrderId,
        /// Units that were open.
        open: Units,
    },
    /// A bid looked at as many asks as it may in one block and goes on in the next.
    Deferred {
        /// The bid.
        order: OrderId,
    },
    /// A bid's search visited more nodes of the index than are free.
    Searched {
        /// The bid.
        order: OrderId,
        /// Nodes visited.
        visited: u32,
        /// What it paid to the treasury.
        fee: Amount,
    },
    /// A fill opened a deal.
    Filled {
        /// The deal.
        deal: DealId,
        /// The ask.
        ask: OrderId,
        /// The bid.
        bid: OrderId,
        /// Who works.
        provider: Address,
        /// Who pays.
        renter: Address,
        /// Per unit.
        price: Price,
        /// How much.
        units: Units,
        /// The first segment.
        first: u32,
        /// How many segments.
        count: u32,
    },
    /// The provider has started.
    Acknowledged {
        /// The deal.
        deal: DealId,
    },
    /// The provider says how far it is.
    Progress {
        /// The deal.
        deal: DealId,
        /// Segments done.
        done: u32,
        /// Of these.
        count: u32,
    },
    /// The provider committed its results.
    Committed {
        /// The deal.
        deal: DealId,
        /// The results.
        commitment: Commitment,
    },
    /// The renter revealed its secret.
    Revealed {
        /// The deal.
        deal: DealId,
    },
    /// Segments were drawn for re-execution.
    Drawn {
        /// The deal.
        deal: DealId,
        /// What and by whom.
        samples: Vec<Sample>,
    },
    /// An auditor found a sample equal.
    Audited {
        /// The deal.
        deal: DealId,
        /// The segment.
        segment: u32,
        /// The auditor.
        auditor: Address,
        /// What it earned.
        paid: Amount,
    },
    /// Somebody, a drawn auditor or not, got another result or cannot get the output.
    Disputed {
        /// The deal.
        deal: DealId,
        /// The segment.
        segment: u32,
        /// Who says so.
        auditor: Address,
    },
    /// The deal is paid.
    Settled {
        /// The deal.
        deal: DealId,
        /// To the provider.
        paid: Amount,
        /// To the treasury.
        fee: Amount,
        /// To auditors.
        audited: Amount,
        /// Back to the renter.
        refund: Amount,
    },
    /// The deal failed.
    Failed {
        /// The deal.
        deal: DealId,
        /// Why.
        why: Failure,
        /// What the provider lost to the renter.
        fine: Amount,
    },
    /// A deal made a step of the table in `docs/deals.md`.
    Moved {
        /// The deal.
        deal: DealId,
        /// The step.
        step: Step,
        /// Where it is now.
        to: Stage,
    },
    /// Results were accepted and paid.
    Accepted {
        /// The deal.
        deal: DealId,
        /// The first segment.
        first: u32,
        /// How many.
        count: u32,
        /// To the provider.
        paid: Amount,
        /// To the treasury.
        fee: Amount,
    },
    /// The renter has ended a lease within an interval, and pays for what has passed of it.
    BegunPaid {
        /// The deal.
        deal: DealId,
        /// Core-seconds.
        units: Units,
        /// To the provider.
        paid: Amount,
        /// To the treasury.
        fee: Amount,
    },
    /// A provider is out of a deal.
    Dropped {
        /// The deal.
        deal: DealId,
        /// The provider.
        provider: Address,
        /// Why.
        why: Failure,
        /// What it lost to the renter.
        fine: Amount,
    },
    /// Another provider has taken a deal over.
    Rematched {
        /// The deal.
        deal: DealId,
        /// The ask.
        ask: OrderId,
        /// Who works now.
        provider: Address,
        /// Per unit.
        price: Price,
        /// The first segment left.
        first: u32,
        /// How many are left.
        count: u32,
    },
    /// A question came before the validators.
    CaseOpened {
        /// The case.
        case: CaseId,
        /// Who brought it.
        by: Address,
        /// What it set aside.
        stake: Amount,
    },
    /// Enough validators found the same.
    Judged {
        /// The case.
        case: CaseId,
        /// What they found.
        finding: Finding,
    },
    /// What an auditor has pledged has changed.
    Pledged {
        /// The auditor.
        auditor: Address,
        /// What it has pledged now.
        amount: Amount,
    },
    /// One side of a settled deal said what it thinks of the other.
    Rated {
        /// The deal.
        deal: DealId,
        /// Who says so.
        by: Address,
        /// Of whom.
        of: Address,
        /// 1 to 5.
        stars: u8,
    },
    /// The provider showed a receipt.
    Served {
        /// The deal.
        deal: DealId,
        /// The receipt.
        receipt: Receipt,
    },
    /// A lease is over, at its end or stopped by the renter.
    Completed {
        /// The deal.
        deal: DealId,
        /// To the last provider.
        paid: Amount,
        /// To the treasury, of its work.
        fee: Amount,
        /// Back to the renter.
        refund: Amount,
    },
    /// A provider wants to show what its machine has.
    CapacityClaimed {
        /// The provider.
        provider: Address,
        /// What it claims.
        claim: Capacity,
        /// What it has set aside for it.
        held: Amount,
    },
    /// The chain asks a provider to show what its machine has, by a deal of its own.
    Probed {
        /// The deal.
        deal: DealId,
        /// The chain's order, with the job.
        order: OrderId,
        /// The provider.
        provider: Address,
        /// Lanes to be run.
        lanes: u32,
    },
    /// A provider has shown what its machine has.
    Certified {
        /// The provider.
        provider: Address,
        /// What it has shown.
        capacity: Capacity,
        /// Fuel per second of all lanes together, at least.
        fuel_per_s: u64,
    },
    /// A provider's certificate, or its claim to one, is gone.
    Uncertified {
        /// The provider.
        provider: Address,
        /// Why.
        why: Lapse,
    },
}

/// What a command or a block did.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Party, Region};
/// use gongsuan_types::{Address, Hash, Height, Price, TimeMs, Units};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let ask = Ask {
///     class: Class::WASM, price: Price(100), units: Units(50), fill_min: Units(1), machine,
///     expires_at: TimeMs(60_000),
/// };
/// let provider = Party { address: Address([7; 32]), attested: Capabilities::NONE };
/// let mut market = Market::new(Rules::default());
/// let outcome: Outcome = market.submit(provider, Command::PlaceAsk(ask))?;
/// assert_eq!((outcome.settlements.len(), outcome.events.len()), (1, 1));
/// # Ok::<(), MarketError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// How money follows, in order.
    pub settlements: Vec<Settlement>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

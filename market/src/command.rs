//! What accounts may ask of the market.

use gongsuan_types::capacity::Capacity;
use gongsuan_types::merkle;
use gongsuan_types::order::{Ask, Bid};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Amount, DealId, Hash, OrderId, Price, Units};
use serde::{Deserialize, Serialize};

/// One command; part of a signed transaction. Variants are appended, never reordered.
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
/// market.submit(provider, Command::PlaceAsk(ask))?;
/// market.submit(provider, Command::Amend { order: OrderId(1), units: Units(20), price: Price(90) })?;
/// assert_eq!(market.order(OrderId(1)).map(|order| order.open), Some(Units(20)));
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = MarketCommand))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A provider offers capacity. The largest deposit that its fills may need is held.
    PlaceAsk(Ask),
    /// A renter orders work. Price, audit budget and settlement are held.
    PlaceBid(Box<Bid>),
    /// The owner withdraws what is left of an order, at the end of this block.
    Cancel(OrderId),
    /// The owner changes an order. A decrease of units keeps its priority; a new price or an increase loses it.
    Amend {
        /// The order.
        order: OrderId,
        /// Units still open, from now on.
        units: Units,
        /// The new price.
        price: Price,
    },
    /// The provider has the module and the inputs, and starts.
    Acknowledge(DealId),
    /// The provider tells how many segments are done. Informative: nothing is paid by it.
    Progress {
        /// The deal.
        deal: DealId,
        /// Segments done.
        done: u32,
    },
    /// The provider commits the results.
    Commit {
        /// The deal.
        deal: DealId,
        /// The top of the tree over its receipts.
        commitment: Commitment,
        /// The content address of the list of receipts (canonical encoding of `Vec<Receipt>`).
        receipts: Hash,
    },
    /// The renter reveals the secret that helps to draw the samples.
    Reveal {
        /// The deal.
        deal: DealId,
        /// The secret: of the deal's chain, the one before the one revealed last.
        secret: Hash,
        /// For the first secret of a deal: its path to what the order commits to ([`gongsuan_types::secrets`]).
        path: Option<merkle::Proof>,
    },
    /// A drawn auditor tells what it got for a sample.
    Audit {
        /// The deal.
        deal: DealId,
        /// The sample's number, from 0.
        sample: u16,
        /// The receipt that the provider committed.
        committed: Receipt,
        /// The path from `committed` to the commitment.
        proof: ReceiptProof,
        /// The receipt of the auditor's own execution.
        found: Receipt,
    },
    /// Anybody says that a committed receipt is wrong. A stake is held, and the validators execute the segment.
    Challenge {
        /// The deal.
        deal: DealId,
        /// The receipt that the provider committed.
        committed: Receipt,
        /// The path from `committed` to the commitment.
        proof: ReceiptProof,
        /// The receipt of the challenger's own execution.
        found: Receipt,
    },
    /// Anybody wants to see the receipt of a segment, because the list is not to be had. A fee is held.
    Demand {
        /// The deal.
        deal: DealId,
        /// The segment, counted in the job.
        segment: u32,
    },
    /// The provider shows a receipt that was demanded.
    Serve {
        /// The deal.
        deal: DealId,
        /// The receipt.
        receipt: Receipt,
        /// The path from it to the commitment.
        proof: ReceiptProof,
    },
    /// Anybody says that the list of receipts or a segment's output is not to be had. A stake is held, and the validators look.
    DemandOutput {
        /// The deal.
        deal: DealId,
        /// The receipt that the provider committed; it names the output.
        committed: Receipt,
        /// The path from `committed` to the commitment.
        proof: ReceiptProof,
    },
    /// The provider says that the module or the input is not to be had. A stake is held, and the validators look.
    AskInput(DealId),
    /// The renter ends the deal early: what is done may still be committed once, and is paid.
    Stop(DealId),
    /// One of a quorum binds itself to its results without showing them.
    Seal {
        /// The deal.
        deal: DealId,
        /// [`crate::seal`] of them.
        seal: Hash,
    },
    /// One of a quorum shows its results, once all others are bound.
    Unseal {
        /// The deal.
        deal: DealId,
        /// The top of the tree over its receipts.
        commitment: Commitment,
        /// The content address of the list of receipts.
        receipts: Hash,
        /// What was mixed into the seal.
        salt: Hash,
    },
    /// An auditor sets money aside behind its word.
    Pledge(Amount),
    /// An auditor wants what it pledged back. It is not drawn any more, and gets it when nothing that it said can be disputed.
    Unpledge,
    /// A drawn auditor binds itself to what it got, before anybody but the provider can know what was committed.
    SealAudit {
        /// The deal.
        deal: DealId,
        /// The sample's number, from 0.
        sample: u16,
        /// [`crate::audit_seal`] of what it got.
        seal: Hash,
    },
    /// One side of a settled deal says what it thinks of the other; once.
    Rate {
        /// The deal.
        deal: DealId,
        /// 1 to 5.
        stars: u8,
        /// At most [`crate::COMMENT_BYTES_MAX`] bytes.
        comment: String,
    },
    /// The provider of a lease is there: what it shows is paid up to an interval.
    Beat {
        /// The deal.
        deal: DealId,
        /// The interval, from 1.
        interval: u32,
        /// The renter's token for it, or [`gongsuan_types::lease::answer`] to what the chain asked.
        token: Hash,
    },
    /// The provider of a lease leaves it.
    Leave(DealId),
    /// A provider wants to show what its machine has, for a certificate. A stake and the cost of audits are held.
    ProveCapacity(Capacity),
    /// A provider gives its certificate up, and gets back what was held for it.
    GiveUpCapacity,
}

//! The record of an order.

use gongsuan_types::order::{Ask, Bid, Class, Machine, Side};
use gongsuan_types::{Address, Amount, Height, OrderId, Price, TimeMs, Units};
use serde::{Deserialize, Serialize};

use crate::book::Why;

/// What the order says.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = OrderTerms))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// An offer. Its machine's capabilities include what the chain attests of the owner.
    Ask(Ask),
    /// An order for work.
    Bid(Box<Bid>),
}

/// Where an order is in its life.
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
/// assert_eq!(market.order(OrderId(1)).map(|order| order.state), Some(OrderState::New));
/// let _ = market.end_block();
/// assert_eq!(market.order(OrderId(1)).map(|order| order.state), Some(OrderState::Resting));
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Accepted in this block; enters the book at its end.
    New,
    /// In the book.
    Resting,
    /// Everything is filled (a bid), or is in deals for now (an ask, which comes back).
    Filled,
    /// Withdrawn by its owner, by a rule of its own, or because it met itself.
    Cancelled,
    /// Past its time.
    Expired,
}

/// An order and what became of it.
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
/// let order: &Order = market.order(OrderId(1)).expect("the order is known");
/// assert_eq!((order.side(), order.price(), order.open), (Side::Ask, Price(100), Units(50)));
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// Who placed it.
    pub owner: Address,
    /// What it says.
    pub terms: Terms,
    /// Its life.
    pub state: OrderState,
    /// Units not in a deal.
    pub open: Units,
    /// When it was accepted.
    pub arrived: Height,
    /// Time priority in the book: smaller is older.
    pub sequence: u64,
    /// The owner's reputation when the order entered the book (0 to 1,000).
    pub reputation: u16,
    /// Segments given out (a bid).
    pub segments_done: u32,
    /// Deals opened.
    pub deals: u32,
    /// Money still in the order's hold.
    pub held: Amount,
    /// Why it was cancelled, if it was.
    pub cancelled: Option<Why>,
    /// Whether an issuer had vetted the owner for its side when it was placed.
    pub vetted: bool,
}

impl Order {
    /// The side.
    #[must_use]
    pub fn side(&self) -> Side {
        match self.terms {
            Terms::Ask(_) => Side::Ask,
            Terms::Bid(_) => Side::Bid,
        }
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> Class {
        match &self.terms {
            Terms::Ask(ask) => ask.class,
            Terms::Bid(bid) => bid.class,
        }
    }

    /// The price: asked, or at most paid.
    #[must_use]
    pub fn price(&self) -> Price {
        match &self.terms {
            Terms::Ask(ask) => ask.price,
            Terms::Bid(bid) => bid.price_max,
        }
    }

    /// When it expires.
    #[must_use]
    pub fn expires_at(&self) -> TimeMs {
        match &self.terms {
            Terms::Ask(ask) => ask.expires_at,
            Terms::Bid(bid) => bid.expires_at,
        }
    }

    /// The machine, of an ask.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        match &self.terms {
            Terms::Ask(ask) => Some(&ask.machine),
            Terms::Bid(_) => None,
        }
    }

    /// The order of work, of a bid.
    #[must_use]
    pub fn bid(&self) -> Option<&Bid> {
        match &self.terms {
            Terms::Bid(bid) => Some(bid),
            Terms::Ask(_) => None,
        }
    }

    /// The offer, of an ask.
    #[must_use]
    pub fn ask(&self) -> Option<&Ask> {
        match &self.terms {
            Terms::Ask(ask) => Some(ask),
            Terms::Bid(_) => None,
        }
    }

    /// Whether it can still trade.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.state {
            OrderState::New | OrderState::Resting => true,
            OrderState::Filled => self.side() == Side::Ask,
            OrderState::Cancelled | OrderState::Expired => false,
        }
    }
}

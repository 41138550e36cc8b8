//! Other people's books on the same stream. Results are compared, nothing is gated on them.

use std::sync::{Arc, Mutex};

use super::stream::{Kind, Op};
use super::{Engine, Tally};

/// The crate `lobster`: levels in a `BTreeMap`, orders in an arena.
pub(crate) struct Lobster {
    book: lobster::OrderBook,
    tally: Tally,
}

impl Lobster {
    pub(crate) fn new() -> Self {
        Self { book: lobster::OrderBook::default(), tally: Tally::default() }
    }
}

impl Engine for Lobster {
    fn apply(&mut self, op: &Op) {
        let side = if op.is_bid { lobster::Side::Bid } else { lobster::Side::Ask };
        let (id, qty) = (u128::from(op.id), u64::from(op.quantity));
        let order = match op.kind {
            Kind::Add => lobster::OrderType::Limit { id, side, qty, price: u64::from(op.price) },
            Kind::Market => lobster::OrderType::Market { id, side, qty },
            Kind::Cancel => lobster::OrderType::Cancel { id },
        };
        match self.book.execute(order) {
            lobster::OrderEvent::PartiallyFilled { fills, .. }
            | lobster::OrderEvent::Filled { fills, .. } => {
                for fill in &fills {
                    let maker = u64::try_from(fill.order_2).unwrap_or(0);
                    let price = u32::try_from(fill.price).unwrap_or(0);
                    self.tally.fill(maker, price, u32::try_from(fill.qty).unwrap_or(0));
                }
            }
            lobster::OrderEvent::Unfilled { .. }
            | lobster::OrderEvent::Placed { .. }
            | lobster::OrderEvent::Canceled { .. } => {}
        }
    }

    fn start(&mut self) {
        self.tally = Tally::default();
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// The crate `matchcore`: a command's sequence number is the order's number.
pub(crate) struct Matchcore {
    book: matchcore::OrderBook,
    tally: Tally,
    sequence: u64,
    /// Our number to theirs.
    theirs: Vec<u64>,
    /// Theirs to ours.
    ours: Vec<u64>,
}

impl Matchcore {
    pub(crate) fn new(ids: usize) -> Self {
        Self {
            book: matchcore::OrderBook::new("X"),
            tally: Tally::default(),
            sequence: 0,
            theirs: vec![0; ids],
            ours: vec![0; ids],
        }
    }
}

fn at(id: u64) -> usize {
    usize::try_from(id).unwrap_or(0)
}

impl Engine for Matchcore {
    fn apply(&mut self, op: &Op) {
        use matchcore as peer;
        let side = if op.is_bid { peer::Side::Buy } else { peer::Side::Sell };
        let quantity = peer::Quantity(u64::from(op.quantity));
        let kind = match op.kind {
            Kind::Add => {
                self.theirs[at(op.id)] = self.sequence;
                self.ours[at(self.sequence)] = op.id;
                let flags = peer::OrderFlags::new(side, false, peer::TimeInForce::Gtc);
                let price = peer::Price(u64::from(op.price));
                let policy = peer::QuantityPolicy::Standard { quantity };
                let order = peer::NewOrder::Limit(peer::LimitOrder::new(price, policy, flags));
                peer::CommandKind::Submit(peer::SubmitCmd { order })
            }
            Kind::Market => {
                let order = peer::NewOrder::Market(peer::MarketOrder::new(quantity, side, false));
                peer::CommandKind::Submit(peer::SubmitCmd { order })
            }
            Kind::Cancel => peer::CommandKind::Cancel(peer::CancelCmd {
                order_id: peer::OrderId(self.theirs[at(op.id)]),
                order_kind: peer::OrderKind::Limit,
            }),
        };
        let meta = peer::CommandMeta {
            sequence_number: peer::SequenceNumber(self.sequence),
            timestamp: peer::Timestamp(self.sequence),
        };
        self.sequence += 1;
        let outcome = self.book.execute(&peer::Command { meta, kind });
        let peer::CommandOutcome::Applied(peer::CommandReport::Submit(report)) = &outcome else {
            return;
        };
        let Some(result) = report.target_order().match_result() else { return };
        for trade in result.trades() {
            let maker = self.ours[at(trade.maker_order_id().0)];
            let price = u32::try_from(trade.price().0).unwrap_or(0);
            self.tally.fill(maker, price, u32::try_from(trade.quantity().0).unwrap_or(0));
        }
    }

    fn start(&mut self) {
        self.tally = Tally::default();
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// The crate `orderbook-rs`: concurrent maps, one shared pointer an order. Its trades come through its listener.
pub(crate) struct OrderbookRs {
    book: orderbook_rs::OrderBook<()>,
    tally: Arc<Mutex<Tally>>,
}

impl OrderbookRs {
    pub(crate) fn new() -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let seen = Arc::clone(&tally);
        let listener = move |result: &orderbook_rs::TradeResult| {
            let mut tally = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for trade in result.match_result.trades().as_vec() {
                let orderbook_rs::Id::Sequential(maker) = trade.maker_order_id() else { continue };
                let price = u32::try_from(trade.price().as_u128()).unwrap_or(0);
                let quantity = u32::try_from(trade.quantity().as_u64()).unwrap_or(0);
                tally.fill(maker, price, quantity);
            }
        };
        let book = orderbook_rs::OrderBook::with_trade_listener("X", Arc::new(listener));
        Self { book, tally }
    }
}

impl Engine for OrderbookRs {
    fn apply(&mut self, op: &Op) {
        let id = orderbook_rs::Id::sequential(op.id);
        let side = if op.is_bid { orderbook_rs::Side::Buy } else { orderbook_rs::Side::Sell };
        let quantity = u64::from(op.quantity);
        // Refusals, such as a market order on an empty side, show in the comparison of results.
        match op.kind {
            Kind::Add => {
                let price = u128::from(op.price);
                let rule = orderbook_rs::TimeInForce::Gtc;
                let _ = self.book.add_limit_order(id, price, quantity, side, rule, None);
            }
            Kind::Market => {
                let _ = self.book.submit_market_order(id, quantity, side);
            }
            Kind::Cancel => {
                let _ = self.book.cancel_order(id);
            }
        }
    }

    fn start(&mut self) {
        *self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Tally::default();
    }

    fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

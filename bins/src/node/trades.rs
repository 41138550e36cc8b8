//! The newest trades, for whoever watches a market. Kept in memory only: the log has them all.

use std::collections::VecDeque;

use gongsuan_ledger::{Event, Header};
use gongsuan_market::{Event as MarketEvent, Market};
use gongsuan_types::order::Class;
use gongsuan_types::{Address, DealId, Height, OrderId, Price, TimeMs, Units};
use serde::{Deserialize, Serialize};

/// Trades kept, of all classes together.
const TRADES_MAX: usize = 4_096;

/// A fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trade {
    /// In which block.
    pub height: Height,
    /// When.
    pub time: TimeMs,
    /// What was traded.
    pub class: Class,
    /// The deal that it opened.
    pub deal: DealId,
    /// The offer.
    pub ask: OrderId,
    /// The order.
    pub bid: OrderId,
    /// Who works.
    pub provider: Address,
    /// Who pays.
    pub renter: Address,
    /// Micro-tokens per unit.
    pub price: Price,
    /// How much.
    pub units: Units,
}

/// The newest trades, newest first.
#[derive(Debug, Default)]
pub struct Trades(VecDeque<Trade>);

impl Trades {
    /// Takes in a block's own events: fills are among them.
    pub(super) fn take(&mut self, header: &Header, events: &[Event], market: &Market) {
        for event in events {
            let Event::Market(MarketEvent::Filled {
                deal,
                ask,
                bid,
                provider,
                renter,
                price,
                units,
                ..
            }) = event
            else {
                continue;
            };
            let Some(class) = market.deal(*deal).map(|deal| deal.class) else { continue };
            self.0.push_front(Trade {
                height: header.height,
                time: header.time,
                class,
                deal: *deal,
                ask: *ask,
                bid: *bid,
                provider: *provider,
                renter: *renter,
                price: *price,
                units: *units,
            });
        }
        self.0.truncate(TRADES_MAX);
    }

    /// Those of a class, newest first.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Trade> {
        self.0.iter().filter(move |trade| trade.class == class)
    }

    /// Classes that were traded.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.0.iter().map(|trade| trade.class)
    }
}

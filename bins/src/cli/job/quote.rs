//! What a job would cost at today's asks.

use gongsuan_types::order::Class;
use gongsuan_types::{Amount, Price, Units};

use super::file::Ready;
use crate::cli::Context;
use crate::client::ClientError;

/// What today's offers would cost for a job.
pub(super) struct Quote {
    /// Of the widest stage: units wanted, and units on offer at the price or below.
    pub(super) units: (Units, Units),
    /// Of all stages together, at most.
    pub(super) cost: Amount,
    stages: usize,
}

impl Quote {
    pub(super) fn of(ready: &Ready, context: &Context) -> Result<Self, ClientError> {
        let book = context.client().book(Class::WASM)?;
        let asks: Vec<(Price, Units)> =
            book.asks.iter().map(|level| (level.price, level.units)).collect();
        let (lot, copies) = (ready.wish.spec.lot().0, u64::from(ready.wish.check.copies()));
        let widths = ready.plan.widths();
        let wanted = |width: u32| Units(lot * copies * u64::from(width));
        let (mut cost, mut units) = (0, (Units(0), Units(0)));
        for width in &widths {
            let wanted = wanted(*width);
            let (there, price) = cheapest(&asks, ready.wish.price_max, wanted);
            cost += price;
            if wanted > units.0 {
                units = (wanted, there);
            }
        }
        Ok(Self { units, cost: Amount::new(cost), stages: widths.len() })
    }

    pub(super) fn is_covered(&self) -> bool {
        self.units.0 == self.units.1
    }
}

/// Units on offer of those wanted, and what they cost in micro-tokens.
fn cheapest(asks: &[(Price, Units)], price_max: Price, wanted: Units) -> (Units, u128) {
    let (mut need, mut cost) = (wanted.0, 0);
    for (price, units) in asks.iter().filter(|(price, _)| *price <= price_max) {
        let take = units.0.min(need);
        cost += price.cost(Units(take)).micro();
        need -= take;
    }
    (Units(wanted.0 - need), cost)
}

impl std::fmt::Display for Quote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((wanted, there), cost) = (self.units, self.cost);
        let stages = match self.stages {
            1 => String::new(),
            stages => format!(", in the widest of {stages} stages"),
        };
        write!(
            f,
            "{there} of {wanted} Gf are on offer at that price{stages}; at most {cost} tokens, less what is not burnt"
        )
    }
}

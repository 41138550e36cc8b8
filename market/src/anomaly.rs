//! What looks odd in a list of deals: a pure function, for auditors and the explorer. Nothing on the chain follows from it. Of the chain as it
//! stands: [`Market::anomalies`].

use std::collections::BTreeMap;

use gongsuan_types::order::Class;
use gongsuan_types::{Address, DealId, Price};
use serde::{Deserialize, Serialize};

use crate::{Deal, DealState, Failure, Market};

/// From when on something is odd.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Oddness {
    /// Deals of a provider, at least, before anything is said of its shares.
    pub deals_min: u32,
    /// A renter and a provider are odd together from this share of both their deals on, in basis points.
    pub pair_basis_points: u32,
    /// A price is odd from so many times the median of its class on, or below the median divided by it.
    pub price_factor: u64,
    /// A provider is odd that failed in this share of its deals, in basis points.
    pub failed_basis_points: u32,
}

impl Default for Oddness {
    fn default() -> Self {
        Self { deals_min: 5, pair_basis_points: 8_000, price_factor: 4, failed_basis_points: 2_000 }
    }
}

/// Something odd.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// Two accounts deal almost only with each other.
    SelfDealing {
        /// Who pays.
        renter: Address,
        /// Who works.
        provider: Address,
        /// Their deals with each other.
        deals: u32,
    },
    /// A price far from what others pay.
    PriceOutlier {
        /// The deal.
        deal: DealId,
        /// Its price.
        price: Price,
        /// The median of its class, of two in the middle the lower.
        median: Price,
    },
    /// A provider is often late.
    Late {
        /// The provider.
        provider: Address,
        /// Deals in which it was.
        failed: u32,
        /// Of these.
        deals: u32,
    },
    /// A provider often falls silent.
    HeartbeatGaps {
        /// The provider.
        provider: Address,
        /// Deals in which it did.
        failed: u32,
        /// Of these.
        deals: u32,
    },
    /// A provider was found to cheat: once is odd enough.
    Fraud {
        /// The provider.
        provider: Address,
        /// The deal.
        deal: DealId,
    },
}

/// What is odd in these deals, sorted, each thing once. A provider counts in every deal in which it is the present one or failed.
///
/// ```
/// use gongsuan_market::{Oddness, anomalies};
/// assert!(anomalies(&[], Oddness::default()).is_empty());
/// ```
#[must_use]
pub fn anomalies<'a>(deals: impl IntoIterator<Item = &'a Deal>, oddness: Oddness) -> Vec<Anomaly> {
    // What the chain asks of a provider says nothing of trade.
    let deals: Vec<&Deal> = deals.into_iter().filter(|deal| !deal.is_probe()).collect();
    let deals = deals.as_slice();
    let mut found = Vec::new();
    found.extend(pairs(deals, oddness));
    found.extend(prices(deals, oddness));
    found.extend(failures(deals, oddness));
    found.sort_unstable();
    found
}

impl Market {
    /// What is odd in all deals there are.
    #[must_use]
    pub fn anomalies(&self, oddness: Oddness) -> Vec<Anomaly> {
        anomalies(self.deals(), oddness)
    }
}

fn is_share(part: u32, whole: u32, basis_points: u32) -> bool {
    u64::from(part) * 10_000 >= u64::from(whole) * u64::from(basis_points)
}

fn pairs(deals: &[&Deal], oddness: Oddness) -> Vec<Anomaly> {
    let mut together: BTreeMap<(Address, Address), u32> = BTreeMap::new();
    let (mut renters, mut providers) = (BTreeMap::new(), BTreeMap::new());
    for deal in deals {
        *together.entry((deal.renter, deal.provider)).or_default() += 1;
        *renters.entry(deal.renter).or_insert(0_u32) += 1;
        *providers.entry(deal.provider).or_insert(0_u32) += 1;
    }
    together
        .into_iter()
        .filter(|((renter, provider), count)| {
            let is_most = |whole: u32| is_share(*count, whole, oddness.pair_basis_points);
            *count >= oddness.deals_min && is_most(renters[renter]) && is_most(providers[provider])
        })
        .map(|((renter, provider), deals)| Anomaly::SelfDealing { renter, provider, deals })
        .collect()
}

fn prices(deals: &[&Deal], oddness: Oddness) -> Vec<Anomaly> {
    let mut classes: BTreeMap<Class, Vec<Price>> = BTreeMap::new();
    for deal in deals {
        classes.entry(deal.class).or_default().push(deal.terms.price);
    }
    let is_odd = |deal: &Deal, median: Price| {
        let (price, factor) = (u128::from(deal.terms.price.0), u128::from(oddness.price_factor));
        let median = u128::from(median.0);
        price >= median * factor || price * factor <= median
    };
    for prices in classes.values_mut() {
        prices.sort_unstable();
    }
    deals
        .iter()
        .filter_map(|deal| {
            let prices = &classes[&deal.class];
            let median = prices[(prices.len() - 1) / 2];
            let enough = prices.len() >= oddness.deals_min as usize;
            let (id, price) = (deal.id, deal.terms.price);
            (enough && is_odd(deal, median)).then_some(Anomaly::PriceOutlier {
                deal: id,
                price,
                median,
            })
        })
        .collect()
}

fn failures(deals: &[&Deal], oddness: Oddness) -> Vec<Anomaly> {
    let mut counts: BTreeMap<Address, (u32, u32, u32)> = BTreeMap::new();
    let mut found = Vec::new();
    for deal in deals {
        for (provider, why) in deal.dropped() {
            let count = counts.entry(provider).or_default();
            count.0 += 1;
            match why {
                Failure::Late | Failure::NoAck => count.1 += 1,
                Failure::Silent => count.2 += 1,
                Failure::Fraud | Failure::Withheld => {
                    found.push(Anomaly::Fraud { provider, deal: deal.id });
                }
                Failure::Disputed | Failure::Refused | Failure::Left | Failure::Unwitnessed => {}
            }
        }
        let is_done = !matches!(deal.state, DealState::Failed { .. } | DealState::Rematch { .. });
        if is_done {
            counts.entry(deal.provider).or_default().0 += 1;
        }
    }
    for (provider, (deals, late, silent)) in counts {
        let is_odd = |failed: u32| {
            let enough = deals >= oddness.deals_min && failed > 0;
            enough && is_share(failed, deals, oddness.failed_basis_points)
        };
        if is_odd(late) {
            found.push(Anomaly::Late { provider, failed: late, deals });
        }
        if is_odd(silent) {
            found.push(Anomaly::HeartbeatGaps { provider, failed: silent, deals });
        }
    }
    found
}

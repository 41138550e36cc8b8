//! Renters: order jobs, serve what they read, reveal their secrets.

use gongsuan_ledger::Op;
use gongsuan_market::{Command, DealState};
use gongsuan_types::job::{Check, JobOrder, Pace as JobPace};
use gongsuan_types::order::{Bid, Class, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::{DurationMs, Hash, OrderId, Price, Units};

use crate::chain::actor::{Look, Mind};
use crate::chain::cast::Pace;
use crate::chain::work;

/// Secrets of one order: more than it can have batches and attempts.
const SECRETS: usize = 16;

/// What a renter does that the protocol does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Nothing.
    Honest,
    /// Withholds the input of its jobs, so that nobody can work on them.
    WithholdsInput,
    /// Withholds the secret, so that the draw has to go on without it.
    WithholdsSecret,
}

/// A renter.
#[derive(Debug)]
pub(crate) struct Renter {
    temper: Temper,
    pace: Pace,
    /// Jobs still to order.
    jobs: u32,
    ordered: u32,
    seed: u64,
}

impl Renter {
    pub(crate) fn new(temper: Temper, pace: Pace, jobs: u32, seed: u64) -> Self {
        Self { temper, pace, jobs, ordered: 0, seed }
    }

    /// The secrets of an order, the one revealed last first: each is hashed to the one revealed before it.
    fn secrets(&self, number: u32) -> impl Iterator<Item = Hash> + use<> {
        let name = [self.seed.to_le_bytes(), u64::from(number).to_le_bytes()].concat();
        let last = Hash::of("gongsuan/chain/secret", &name);
        std::iter::successors(Some(last), |secret| Some(JobOrder::hash_secret(secret)))
            .take(SECRETS)
    }

    fn bid(&mut self, look: &mut Look<'_>) -> Bid {
        let number = self.seed * 1_000 + u64::from(self.ordered);
        let segments =
            2 + u32::try_from(look.dice.below(u64::from(self.pace.segments_max) - 1)).unwrap_or(0);
        let spec = work::job(number, segments);
        if self.temper != Temper::WithholdsInput {
            look.shelf.serve_job(&spec);
        }
        let lot = spec.lot();
        let first = self.secrets(self.ordered).last().unwrap_or(Hash::ZERO);
        let pace = JobPace {
            heartbeat_within: DurationMs(0),
            batches_max: look.dice.pick(&[1, 1, 2, 4]),
            attempts_max: look.dice.pick(&[1, 2, 3]),
        };
        Bid {
            class: Class::WASM,
            price_max: Price(look.dice.pick(&[120_000, 150_000, 200_000])),
            units: Units(lot.0 * u64::from(segments)),
            lot,
            fill_min: lot,
            deals_max: look.dice.pick(&[1, 2, 4]),
            requirements: Requirements::ANY,
            fill_rule: look.dice.pick(&[
                FillRule::Rest,
                FillRule::Rest,
                FillRule::AllOrNone,
                FillRule::ImmediateOrCancel,
            ]),
            self_match: SelfMatch::Skip,
            expires_at: look.now.plus(self.pace.order_life),
            work: Work::Job(Box::new(JobOrder {
                spec,
                ack_within: self.pace.ack_within,
                run_within: self.pace.run_within,
                samples: self.pace.samples,
                deposit_basis_points: self.pace.deposit_basis_points,
                secret_hash: JobOrder::hash_secret(&first),
                check: Check::Lottery,
                pace,
            })),
        }
    }

    /// The secret that a deal of ours waits for.
    fn secret_of(&self, hash: &Hash) -> Option<Hash> {
        let all = (0..self.ordered).flat_map(|number| self.secrets(number));
        all.into_iter().find(|secret| JobOrder::hash_secret(secret) == *hash)
    }
}

impl Mind for Renter {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let market = look.state.market();
        let mut ops = Vec::new();
        for deal in market.deals().filter(|deal| deal.renter == look.me) {
            let asked = matches!(deal.state, DealState::Committed { secret: None, .. });
            if asked
                && self.temper != Temper::WithholdsSecret
                && let Some(secret) = self.secret_of(&deal.secret_hash())
            {
                ops.push(Op::Market(Command::Reveal { deal: deal.id, secret }));
            }
        }
        let open: Vec<OrderId> = market
            .orders()
            .filter(|order| order.owner == look.me && order.is_live())
            .map(|order| order.id)
            .collect();
        if look.closing {
            ops.extend(open.into_iter().map(|id| Op::Market(Command::Cancel(id))));
        } else if self.ordered < self.jobs
            && open.len() < 3
            && ops.is_empty()
            && look.dice.percent(self.pace.haste)
        {
            let bid = self.bid(look);
            self.ordered += 1;
            ops.push(Op::Market(Command::PlaceBid(Box::new(bid))));
        }
        ops
    }
}

/// A day: longer than any world lasts.
pub(crate) const LONG: DurationMs = DurationMs(86_400_000);

//! Renters: order jobs, serve what they read, reveal their secrets.

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState};
use gongsuan_types::job::{Check, JobOrder, Pace as JobPace};
use gongsuan_types::order::{Bid, Class, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{DurationMs, Hash, OrderId, Price, Units};

use crate::chain::actor::{Look, Mind};
use crate::chain::cast::Pace;
use crate::chain::work;

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
    /// The secrets of what it ordered.
    orders: Vec<Secrets>,
    seed: u64,
}

impl Renter {
    pub(crate) fn new(temper: Temper, pace: Pace, jobs: u32, seed: u64) -> Self {
        Self { temper, pace, jobs, ordered: 0, orders: Vec::new(), seed }
    }

    /// The secrets of an order.
    fn secrets(&self, number: u32) -> Secrets {
        let name = [self.seed.to_le_bytes(), u64::from(number).to_le_bytes()].concat();
        Secrets::new(Hash::of("gongsuan/chain/secret", &name))
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
        let secrets = self.secrets(self.ordered);
        let secret_hash = secrets.root();
        self.orders.push(secrets);
        self.ordered += 1;
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
                secret_hash,
                check: Check::Lottery,
                pace,
            })),
        }
    }

    /// What a deal of ours reveals next.
    fn reveal(&self, deal: &Deal) -> Option<Command> {
        let secrets =
            self.orders.iter().find(|secrets| secrets.root() == deal.terms.secret_hash)?;
        let (secret, path) = deal.next_secret(secrets)?;
        Some(Command::Reveal { deal: deal.id, secret, path })
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
                && let Some(reveal) = self.reveal(deal)
            {
                ops.push(Op::Market(reveal));
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
            ops.push(Op::Market(Command::PlaceBid(Box::new(bid))));
        }
        ops
    }
}

/// A day: longer than any world lasts.
pub(crate) const LONG: DurationMs = DurationMs(86_400_000);

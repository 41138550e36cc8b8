//! A chain without a network: one sequencer, blocks at once. For questions about money, which need many deals.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gongsuan_consensus::ValidatorSet;
use gongsuan_ledger::{Body, OrderedBlock};
use gongsuan_types::{Hash, SecretKey, Term, TimeMs};

use super::cast::{Cast, Company, Pace, Persona};
use super::town::{Counts, Fate, Town};
use crate::sim::Violation;

/// Between two blocks.
const BLOCK_MS: u64 = 200;
/// And when nobody has anything to say.
const IDLE_MS: u64 = 2_000;
/// Blocks in which everything must be over.
const BLOCKS_MAX: u64 = 5_000;
/// Blocks after which nobody orders any more.
const BUSY_BLOCKS: u64 = 120;
/// And on a chain that requires certificates: those have to be had before.
const BUSY_MS: u64 = 120_000;
/// Jobs of each renter.
const JOBS: u32 = 6;

/// What came of one world.
#[derive(Debug, Clone)]
pub struct Played {
    /// How everybody fared.
    pub fates: Vec<Fate>,
    /// What happened.
    pub counts: Counts,
    /// What was broken, if anything was.
    pub violation: Option<Violation>,
}

/// Lives through one world with honest people and this company.
///
/// # Panics
/// Never: the validators' keys are distinct.
#[must_use]
pub fn play(seed: u64, company: Company) -> Played {
    let keys: Vec<SecretKey> = (0..4u64).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
    let set = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key).collect());
    let cast = Cast::with(company, Pace::BRISK, JOBS);
    let genesis = Arc::new(cast.genesis(&set.expect("the sim's keys are distinct")));
    let mut town = Town::new(genesis, cast, seed, &keys);
    let violation = live(&mut town, keys[0].public_key(), seed).err();
    Played { fates: town.fates(), counts: town.counts, violation }
}

fn live(town: &mut Town, proposer: gongsuan_types::PublicKey, seed: u64) -> Result<(), Violation> {
    let mut last_txs = 0;
    let certified = town.state().market().rules().capacity.required;
    let open_until = town.state().time().0 + if certified { BUSY_MS } else { 0 };
    for number in 1..BLOCKS_MAX {
        let next = town.state().time().0 + BLOCK_MS;
        let txs = town.act(TimeMs(next));
        let state = town.state();
        let due = state.market().next_due().map_or(next + IDLE_MS, |due| due.0.max(next));
        // When nobody has anything to say, blocks are rarer, but for deadlines.
        let idle = txs.is_empty() && number > last_txs + 4 && !state.market().wants_block();
        let time = TimeMs(if idle { due.min(next + IDLE_MS) } else { next });
        if !txs.is_empty() {
            last_txs = number;
        }
        let body = Body { txs }.encode();
        let height = state.height().next();
        let name = [seed.to_le_bytes(), height.0.to_le_bytes()].concat();
        let block = Hash::of("gongsuan/chain/block", &name);
        let ordered = OrderedBlock { height, term: Term(1), time, proposer, block, body: &body };
        town.take(&ordered, None)?;
        if number >= BUSY_BLOCKS && time.0 >= open_until {
            town.close();
        }
        if town.is_over() {
            break;
        }
    }
    town.judge()
}

/// Sums over many worlds, by persona.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// People.
    pub count: i128,
    /// Gains together, micro-tokens.
    pub gain: i128,
    /// Profits together.
    pub profit: i128,
    /// The worst gain.
    pub worst: i128,
}

/// Plays many worlds and sums how each persona fared.
///
/// # Errors
/// The first seed in which an invariant broke.
pub fn measure(
    seeds: Range<u64>,
    company: Company,
) -> Result<(BTreeMap<Persona, Sum>, Counts), (u64, Violation)> {
    let (mut sums, mut counts) = (BTreeMap::<Persona, Sum>::new(), Counts::default());
    for seed in seeds {
        let played = play(seed, company);
        if let Some(violation) = played.violation {
            return Err((seed, violation));
        }
        for fate in played.fates {
            let sum = sums.entry(fate.persona).or_default();
            sum.worst = if sum.count == 0 { fate.gain } else { sum.worst.min(fate.gain) };
            sum.count += 1;
            sum.gain += fate.gain;
            sum.profit += fate.profit;
        }
        counts.add(&played.counts);
    }
    Ok((sums, counts))
}

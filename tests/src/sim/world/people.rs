//! The people of a chain among the events of a world: blocks reach them, and their transactions reach the nodes.

use std::sync::Arc;

use gongsuan_consensus::{CommittedBlock, ValidatorSet};
use gongsuan_ledger::{Body, Genesis, SignedTransaction};
use gongsuan_types::{Hash, SecretKey, TimeMs};

use super::{Event, World};
use crate::chain::{Cast, Company, Counts, Machine, Pace, Town, ordered};
use crate::sim::app::{self, Tx};
use crate::sim::node::Clock;

/// Jobs of each renter.
const JOBS: u32 = 3;
/// A fine day may last so long: every deadline of a deal after the other.
const FINE_DAY_MS: u64 = 900_000;
/// Between two looks at the chain when nothing happens.
const LOOK_MS: u64 = 250;

/// Everybody, and what they have handed in, by the number that the nodes order.
#[derive(Debug)]
pub(crate) struct People {
    genesis: Arc<Genesis>,
    validators: ValidatorSet,
    town: Town,
    txs: Vec<SignedTransaction>,
}

impl People {
    pub(super) fn new(validators: &ValidatorSet, seats: &[SecretKey], seed: u64) -> Self {
        let cast = Cast::with(Company::of_seed(seed), Pace::PATIENT, JOBS);
        let genesis = Arc::new(cast.genesis(validators));
        let town = Town::new(Arc::clone(&genesis), cast, seed, seats);
        Self { genesis, validators: validators.clone(), town, txs: Vec::new() }
    }

    pub(super) fn chain_id(&self) -> Hash {
        self.genesis.chain_id()
    }

    /// The ledger of one node, at its beginning.
    pub(super) fn ledger(&self, validators: &ValidatorSet) -> Machine {
        Machine::new(Arc::clone(&self.genesis), validators.clone())
    }

    /// The ledger's payload for these numbers.
    pub(super) fn body(&self, numbers: &[Tx]) -> Vec<u8> {
        let tx =
            |number: &Tx| usize::try_from(*number).ok().and_then(|at| self.txs.get(at)).cloned();
        Body { txs: numbers.iter().filter_map(tx).collect() }.encode()
    }

    /// Whether a payload is what its numbers stand for, signatures included.
    pub(super) fn signed(&self, numbers: &[Tx], body: &[u8]) -> bool {
        self.body(numbers) == body
    }

    pub(super) fn are_done(&self) -> bool {
        self.town.is_over()
    }
}

impl World {
    /// The people look at the chain and hand in what they want; soon they look again.
    pub(super) fn look(&mut self) {
        let wall = TimeMs(Clock::TRUE.wall(self.now));
        let Some(people) = &mut self.people else { return };
        let fresh = people.town.act(wall);
        self.submitted.extend(fresh.iter().map(|_| self.now));
        let any = !fresh.is_empty();
        people.txs.extend(fresh);
        if any {
            for at in 0..self.nodes.len() {
                self.tell_work(at);
            }
        }
        let more = self.dice.below(100);
        self.after(LOOK_MS + more, Event::Look);
    }

    /// An honest node has executed a final block, and its header has this hash.
    pub(super) fn tell_people(&mut self, block: &CommittedBlock, header: Hash) {
        let Some(people) = &mut self.people else { return };
        let (_, body) = app::decode_with(&block.proposal.payload).unwrap_or_default();
        let block = ordered(block, &body, people.genesis.chain_id(), &people.validators);
        if let Err(violation) = people.town.take(&block, Some(header)) {
            self.judge.blame(violation.invariant, violation.detail);
        }
    }

    /// Nobody begins anything new any more.
    pub(crate) fn close(&mut self) {
        if let Some(people) = &mut self.people {
            people.town.close();
        }
    }

    /// How long a fine day may last.
    pub(crate) fn patience(&self) -> u64 {
        if self.people.is_some() { FINE_DAY_MS } else { 180_000 }
    }

    /// What must be true of the people when all is over.
    pub(crate) fn judge_ending(&mut self) {
        if let Some(Err(violation)) = self.people.as_ref().map(|people| people.town.judge()) {
            self.judge.blame(violation.invariant, violation.detail);
        }
    }

    /// What happened on the chain.
    pub(crate) fn counts(&self) -> Counts {
        self.people.as_ref().map_or(Counts::default(), |people| people.town.counts)
    }
}

//! The people and the chain as they see it: blocks come in, transactions go out. Who orders the blocks is somebody else's affair.

use std::collections::BTreeMap;
use std::sync::Arc;

use gongsuan_ledger::identity::ATTESTATION_MS_MAX;
use gongsuan_ledger::tx::TX_VERSION;
use gongsuan_ledger::{
    Event, Genesis, Op, OrderedBlock, SignedTransaction, State, Transaction, apply_block, fee_min,
};
use gongsuan_market::{HoldId, Kind, Lapse, Settlement};
use gongsuan_types::{Address, Amount, Hash, SecretKey, TimeMs, Verified};

use super::actor::{Actor, Look};
use super::books::{self, Books, Ready};
use super::cast::{Cast, Persona, START};
use super::work::Shelf;
use crate::sim::Violation;
use crate::sim::dice::Dice;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Town {
    genesis: Arc<Genesis>,
    cast: Cast,
    /// The chain as the first honest node to commit a block executes it.
    state: State,
    /// The hashes of all headers so far.
    headers: Vec<Hash>,
    books: Books,
    actors: Vec<Actor>,
    shelf: Shelf,
    dice: Dice,
    closing: bool,
    granted: bool,
    /// Fees that each account has paid for transactions.
    fees: BTreeMap<Address, u128>,
    /// What has left each renter's escrows for work, audits and the market's fee.
    spent: BTreeMap<Address, u128>,
    pub(crate) counts: Counts,
}

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks.
    pub blocks: u64,
    /// Transactions in them, applied.
    pub txs: u64,
    /// Transactions in them, refused.
    pub refused: u64,
    /// Deals opened.
    pub deals: u64,
    /// Deals paid.
    pub settled: u64,
    /// Deals that failed.
    pub failed: u64,
    /// Cases before the validators.
    pub cases: u64,
    /// Cases decided.
    pub judged: u64,
    /// Deals taken over by another provider.
    pub rematched: u64,
    /// Intervals of leases paid.
    pub intervals: u64,
    /// Leases ended by nobody's failure.
    pub leases: u64,
    /// Certificates of capacity given, each time anew.
    pub certified: u64,
    /// Certificates lost by a probe that failed.
    pub exposed: u64,
}

/// How one person fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Who.
    pub persona: Persona,
    /// The balance at the end less that at the start, micro-tokens.
    pub gain: i128,
    /// The same, less what running segments cost.
    pub profit: i128,
}

impl Town {
    pub(crate) fn new(genesis: Arc<Genesis>, cast: Cast, seed: u64, seats: &[SecretKey]) -> Self {
        let state = State::new(&genesis).expect("the sim's genesis is sound");
        Self {
            books: Books::of(&genesis),
            actors: cast.actors(seed, seats),
            genesis,
            cast,
            state,
            headers: Vec::new(),
            shelf: Shelf::default(),
            dice: Dice::new(seed ^ 0x70_77_6e),
            closing: false,
            granted: false,
            fees: BTreeMap::new(),
            spent: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// A block is final somewhere honest, and its node's header has this hash. The first time it is executed here as well.
    pub(crate) fn take(
        &mut self,
        block: &OrderedBlock<'_>,
        header: Option<Hash>,
    ) -> Result<(), Violation> {
        let known =
            usize::try_from(block.height.0 - 1).ok().and_then(|at| self.headers.get(at)).copied();
        let own = match known {
            Some(known) => known,
            None if block.height == self.state.height().next() => self.execute(block)?,
            None => return Ok(()),
        };
        match header {
            Some(header) if header != own => {
                let detail = format!("two headers at height {}: {own} and {header}", block.height);
                Err(Violation { invariant: books::ROOT, detail })
            }
            _ => Ok(()),
        }
    }

    fn execute(&mut self, block: &OrderedBlock<'_>) -> Result<Hash, Violation> {
        let before = Ready::of(&self.state);
        let applied = apply_block(&mut self.state, block);
        let hash = applied.header.hash();
        self.headers.push(hash);
        self.books.take(&applied, &self.state)?;
        books::check(&self.genesis, before, &self.state, block, &applied)?;
        self.count(&applied);
        Ok(hash)
    }

    fn count(&mut self, applied: &gongsuan_ledger::Applied) {
        use gongsuan_ledger::TxStatus;
        use gongsuan_market::Event as MarketEvent;
        self.counts.blocks += 1;
        for (receipt, sender) in applied.receipts.iter().zip(&applied.senders) {
            *self.fees.entry(*sender).or_default() += receipt.fee.micro();
            match receipt.status {
                TxStatus::Applied => self.counts.txs += 1,
                TxStatus::Failed { .. } | TxStatus::Skipped { .. } => self.counts.refused += 1,
            }
        }
        let of_txs = applied.receipts.iter().flat_map(|receipt| &receipt.events);
        for event in of_txs.chain(&applied.events) {
            match event {
                Event::Market(MarketEvent::Filled { .. }) => self.counts.deals += 1,
                Event::Market(MarketEvent::Settled { .. }) => self.counts.settled += 1,
                Event::Market(MarketEvent::Failed { .. }) => self.counts.failed += 1,
                Event::Market(MarketEvent::CaseOpened { .. }) => self.counts.cases += 1,
                Event::Market(MarketEvent::Judged { .. }) => self.counts.judged += 1,
                Event::Market(MarketEvent::Rematched { .. }) => self.counts.rematched += 1,
                Event::Market(MarketEvent::Accepted { deal, count, .. }) => {
                    let deal = self.state.market().deal(*deal);
                    if deal.is_some_and(|deal| matches!(deal.terms.kind, Kind::Lease { .. })) {
                        self.counts.intervals += u64::from(*count);
                    }
                }
                Event::Market(MarketEvent::Completed { .. }) => self.counts.leases += 1,
                Event::Market(MarketEvent::Certified { .. }) => self.counts.certified += 1,
                Event::Market(MarketEvent::Uncertified { why: Lapse::Failed(_), .. }) => {
                    self.counts.exposed += 1;
                }
                Event::Money(Settlement::Post { hold: HoldId::Escrow(deal), amount, .. }) => {
                    if let Some(deal) = self.state.market().deal(*deal) {
                        // Whoever is probed pays for the audits of it.
                        let payer = if deal.is_probe() { deal.provider } else { deal.renter };
                        *self.spent.entry(payer).or_default() += amount.micro();
                    }
                }
                Event::Money(Settlement::Post { hold: HoldId::Order(order), amount, .. }) => {
                    if let Some(order) = self.state.market().order(*order) {
                        *self.spent.entry(order.owner).or_default() += amount.micro();
                    }
                }
                _ => {}
            }
        }
    }

    /// What everybody hands in now.
    pub(crate) fn act(&mut self, now: TimeMs) -> Vec<SignedTransaction> {
        if !self.granted {
            self.granted = true;
            return vec![self.grant()];
        }
        // Before the roles are granted nobody can do anything.
        if self.state.accounts().attestations().next().is_none() {
            return Vec::new();
        }
        let mut all = Vec::new();
        for actor in &mut self.actors {
            let mut look = Look {
                state: &self.state,
                now,
                me: actor.address(),
                shelf: &mut self.shelf,
                dice: &mut self.dice,
                closing: self.closing,
            };
            all.extend(actor.act(&mut look));
        }
        all
    }

    fn grant(&self) -> SignedTransaction {
        let key = Cast::issuer();
        let expires_at = TimeMs(self.state.time().0 + ATTESTATION_MS_MAX);
        let ops = self.cast.grants().into_iter();
        let ops: Vec<Op> =
            ops.map(|(subject, role)| Op::Grant { subject, role, expires_at }).collect();
        let body = Transaction {
            version: TX_VERSION,
            chain_id: self.state.chain_id(),
            sender: key.address(),
            nonce: 0,
            fee: fee_min(self.state.params(), ops.len()),
            expires_at,
            ops,
        };
        Verified::sign(body, &key).into_signed()
    }

    /// Nobody begins anything new any more.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Whether nothing is open any more.
    pub(crate) fn is_over(&self) -> bool {
        let market = self.state.market();
        self.closing
            && market.deals().all(gongsuan_market::Deal::is_over)
            && market.orders().all(|order| !order.is_live())
            && self.state.accounts().holds().next().is_none()
    }

    /// What must be true when all is over.
    pub(crate) fn judge(&self) -> Result<(), Violation> {
        books::ending(&self.state)?;
        for (actor, fate) in self.actors.iter().zip(self.fates()) {
            let address = actor.address();
            let of = |map: &BTreeMap<Address, u128>| {
                map.get(&address).copied().unwrap_or(0).cast_signed()
            };
            let due = of(&self.fees) + of(&self.spent);
            if actor.persona == Persona::HonestJudge && fate.gain < 0 {
                let detail = format!("an honest judge paid {} for its office", -fate.gain);
                return Err(Violation { invariant: books::HONEST, detail });
            }
            if actor.persona.is_honest() && fate.gain + due < 0 {
                let name = actor.persona.name();
                let detail =
                    format!("the {name} lost {} beyond its fees and purchases", -(fate.gain + due));
                return Err(Violation { invariant: books::HONEST, detail });
            }
        }
        Ok(())
    }

    /// How everybody fared.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        let fate = |actor: &Actor| {
            let address = actor.address();
            let held = self.state.accounts().held_of(&address);
            let has = self.state.accounts().account(&address).balance.checked_add(held);
            let signed = |amount: Amount| amount.micro().cast_signed();
            let gain = signed(has.unwrap_or_default()) - signed(START);
            Fate { persona: actor.persona, gain, profit: gain - signed(actor.effort()) }
        };
        self.actors.iter().map(fate).collect()
    }
}

impl Counts {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.txs += other.txs;
        self.refused += other.refused;
        self.deals += other.deals;
        self.settled += other.settled;
        self.failed += other.failed;
        self.cases += other.cases;
        self.judged += other.judged;
        self.rematched += other.rematched;
        self.intervals += other.intervals;
        self.leases += other.leases;
        self.certified += other.certified;
        self.exposed += other.exposed;
    }
}

//! A market with two providers, a renter, an auditor and somebody who watches; and what each has gained so far.

#![allow(dead_code, reason = "no test uses all of it")]

#[path = "spec.rs"]
mod spec;

use std::collections::BTreeMap;

use gongsuan_market::{
    Command, DealState, Event, HoldId, Market, MarketError, Moment, Outcome, Rules, Settlement,
    Vote,
};
use gongsuan_types::court::Finding;
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, FillRule, Party, Requirements, SelfMatch, Work,
};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{
    Address, Amount, DealId, DurationMs, Fuel, Hash, Height, Price, TimeMs, Units,
};

pub(crate) const RENTER: Address = Address([1; 32]);
pub(crate) const CHEAP: Address = Address([2; 32]);
pub(crate) const DEAR: Address = Address([3; 32]);
pub(crate) const WATCHER: Address = Address([4; 32]);
pub(crate) const AUDITOR: Address = Address([5; 32]);
pub(crate) const DEAL: DealId = DealId(1);

pub(crate) struct Street {
    pub(crate) market: Market,
    money: BTreeMap<Address, i128>,
    owners: BTreeMap<HoldId, Address>,
    now: Moment,
    events: Vec<Event>,
}

impl Street {
    /// A cheap provider at 1,000 a segment, a dear one at 1,100, and a renter that pays at most 1,200.
    pub(crate) fn new(rules: Rules, check: Check, pace: Pace) -> Self {
        Self::with(rules, check, pace, (10, 1))
    }

    /// The same with so many segments, and so many of them drawn.
    pub(crate) fn with(rules: Rules, check: Check, pace: Pace, size: (u32, u16)) -> Self {
        let mut street = Self::empty(rules);
        street.good(AUDITOR, Command::Pledge(Amount::new(4_000)));
        street.good(CHEAP, ask(1_000, size.0));
        street.good(DEAR, ask(1_100, size.0));
        street.good(RENTER, bid(check, pace, size));
        street
    }

    /// Nobody offers or orders anything yet.
    pub(crate) fn empty(rules: Rules) -> Self {
        Self {
            market: Market::new(rules),
            money: BTreeMap::new(),
            owners: BTreeMap::new(),
            now: Moment { height: Height(0), time: TimeMs(1_000), block: Hash::ZERO },
            events: Vec::new(),
        }
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(crate) fn time(&self) -> TimeMs {
        self.now.time
    }

    pub(crate) fn block(
        &mut self,
        after: u64,
        what: impl FnOnce(&mut Market) -> Option<Outcome>,
    ) -> bool {
        self.block_with(after, &[AUDITOR], what)
    }

    /// A block with other auditors.
    pub(crate) fn wait_with(&mut self, ms: u64, auditors: &[Address]) {
        self.block_with(ms, auditors, |_| None);
    }

    fn block_with(
        &mut self,
        after: u64,
        auditors: &[Address],
        what: impl FnOnce(&mut Market) -> Option<Outcome>,
    ) -> bool {
        self.now.height = self.now.height.next();
        self.now.time = self.now.time.plus(DurationMs(after));
        self.now.block = Hash::of_content(&self.now.height.0.to_le_bytes());
        let begun = self.market.begin_block(self.now, auditors);
        self.book(begun);
        let outcome = what(&mut self.market);
        let is_done = outcome.is_some();
        self.book(outcome.unwrap_or_default());
        let ended = self.market.end_block();
        self.book(ended);
        is_done
    }

    pub(crate) fn send(&mut self, from: Address, command: Command) -> Result<(), MarketError> {
        let party = Party { address: from, attested: Capabilities::VETTED };
        let mut error = None;
        self.block(1, |market| match market.submit(party, command) {
            Ok(outcome) => Some(outcome),
            Err(refused) => {
                error = Some(refused);
                None
            }
        });
        error.map_or(Ok(()), Err)
    }

    pub(crate) fn good(&mut self, from: Address, command: Command) {
        self.send(from, command).unwrap();
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.block(ms, |_| None);
    }

    /// All validators find the same.
    pub(crate) fn judge(&mut self, finding: Finding) {
        let case = self.market.deal(DEAL).unwrap().case().unwrap().id;
        let votes = [0, 1, 2].map(|seat| Vote { seat, finding });
        assert!(self.block(1, |market| market.judge(case, &votes, 3).ok()));
    }

    /// What everybody has, held or free, beyond what they began with.
    pub(crate) fn book(&mut self, outcome: Outcome) {
        for settlement in &outcome.settlements {
            let mut give = |who: Address, amount: Amount| {
                *self.money.entry(who).or_default() += i128::try_from(amount.micro()).unwrap();
            };
            match *settlement {
                Settlement::Hold { hold, owner, .. } => {
                    self.owners.insert(hold, owner);
                }
                Settlement::Move { source, target, .. } => {
                    self.owners.insert(target, self.owners[&source]);
                }
                Settlement::Post { hold, to, amount, .. }
                | Settlement::Slash { hold, to, amount, .. } => {
                    give(to, amount);
                    *self.money.entry(self.owners[&hold]).or_default() -=
                        i128::try_from(amount.micro()).unwrap();
                }
                Settlement::Void { .. } => {}
            }
        }
        self.events.extend(outcome.events);
    }

    pub(crate) fn gain(&self, who: Address) -> i128 {
        self.money.get(&who).copied().unwrap_or_default()
    }

    pub(crate) fn state(&self, deal: u64) -> &DealState {
        &self.market.deal(DealId(deal)).unwrap().state
    }

    pub(crate) fn commit(&mut self, from: Address, list: &[Receipt]) {
        let commitment = Commitment::new(list).unwrap();
        let receipts = Hash::of_content(b"list");
        self.good(from, Command::Commit { deal: DEAL, commitment, receipts });
        self.good(RENTER, self.reveal());
        self.wait(1);
        assert!(matches!(self.state(1), DealState::Drawn { .. }));
    }

    /// The renter reveals what it has to reveal next.
    pub(crate) fn reveal(&self) -> Command {
        let (secret, path) = self.market.deal(DEAL).unwrap().next_secret(secrets()).unwrap();
        Command::Reveal { deal: DEAL, secret, path }
    }

    /// The drawn auditor answers what it is drawn for.
    pub(crate) fn audits(&mut self, list: &[Receipt], found: impl Fn(Receipt) -> Receipt) {
        let DealState::Drawn { samples, .. } = self.state(1).clone() else { panic!("drawn") };
        let first = self.market.deal(DEAL).unwrap().batch_first();
        for (sample, drawn) in (0u16..).zip(samples) {
            let at = (drawn.segment - first) as usize;
            let (committed, proof) = (list[at], ReceiptProof::new(list, at).unwrap());
            let who = drawn.auditor.unwrap();
            let found = found(committed);
            let audit = Command::Audit { deal: DEAL, sample, committed, proof, found };
            self.good(who, audit);
        }
    }

    pub(crate) fn challenge(&mut self, who: Address, list: &[Receipt], at: usize, found: Receipt) {
        let (committed, proof) = (list[at], ReceiptProof::new(list, at).unwrap());
        self.good(who, Command::Challenge { deal: DEAL, committed, proof, found });
    }
}

pub(crate) fn secrets() -> &'static Secrets {
    static SECRETS: std::sync::OnceLock<Secrets> = std::sync::OnceLock::new();
    SECRETS.get_or_init(|| Secrets::new(Hash([7; 32])))
}

pub(crate) fn work(segments: std::ops::Range<u32>, provider: &[u8]) -> Vec<Receipt> {
    let receipt = |segment: u32| Receipt {
        segment,
        input: Hash::ZERO,
        output: Hash::of_content(provider),
        output_bytes: 4,
        fuel: Fuel(1_000_000_000),
        status: Status::Ok,
    };
    segments.map(receipt).collect()
}

pub(crate) fn right(segment: u32) -> Receipt {
    work(segment..segment + 1, b"right")[0]
}

pub(crate) fn ask(price: u64, units: u32) -> Command {
    Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(u64::from(units)),
        fill_min: Units(1),
        machine: spec::MACHINE,
        expires_at: TimeMs(1 << 40),
    })
}

pub(crate) fn bid(check: Check, pace: Pace, (segments, samples): (u32, u16)) -> Command {
    let spec = spec::job(segments, 1);
    Command::PlaceBid(Box::new(Bid {
        class: Class::WASM,
        price_max: Price(1_200),
        units: Units(u64::from(segments)),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 1,
        requirements: Requirements::ANY,
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1 << 40),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(10_000),
            run_within: DurationMs(100_000),
            samples,
            deposit_basis_points: 10_000,
            secret_hash: secrets().root(),
            check,
            pace,
        })),
    }))
}

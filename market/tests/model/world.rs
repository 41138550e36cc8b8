//! One small market with its money, and everything that anybody could do in it next.

use std::collections::BTreeMap;

use gongsuan_market::{
    CapacityRules, Command, Deal, DealState, Event, HoldId, Market, Moment, Outcome, Question,
    Rules, Settlement, Stage, Step, Stop, Vote, audit_seal, seal,
};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::court::{CaseId, Finding};
use gongsuan_types::job::Check;
use gongsuan_types::lease::answer;
use gongsuan_types::order::{Capabilities, Party};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Address, Amount, DealId, DurationMs, Hash, Height, TimeMs, codec};

use crate::orders::{INTERVAL, LATE, ask, bid, receipts, secrets, tokens};

pub(crate) const START: u128 = 1_000_000;
pub(crate) const RENTER: Address = Address([1; 32]);
pub(crate) const PROVIDERS: [Address; 2] = [Address([2; 32]), Address([3; 32])];
pub(crate) const CHALLENGER: Address = Address([4; 32]);
pub(crate) const AUDITOR: Address = Address([5; 32]);
const PEOPLE: [Address; 5] = [RENTER, PROVIDERS[0], PROVIDERS[1], CHALLENGER, AUDITOR];
const SALT: Hash = Hash([9; 32]);

/// Who follows the protocol while all others do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Honest {
    Nobody,
    Provider,
    Renter,
    Auditor,
    Challenger,
}

/// What the deal is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Job,
    /// A lease with the renter's tokens.
    LeaseByRenter,
    /// A lease with the chain's questions.
    LeaseByChain,
    /// The chain asks the first provider what its machine has.
    Probe,
}

/// What bounds the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) what: What,
    pub(crate) check: Check,
    pub(crate) segments: u32,
    pub(crate) batches: u16,
    pub(crate) attempts: u8,
    pub(crate) heartbeat: bool,
    /// Auditors seal what they got before they show it.
    pub(crate) seals: bool,
    /// Challenges, demands and complaints that all parties together may make.
    pub(crate) claims: u8,
    pub(crate) honest: Honest,
}

/// One thing that somebody does.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    Submit(Address, Command),
    Judge(CaseId, Finding),
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) bounds: Bounds,
    pub(crate) market: Market,
    free: BTreeMap<Address, u128>,
    holds: BTreeMap<HoldId, (Address, u128)>,
    now: Moment,
    claims: u8,
    /// What nobody but the honest know, and the validators will find.
    input_missing: bool,
    output_missing: bool,
    /// What the renter has paid for results and audits.
    spent: u128,
    /// What providers have been paid for results, and the auditor for audits.
    earned: (u128, u128),
    pub(crate) steps: Vec<Step>,
}

impl World {
    /// Two providers have offered, a renter has ordered, and the first deal is matched.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let seal_window = DurationMs(if bounds.seals { 10_000 } else { 0 });
        let capacity = CapacityRules {
            module: Hash([1; 32]),
            // As much fuel as a segment of the other worlds.
            steps: 25_000_000,
            redraw_every: DurationMs(0),
            ..CapacityRules::default()
        };
        let rules = Rules { seal_window, pledge_min_micro: 500, capacity, ..Rules::default() };
        let people = PEOPLE.iter().map(|who| (*who, START));
        let mut world = Self {
            bounds,
            market: Market::new(rules),
            free: people.chain([(Address::TREASURY, 0)]).collect(),
            holds: BTreeMap::new(),
            now: Moment { height: Height(0), time: TimeMs(1_000), block: Hash([5; 32]) },
            claims: bounds.claims,
            input_missing: false,
            output_missing: false,
            spent: 0,
            earned: (0, 0),
            steps: Vec::new(),
        };
        let pledge = (AUDITOR, Command::Pledge(Amount::new(1_000)));
        let commands = if bounds.what == What::Probe {
            let claim = Capacity { lanes: 1, mebibytes: 1 };
            vec![pledge, (PROVIDERS[0], Command::ProveCapacity(claim))]
        } else {
            let asks = [(PROVIDERS[0], ask(1_000, &bounds)), (PROVIDERS[1], ask(1_100, &bounds))];
            [pledge].into_iter().chain(asks).chain([(RENTER, bid(&bounds))]).collect()
        };
        for (who, command) in commands {
            world.begin(0);
            assert!(world.make(&Move::Submit(who, command)), "the orders are good");
            world.end();
        }
        world.begin(0);
        world.end();
        assert!(world.market.deal(DealId(1)).is_some(), "they match");
        world
    }

    pub(crate) fn deals(&self) -> Vec<&Deal> {
        self.market.deals().collect()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.market.deals().all(Deal::is_over)
    }

    /// Begins a block so much later. Blocks have one hash, so that paths that differ in nothing else meet again.
    pub(crate) fn begin(&mut self, after: u64) {
        self.now.height = self.now.height.next();
        self.now.time = self.now.time.plus(DurationMs(after));
        let outcome = self.market.begin_block(self.now, &[AUDITOR]);
        self.carry_out(&outcome);
    }

    /// Makes a move, if the market lets it.
    pub(crate) fn make(&mut self, choice: &Move) -> bool {
        self.market.begin_tx();
        let outcome = match choice.clone() {
            Move::Submit(address, command) => {
                self.market.submit(Party { address, attested: Capabilities::VETTED }, command)
            }
            Move::Judge(case, finding) => {
                let votes = [0, 1, 2].map(|seat| Vote { seat, finding });
                self.market.judge(case, &votes, 3)
            }
        };
        let Ok(outcome) = outcome else {
            self.market.abort_tx();
            return false;
        };
        self.market.commit_tx();
        self.carry_out(&outcome);
        self.note(choice);
        true
    }

    pub(crate) fn end(&mut self) {
        let outcome = self.market.end_block();
        self.carry_out(&outcome);
        self.check();
    }

    /// How long until the next thing happens by itself, or an interval of a lease allows the next heartbeat.
    pub(crate) fn wait(&self) -> Option<u64> {
        let due = self.deals().into_iter().filter_map(Deal::due).min()?;
        let shown = self.deals().into_iter().filter_map(|deal| match deal.state {
            DealState::Leased { from, .. } if self.bounds.what == What::LeaseByRenter => Some(from),
            DealState::Leased { from, .. } => Some(from.plus(INTERVAL)),
            _ => None,
        });
        let next = shown.filter(|at| *at > self.now.time).chain([due]).min()?;
        Some(next.since(self.now.time).0)
    }

    /// Everything that anybody could do now, whether or not the market will have it.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for deal in self.deals() {
            self.provider_moves(deal, &mut moves);
            self.other_moves(deal, &mut moves);
            self.findings(deal, &mut moves);
        }
        moves.retain(|choice| self.is_protocol(choice));
        moves
    }

    fn provider_moves(&self, deal: &Deal, moves: &mut Vec<Move>) {
        let (id, first) = (deal.id, deal.batch_first());
        let mut add = |command| moves.push(Move::Submit(deal.provider, command));
        add(Command::Acknowledge(id));
        add(Command::AskInput(id));
        if let DealState::Running { done, .. } = deal.state {
            add(Command::Progress { deal: id, done: done + 1 });
        }
        for count in 1..=deal.left() {
            for is_right in [true, false] {
                let commitment = Commitment::new(&receipts(first, count, is_right)).unwrap();
                let list = Hash::ZERO;
                let seal = seal(deal.provider, &commitment, SALT);
                add(Command::Commit { deal: id, commitment, receipts: list });
                add(Command::Seal { deal: id, seal });
                add(Command::Unseal { deal: id, commitment, receipts: list, salt: SALT });
            }
        }
        if let DealState::Leased { question, .. } = deal.state {
            add(Command::Leave(id));
            for interval in deal.accepted + 1..=deal.terms.count {
                let token = if self.bounds.what == What::LeaseByRenter {
                    tokens(deal.terms.count)[(deal.terms.count - interval) as usize]
                } else {
                    answer(question, id, interval, deal.provider)
                };
                add(Command::Beat { deal: id, interval, token });
                add(Command::Beat { deal: id, interval, token: Hash([2; 32]) });
            }
        }
        if let Some((list, _)) = committed(deal) {
            let proof = ReceiptProof::new(&list, 0).unwrap();
            add(Command::Serve { deal: id, receipt: list[0], proof });
        }
    }

    fn other_moves(&self, deal: &Deal, moves: &mut Vec<Move>) {
        let id = deal.id;
        moves.push(Move::Submit(RENTER, Command::Stop(id)));
        if let Some((secret, path)) = deal.next_secret(secrets()) {
            moves.push(Move::Submit(RENTER, Command::Reveal { deal: id, secret, path }));
        }
        let Some((list, _)) = committed(deal) else { return };
        for (at, committed) in list.iter().copied().enumerate() {
            let proof = || ReceiptProof::new(&list, at).unwrap();
            let right = receipts(committed.segment, 1, true)[0];
            let garbage = Receipt { output: Hash([4; 32]), ..committed };
            for found in [right, garbage, committed] {
                // One is drawn: by the renter where it looks itself.
                let (deal, sample) = (id, 0);
                let who = if self.bounds.check == Check::Own { RENTER } else { AUDITOR };
                if self.bounds.seals {
                    let seal = audit_seal(who, deal, sample, &found);
                    moves.push(Move::Submit(who, Command::SealAudit { deal, sample, seal }));
                }
                let audit = Command::Audit { deal, sample, committed, proof: proof(), found };
                moves.push(Move::Submit(who, audit));
                let challenge = Command::Challenge { deal: id, committed, proof: proof(), found };
                moves.push(Move::Submit(CHALLENGER, challenge));
            }
            let demand = Command::DemandOutput { deal: id, committed, proof: proof() };
            moves.push(Move::Submit(CHALLENGER, demand));
        }
        let segment = list[0].segment;
        moves.push(Move::Submit(CHALLENGER, Command::Demand { deal: id, segment }));
    }

    /// What validators may find: the truth, where somebody knows it. They may also be silent.
    fn findings(&self, deal: &Deal, moves: &mut Vec<Move>) {
        let Some(case) = deal.case() else { return };
        let honest = self.bounds.honest;
        let mut add = |finding| moves.push(Move::Judge(case.id, finding));
        match case.question {
            Question::Result { committed, .. } => {
                add(Finding::Produced(receipts(committed.segment, 1, true)[0]));
                // Once: a question that nobody can answer may be asked again for ever.
                if deal.cases == 1 {
                    add(Finding::Unavailable);
                }
            }
            Question::Input => {
                if !self.input_missing {
                    add(Finding::Available);
                }
                if self.input_missing || honest != Honest::Renter {
                    add(Finding::Unavailable);
                }
            }
            Question::Output { .. } => {
                if !self.output_missing {
                    add(Finding::Available);
                }
                if self.output_missing || honest != Honest::Provider {
                    add(Finding::Unavailable);
                }
            }
            Question::Predicate => {
                let is_right = committed(deal).is_some_and(|(_, is_right)| is_right);
                if is_right || honest != Honest::Renter {
                    add(Finding::Accepts);
                }
                if !is_right || honest != Honest::Renter {
                    add(Finding::Refuses);
                }
            }
        }
    }

    /// Whether a move is one that the honest party would make; and whether claims are left for it.
    fn is_protocol(&self, choice: &Move) -> bool {
        let Move::Submit(who, command) = choice else { return true };
        let is_claim = self.is_claim(*who, command);
        if is_claim && self.claims == 0 {
            return false;
        }
        let right = |receipt: &Receipt| *receipt == receipts(receipt.segment, 1, true)[0];
        let is_right = |commitment: &Commitment, deal: &DealId| {
            let deal = self.market.deal(*deal).expect("a deal of the world");
            Commitment::new(&receipts(deal.batch_first(), commitment.count, true)).as_ref()
                == Some(commitment)
        };
        match (self.bounds.honest, command) {
            (
                Honest::Provider,
                Command::Commit { deal, commitment, .. } | Command::Unseal { deal, commitment, .. },
            ) => is_right(commitment, deal),
            (Honest::Provider, Command::Seal { deal, seal: sealed }) => {
                let deal = self.market.deal(*deal).expect("a deal of the world");
                let list = receipts(deal.batch_first(), deal.left(), true);
                seal(deal.provider, &Commitment::new(&list).unwrap(), SALT) == *sealed
            }
            (Honest::Provider, Command::Acknowledge(_)) => !self.input_missing,
            (Honest::Provider, Command::Leave(_)) => false,
            (Honest::Auditor, Command::SealAudit { deal, sample, seal }) if *who == AUDITOR => {
                let state = &self.market.deal(*deal).expect("a deal of the world").state;
                let DealState::Drawn { samples, .. } = state else { return true };
                samples.get(usize::from(*sample)).is_none_or(|drawn| {
                    let right = receipts(drawn.segment, 1, true)[0];
                    audit_seal(AUDITOR, *deal, *sample, &right) == *seal
                })
            }
            (Honest::Auditor, Command::Audit { found, .. }) if *who == AUDITOR => right(found),
            (Honest::Renter, Command::Audit { found, .. }) if *who == RENTER => right(found),
            (Honest::Challenger, Command::Challenge { found, .. }) => right(found),
            (Honest::Challenger, Command::Demand { .. }) => false,
            _ => true,
        }
    }

    /// Whether the honest party has something to do before time goes on.
    pub(crate) fn is_owed(&self) -> bool {
        self.deals().into_iter().any(|deal| match (self.bounds.honest, &deal.state) {
            (Honest::Provider, DealState::Matched { .. }) => true,
            (Honest::Provider, DealState::Leased { from, .. }) => {
                let is_due = deal.stop != Stop::No || self.now.time >= from.plus(INTERVAL);
                self.bounds.what == What::LeaseByChain && is_due
            }
            (Honest::Provider, DealState::Running { .. } | DealState::Demanded { .. }) => true,
            (Honest::Provider, DealState::Sealed { .. }) => {
                let works = [Stage::Matched, Stage::Asked, Stage::Running];
                let all = self.deals();
                !all.iter().any(|copy| works.contains(&Stage::of(&copy.state)))
            }
            (Honest::Renter, DealState::Committed { secret, .. }) => secret.is_none(),
            (Honest::Auditor, DealState::Drawn { samples, .. }) => {
                samples.iter().any(|s| s.auditor == Some(AUDITOR) && !s.passed)
            }
            _ => false,
        })
    }

    /// Whether a move uses up one of the claims. What an honest auditor must say does not.
    fn is_claim(&self, who: Address, command: &Command) -> bool {
        match command {
            Command::Challenge { .. }
            | Command::Demand { .. }
            | Command::DemandOutput { .. }
            | Command::AskInput(_) => true,
            Command::Audit { committed, found, .. } => {
                committed != found && (self.bounds.honest != Honest::Auditor || who != AUDITOR)
            }
            _ => false,
        }
    }

    fn note(&mut self, choice: &Move) {
        let Move::Submit(who, command) = choice else { return };
        let honest = self.bounds.honest;
        self.claims -= u8::from(self.is_claim(*who, command));
        self.input_missing |= honest == Honest::Provider && matches!(command, Command::AskInput(_));
        self.output_missing |=
            honest == Honest::Challenger && matches!(command, Command::DemandOutput { .. });
    }

    fn carry_out(&mut self, outcome: &Outcome) {
        for settlement in &outcome.settlements {
            match *settlement {
                Settlement::Hold { hold, owner, amount } => {
                    let free = self.free.get_mut(&owner).unwrap();
                    *free = free.checked_sub(amount.micro()).expect("everybody starts rich");
                    self.holds.entry(hold).or_insert((owner, 0)).1 += amount.micro();
                }
                Settlement::Move { source, target, amount } => {
                    let owner = self.take(source, amount);
                    let there = self.holds.entry(target).or_insert((owner, 0));
                    assert_eq!(there.0, owner, "a hold has one owner");
                    there.1 += amount.micro();
                }
                Settlement::Post { hold, to, amount, .. }
                | Settlement::Slash { hold, to, amount, .. } => {
                    self.take(hold, amount);
                    *self.free.get_mut(&to).unwrap() += amount.micro();
                }
                Settlement::Void { hold, amount } => {
                    let owner = self.take(hold, amount);
                    *self.free.get_mut(&owner).unwrap() += amount.micro();
                }
            }
        }
        for event in &outcome.events {
            match event {
                Event::Moved { step, .. } => self.steps.push(*step),
                Event::Accepted { paid, fee, .. } | Event::BegunPaid { paid, fee, .. } => {
                    self.spent += paid.micro() + fee.micro();
                    self.earned.0 += paid.micro();
                }
                Event::Audited { paid, .. } => {
                    self.spent += paid.micro();
                    self.earned.1 += paid.micro();
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, hold: HoldId, amount: Amount) -> Address {
        let there = self.holds.get_mut(&hold).expect("a hold that exists");
        there.1 = there.1.checked_sub(amount.micro()).expect("no more than there is");
        let owner = there.0;
        if there.1 == 0 {
            self.holds.remove(&hold);
        }
        owner
    }

    /// Money is conserved, and what is set aside is what orders and deals say.
    fn check(&self) {
        let there: BTreeMap<HoldId, Amount> =
            self.holds.iter().map(|(id, (_, amount))| (*id, Amount::new(*amount))).collect();
        assert_eq!(there, self.market.expected_holds());
        let held: u128 = self.holds.values().map(|(_, amount)| amount).sum();
        assert_eq!(self.free.values().sum::<u128>() + held, PEOPLE.len() as u128 * START);
        for deal in self.market.deals() {
            let parts = deal.bond.micro() + deal.audit_budget.micro();
            assert!(parts <= deal.escrow.micro(), "bond and budget are parts of the escrow");
        }
    }

    /// Ends every order, and looks at who has what: nothing is left behind, and the honest party has not lost.
    pub(crate) fn settle_up(mut self) {
        self.begin(LATE.since(self.now.time).0);
        self.make(&Move::Submit(AUDITOR, Command::Unpledge));
        self.make(&Move::Submit(PROVIDERS[0], Command::GiveUpCapacity));
        self.end();
        self.begin(self.market.rules().pledge_window.0);
        self.end();
        assert!(self.holds.is_empty(), "left behind: {:?}", self.holds);
        let has = |who: &Address| self.free[who];
        match self.bounds.honest {
            Honest::Nobody => {}
            Honest::Provider => {
                // Whoever wants a certificate pays for its audits.
                let audits = if self.bounds.what == What::Probe { self.earned.1 } else { 0 };
                assert!(PROVIDERS.iter().all(|who| has(who) + audits >= START));
                let all = PROVIDERS.iter().map(has).sum::<u128>() + audits;
                assert!(all >= 2 * START + self.earned.0, "something of what was paid is gone");
            }
            Honest::Renter => assert!(has(&RENTER) >= START - self.spent, "{:?}", self.free),
            Honest::Auditor => assert!(has(&AUDITOR) >= START + self.earned.1),
            Honest::Challenger => assert!(has(&CHALLENGER) >= START),
        }
    }

    /// The world without what makes no difference to its future: what time it is, and how many blocks there were.
    pub(crate) fn key(&self) -> Hash {
        let deals: Vec<Deal> = self.deals().into_iter().map(|deal| self.timeless(deal)).collect();
        let orders: Vec<_> =
            self.market.orders().map(|o| (o.id, o.state, o.open, o.held, o.reputation)).collect();
        let pledge = self.market.pledge_of(&AUDITOR).amount;
        let reputation = PROVIDERS.map(|who| self.market.reputation(&who));
        let certificate = self.market.certificate(&PROVIDERS[0]);
        let certificate = certificate.map(|one| (one.held, one.probe, one.shown.is_some()));
        let facts = (self.claims, self.input_missing, self.output_missing, certificate);
        // The market knows no balance, so those of others than the honest party make no difference to what is looked at.
        let of = |who: &[Address]| who.iter().map(|who| self.free[who]).collect::<Vec<_>>();
        let money = match self.bounds.honest {
            Honest::Nobody => vec![],
            Honest::Provider if self.bounds.what == What::Probe => {
                [of(&PROVIDERS), vec![self.earned.1]].concat()
            }
            Honest::Provider => [of(&PROVIDERS), vec![self.earned.0]].concat(),
            Honest::Renter => vec![self.free[&RENTER] + self.spent],
            Honest::Auditor => vec![self.free[&AUDITOR] - self.earned.1],
            Honest::Challenger => of(&[CHALLENGER]),
        };
        Hash::of("model", &codec::encode(&(deals, orders, (pledge, reputation), facts, money)))
    }

    fn timeless(&self, deal: &Deal) -> Deal {
        let mut deal = deal.clone();
        let shift = |at: &mut TimeMs| at.0 = at.0.wrapping_sub(self.now.time.0);
        shift(&mut deal.matched);
        match &mut deal.state {
            DealState::Matched { ack_by } => shift(ack_by),
            DealState::Running { done_by, heartbeat_by, .. } => {
                shift(done_by);
                heartbeat_by.iter_mut().for_each(shift);
            }
            DealState::Committed { at, height, reveal_by, .. } => {
                shift(at);
                shift(reveal_by);
                height.0 = u64::from(*height == self.now.height);
            }
            DealState::Drawn { audit_by, open_until, .. } => {
                shift(audit_by);
                shift(open_until);
            }
            DealState::Disputed { audit_by, open_until, case, .. } => {
                [audit_by, open_until, &mut case.opened, &mut case.until]
                    .into_iter()
                    .for_each(shift);
            }
            DealState::Asked { case } => {
                [&mut case.opened, &mut case.until].into_iter().for_each(shift);
            }
            DealState::Examined { at, case, .. } => {
                [at, &mut case.opened, &mut case.until].into_iter().for_each(shift);
            }
            DealState::Demanded { audit_by, open_until, opened, serve_by, .. } => {
                [audit_by, open_until, opened, serve_by].into_iter().for_each(shift);
            }
            DealState::Closing { commit_by } => shift(commit_by),
            DealState::Sealed { unseal_by, .. } => shift(unseal_by),
            DealState::Rematch { until, .. } => shift(until),
            DealState::Leased { from, beat_by, .. } => [from, beat_by].into_iter().for_each(shift),
            DealState::Settled { .. }
            | DealState::Failed { .. }
            | DealState::Completed { .. }
            | DealState::Cancelled { .. } => {}
        }
        deal
    }
}

/// The receipts that stand behind a deal's commitment, and whether they are right.
fn committed(deal: &Deal) -> Option<(Vec<Receipt>, bool)> {
    if deal.is_over() {
        return None;
    }
    let (commitment, _) = deal.results()?;
    [true, false].into_iter().find_map(|is_right| {
        let list = receipts(deal.batch_first(), commitment.count, is_right);
        (Commitment::new(&list) == Some(commitment)).then_some((list, is_right))
    })
}

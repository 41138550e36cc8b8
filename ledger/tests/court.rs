//! A dispute from the challenge to the money, through real blocks: what it takes to settle one, and what does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, ask, bid, body, genesis, key, ordered, secrets, transaction};
use gongsuan_ledger::genesis::Validator;
use gongsuan_ledger::mempool::{Budget, Limits};
use gongsuan_ledger::{Genesis, Mempool, Op, OrderedBlock, State, TxStatus, apply_block, fee_due};
use gongsuan_market::{Command, DealState, Failure};
use gongsuan_types::court::{CaseId, Finding, Verdict};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{DealId, Fuel, Hash, Signed, Verified};

const DEAL: DealId = DealId(1);
const PROVIDER: u16 = 0;
const RENTER: u16 = 1;
const CHALLENGER: u16 = 2;

/// A chain with four validators and a deal whose results are drawn.
struct Court {
    genesis: Genesis,
    state: State,
    receipts: Vec<Receipt>,
}

fn seat(n: u16) -> gongsuan_types::SecretKey {
    key(900 + n)
}

impl Court {
    fn new() -> Self {
        let mut genesis = genesis(3);
        let named = |n| Validator { name: format!("v{n}"), key: seat(n).public_key() };
        genesis.validators = (0..4).map(named).collect();
        let state = State::new(&genesis).unwrap();
        let receipt = |segment: u32| Receipt {
            segment,
            input: Hash::ZERO,
            output: Hash::of_content(&segment.to_le_bytes()),
            output_bytes: 4,
            fuel: Fuel(1_000_000_000),
            status: Status::Ok,
        };
        let mut court = Self { genesis, state, receipts: (0..10).map(receipt).collect() };
        let commitment = Commitment::new(&court.receipts).unwrap();
        court.good(PROVIDER, vec![ask(100), ask(100)]);
        court.good(RENTER, vec![bid(150)]);
        assert_eq!(court.state.market().deals().count(), 2, "ten segments, five in each deal");
        let half = Commitment::new(&court.receipts[..5]).unwrap();
        assert_ne!(half, commitment);
        court.receipts.truncate(5);
        court.good(PROVIDER, vec![Op::Market(Command::Acknowledge(DEAL))]);
        let commit = Command::Commit { deal: DEAL, commitment: half, receipts: Hash::ZERO };
        court.good(PROVIDER, vec![Op::Market(commit)]);
        let (secret, path) = secrets().first(0).unwrap();
        let reveal = Command::Reveal { deal: DEAL, secret, path: Some(path) };
        court.good(RENTER, vec![Op::Market(reveal)]);
        court.block(vec![], 1);
        assert!(matches!(court.deal(), DealState::Drawn { .. }));
        court
    }

    fn deal(&self) -> &DealState {
        &self.state.market().deal(DEAL).unwrap().state
    }

    fn free(&self, n: u16) -> u128 {
        self.state.accounts().account(&address(n)).balance.micro()
    }

    fn block(&mut self, txs: Vec<gongsuan_ledger::SignedTransaction>, after: u64) -> Vec<TxStatus> {
        let (height, body) = (self.state.height().0 + 1, body(txs));
        let mut time = self.state.time();
        time.0 += after;
        let block = OrderedBlock { time, ..ordered(height, &body) };
        let applied = apply_block(&mut self.state, &block);
        applied.receipts.into_iter().map(|receipt| receipt.status).collect()
    }

    fn send(&mut self, from: u16, ops: Vec<Op>) -> TxStatus {
        let nonce = self.state.accounts().account(&address(from)).nonce;
        let tx = transaction(self.genesis.chain_id(), from, nonce, 1_000, ops);
        self.block(vec![tx], 1).remove(0)
    }

    fn good(&mut self, from: u16, ops: Vec<Op>) {
        assert_eq!(self.send(from, ops), TxStatus::Applied);
    }

    fn code(&mut self, verdicts: Vec<Signed<Verdict>>) -> String {
        match self.send(CHALLENGER, vec![Op::Judge(verdicts)]) {
            TxStatus::Failed { refusal, .. } => refusal.code.into_owned(),
            other @ (TxStatus::Applied | TxStatus::Skipped { .. }) => format!("{other:?}"),
        }
    }

    fn challenge(&mut self, at: usize, found: Receipt) {
        let committed = self.receipts[at];
        let proof = ReceiptProof::new(&self.receipts, at).unwrap();
        let challenge = Command::Challenge { deal: DEAL, committed, proof, found };
        self.good(CHALLENGER, vec![Op::Market(challenge)]);
    }

    fn verdict(&self, n: u16, number: u32, finding: Finding) -> Signed<Verdict> {
        let (chain_id, validator) = (self.genesis.chain_id(), seat(n).public_key());
        let case = CaseId { deal: DEAL, number };
        let verdict = Verdict { chain_id, case, finding, validator };
        Verified::sign(verdict, &seat(n)).into_signed()
    }
}

fn other(receipt: Receipt) -> Receipt {
    Receipt { output: Hash::of_content(b"other"), ..receipt }
}

#[test]
fn three_of_four_equal_verdicts_slash_a_wrong_provider_and_make_the_renter_whole() {
    let mut court = Court::new();
    let right = other(court.receipts[3]);
    let before = [PROVIDER, RENTER, CHALLENGER].map(|n| court.free(n));
    let treasury = court.state.supply().treasury;
    court.challenge(3, right);
    let produced = Finding::Produced(right);
    // One validator errs; it takes three that agree, however they come.
    let err = court.verdict(3, 1, Finding::Produced(court.receipts[3]));
    let first = court.verdict(0, 1, produced);
    court.good(CHALLENGER, vec![Op::Judge(vec![err, first.clone()])]);
    assert_eq!(court.code(vec![first]), "mismatch", "heard already");
    court.good(CHALLENGER, vec![Op::Judge(vec![court.verdict(2, 1, produced)])]);
    assert!(matches!(court.deal(), DealState::Disputed { .. }), "two agree");
    court.good(CHALLENGER, vec![Op::Judge(vec![court.verdict(1, 1, produced)])]);
    assert!(matches!(court.deal(), DealState::Failed { why: Failure::Fraud, .. }));
    assert_eq!(court.code(vec![court.verdict(1, 1, produced)]), "no-such-case");
    // Deposit 1,000: half to the challenger, a fifth to the renter, the rest to the treasury. Escrow: 1,000, bond 50, two audits of 250.
    let fees = 6_000;
    assert_eq!(court.free(CHALLENGER), before[2] + 500 - fees);
    assert_eq!(court.free(RENTER), before[1] + 200 + 1_550);
    assert_eq!(court.free(PROVIDER), before[0]);
    let now = court.state.supply().treasury.micro();
    assert_eq!(now, treasury.micro() + 300 + fees);
}

#[test]
fn a_false_challenge_costs_its_stake_and_the_window_goes_on() {
    let mut court = Court::new();
    let DealState::Drawn { open_until, .. } = *court.deal() else { panic!("drawn") };
    let before = [PROVIDER, CHALLENGER].map(|n| court.free(n));
    court.challenge(2, other(court.receipts[2]));
    assert_eq!(court.free(CHALLENGER), before[1] - 1_000 - 10_000, "the stake is held");
    court.block(vec![], 50);
    let produced = Finding::Produced(court.receipts[2]);
    let verdicts = (0..3).map(|n| court.verdict(n, 1, produced)).collect();
    court.good(CHALLENGER, vec![Op::Judge(verdicts)]);
    let DealState::Drawn { open_until: later, .. } = *court.deal() else { panic!("drawn again") };
    assert_eq!(later.0, open_until.0 + 51, "a false claim takes no time from a true one");
    assert_eq!(court.free(PROVIDER), before[0] + 7_000);
    assert_eq!(court.free(CHALLENGER), before[1] - 10_000 - 2_000);
    // What was said of one case says nothing of the next.
    court.challenge(2, other(court.receipts[2]));
    assert_eq!(court.code(vec![court.verdict(0, 1, produced)]), "no-such-case");
}

#[test]
fn verdicts_that_are_nobodys_or_of_another_chain_are_refused() {
    let mut court = Court::new();
    court.challenge(0, other(court.receipts[0]));
    let produced = Finding::Produced(court.receipts[0]);
    let good = court.verdict(0, 1, produced);
    let mut forged = good.clone();
    forged.body.finding = Finding::Unavailable;
    let mut stranger = good.body;
    stranger.validator = key(5).public_key();
    let stranger = Verified::sign(stranger, &key(5)).into_signed();
    let mut elsewhere = good.body;
    elsewhere.chain_id = Hash::ZERO;
    let elsewhere = Verified::sign(elsewhere, &seat(0)).into_signed();
    let beside = court.verdict(0, 1, Finding::Produced(court.receipts[1]));
    let misses = court.verdict(0, 1, Finding::Accepts);
    for (verdicts, code) in [
        (vec![], "out-of-range"),
        (vec![good.clone(); 65], "out-of-range"),
        (vec![good.clone(), forged], "bad-signature"),
        (vec![stranger], "not-a-validator"),
        (vec![elsewhere], "wrong-chain"),
        (vec![beside], "mismatch"),
        (vec![misses], "mismatch"),
    ] {
        assert_eq!(court.code(verdicts), code);
    }
    let open = court.state.market().deal(DEAL).unwrap().case().unwrap();
    assert!(open.votes.is_empty(), "nothing of a refused operation counts");
    let same = vec![good.clone(), good.clone(), good];
    court.good(CHALLENGER, vec![Op::Judge(same)]);
    assert!(matches!(court.deal(), DealState::Disputed { .. }), "one validator has one vote");
}

/// A transaction of a validator about its own office.
fn duty(court: &Court, n: u16, fee: u128, ops: Vec<Op>) -> gongsuan_ledger::SignedTransaction {
    let account = court.state.accounts().account(&seat(n).address());
    assert!(account.balance.is_zero(), "a seat needs no money");
    transaction(court.genesis.chain_id(), 900 + n, account.nonce, fee, ops)
}

#[test]
fn a_validators_own_new_verdict_of_an_open_case_is_free_and_nothing_else_is() {
    let mut court = Court::new();
    court.challenge(3, other(court.receipts[3]));
    let produced = Finding::Produced(court.receipts[3]);
    let own = |court: &Court, n| vec![Op::Judge(vec![court.verdict(n, 1, produced)])];
    let mut forged = court.verdict(0, 1, produced);
    forged.signature = court.verdict(1, 1, produced).signature;
    let twice = vec![court.verdict(0, 1, produced), court.verdict(0, 1, produced)];
    let with_more = [own(&court, 0), vec![common::transfer(1, 1)]].concat();
    for (what, ops) in [
        ("nothing", vec![Op::Judge(vec![])]),
        ("another's", own(&court, 1)),
        ("forged", vec![Op::Judge(vec![forged])]),
        ("twice", vec![Op::Judge(twice)]),
        ("with something else", with_more),
        ("no answer", vec![Op::Judge(vec![court.verdict(0, 1, Finding::Accepts)])]),
        ("no such case", vec![Op::Judge(vec![court.verdict(0, 2, produced)])]),
    ] {
        let tx = duty(&court, 0, 0, ops);
        assert!(!fee_due(&court.state, &tx.body).is_zero(), "{what}");
        let status = court.block(vec![tx], 1).remove(0);
        assert!(matches!(status, TxStatus::Skipped { .. }), "{what}: {status:?}");
    }
    let before = court.state.supply().treasury;
    for n in 0..2 {
        let tx = duty(&court, n, 0, own(&court, n));
        assert!(fee_due(&court.state, &tx.body).is_zero());
        assert_eq!(court.block(vec![tx], 1), [TxStatus::Applied]);
    }
    let again = duty(&court, 0, 0, own(&court, 0));
    assert!(!fee_due(&court.state, &again.body).is_zero(), "once for each case");
    assert_eq!(court.state.supply().treasury, before);
    let last = duty(&court, 2, 0, own(&court, 2));
    court.block(vec![last], 1);
    assert!(matches!(court.deal(), DealState::Drawn { .. }), "three of four have settled it");
    assert!(!fee_due(&court.state, &duty(&court, 3, 0, own(&court, 3)).body).is_zero());
}

#[test]
fn a_full_pool_makes_room_for_verdicts_and_drops_those_that_come_too_late() {
    let mut court = Court::new();
    court.challenge(3, other(court.receipts[3]));
    let produced = Finding::Produced(court.receipts[3]);
    let mut pool = Mempool::new(Limits { count_max: 2, ..Limits::default() });
    let put = |pool: &mut Mempool, court: &Court, tx: gongsuan_ledger::SignedTransaction| {
        pool.insert(tx.verify().unwrap(), &court.state).map_err(|refusal| refusal.code.into_owned())
    };
    for n in [PROVIDER, RENTER] {
        let nonce = court.state.accounts().account(&address(n)).nonce;
        let dear =
            transaction(court.genesis.chain_id(), n, nonce, 90_000, vec![common::transfer(2, 1)]);
        put(&mut pool, &court, dear).unwrap();
    }
    let verdict =
        |court: &Court, n| duty(court, n, 0, vec![Op::Judge(vec![court.verdict(n, 1, produced)])]);
    put(&mut pool, &court, verdict(&court, 0)).unwrap();
    let first = pool.build(&court.state, &Default::default(), Budget::default());
    assert_eq!(first[0].body.sender, seat(0).address(), "before what pays");
    // The others settle the case before its block: it is not free any more, and must not stand before what its sender says next.
    let others = (1..4).map(|n| court.verdict(n, 1, produced)).collect();
    court.good(CHALLENGER, vec![Op::Judge(others)]);
    assert_eq!(put(&mut pool, &court, verdict(&court, 3)), Err("fee-too-low".into()));
    assert_eq!(pool.next_nonce(&seat(0).address(), &court.state), 1);
    pool.prune(&court.state, [address(CHALLENGER)]);
    assert_eq!(pool.next_nonce(&seat(0).address(), &court.state), 0);
}

#[test]
fn after_an_outage_parties_are_heard_before_their_deadlines_fire() {
    let demanded = || {
        let mut court = Court::new();
        court.good(CHALLENGER, vec![Op::Market(Command::Demand { deal: DEAL, segment: 3 })]);
        let DealState::Demanded { serve_by, .. } = *court.deal() else { panic!("demanded") };
        let after = serve_by.since(court.state.time()).0 + 60_000;
        (court, after)
    };
    // Nothing was ordered for longer than the provider had to answer; its answer is in the first block that is.
    let (mut court, after) = demanded();
    let proof = ReceiptProof::new(&court.receipts, 3).unwrap();
    let serve = Command::Serve { deal: DEAL, receipt: court.receipts[3], proof };
    let nonce = court.state.accounts().account(&address(PROVIDER)).nonce;
    let chain_id = court.genesis.chain_id();
    let tx = transaction(chain_id, PROVIDER, nonce, 1_000, vec![Op::Market(serve)]);
    assert_eq!(court.block(vec![tx], after), [TxStatus::Applied]);
    assert!(matches!(court.deal(), DealState::Drawn { .. }));
    // Who says nothing then either is out with the next block, and who was silent while blocks came is out at once.
    let (mut court, after) = demanded();
    court.block(vec![], after);
    assert!(matches!(court.deal(), DealState::Demanded { .. }));
    court.block(vec![], 1);
    assert!(matches!(court.deal(), DealState::Failed { why: Failure::Withheld, .. }));
    let (mut court, after) = demanded();
    for _ in 0..after / gongsuan_ledger::GAP.0 {
        court.block(vec![], gongsuan_ledger::GAP.0);
    }
    assert!(matches!(court.deal(), DealState::Failed { why: Failure::Withheld, .. }));
}

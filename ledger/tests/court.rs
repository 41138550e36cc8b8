//! A dispute from the challenge to the money, through real blocks: what it takes to settle one, and what does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, ask, bid, body, genesis, key, ordered, transaction};
use gongsuan_ledger::genesis::Validator;
use gongsuan_ledger::{Genesis, Op, OrderedBlock, State, TxStatus, apply_block};
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
        let secret = Hash::of_content(b"secret");
        court.good(RENTER, vec![Op::Market(Command::Reveal { deal: DEAL, secret })]);
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
            other => format!("{other:?}"),
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

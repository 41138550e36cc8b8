//! One core alone, and the test holds everybody's keys: rules that only a liar or an accident would put to the test.

use gongsuan_consensus::{
    AppRef, Block, Config, Core, Draft, Epoch, Evidence, Header, Input, Message, Millis, Output,
    Outputs, Payload, Proposal, Qc, Rank, Record, Recovered, Seat, Timeout, ValidatorSet,
    VerifyError, Vote, VoteCache, VoteKind, certificate::TimeoutShare, genesis, verify,
    vote::Signer,
};
use gongsuan_types::{Hash, Height, SecretKey, Term, TimeMs};

struct Bench {
    chain_id: Hash,
    keys: Vec<SecretKey>,
    set: ValidatorSet,
    epoch: Epoch,
    core: Core,
    out: Outputs,
    now: u64,
}

/// Seat 1 leads term 1.
const LEADER: Seat = Seat(1);

impl Bench {
    fn new(seat: u16, recovered: Recovered) -> Self {
        let keys: Vec<_> = (0..4u8).map(|i| SecretKey::from_seed(&[i])).collect();
        let set = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key).collect()).unwrap();
        let chain_id = Hash::of("bench", b"");
        let key = keys[usize::from(seat)].clone();
        let config = Config::new(chain_id, set.clone(), key);
        let core = Core::new(config, recovered).unwrap();
        let epoch = Epoch::first(&chain_id, set.clone());
        let mut bench = Self { chain_id, keys, set, epoch, core, out: Vec::new(), now: 0 };
        bench.step(Input::Tick);
        bench
    }

    /// Steps, answers checks and syncs at once, and keeps the outputs.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Outputs::new();
            self.core.step(Millis(self.now), input, &mut out);
            for output in &out {
                match output {
                    Output::Persist { seq, .. } => inputs.push(Input::Persisted { seq: *seq }),
                    Output::Check { block, .. } => {
                        inputs.push(Input::Checked { block: *block, ok: true });
                    }
                    _ => {}
                }
            }
            self.out.extend(out);
        }
    }

    fn hear(&mut self, from: Seat, message: Message) {
        let checked = verify(message, &self.epoch, &self.chain_id, &VoteCache::none());
        self.step(Input::Message { from, message: checked.unwrap() });
    }

    fn signer(&self, seat: Seat) -> Signer<'_> {
        Signer { chain_id: &self.chain_id, epoch: 0, key: &self.keys[usize::from(seat.0)] }
    }

    fn vote(&self, kind: VoteKind, seat: u16, height: u64, block: Hash) -> Vote {
        let rank = Rank { term: Term(1), height: Height(height) };
        Vote::sign(kind, rank, block, Seat(seat), &self.signer(Seat(seat)))
    }

    fn certificate(&self, kind: VoteKind, height: u64, block: Hash) -> Qc {
        let signatures = [0, 1, 2].map(|seat| self.vote(kind, seat, height, block).share());
        let rank = Rank { term: Term(1), height: Height(height) };
        Qc { kind, epoch: 0, rank, block, signatures: signatures.to_vec() }
    }

    /// A block of term 1. `text` tells twins apart.
    fn block(&self, height: u64, parent: Hash, justify: Qc, text: &str) -> (Hash, Message) {
        let payload = Payload::new(text.as_bytes().to_vec());
        let header = Header {
            epoch: 0,
            term: Term(1),
            height: Height(height),
            parent,
            justify,
            tc: None,
            payload_hash: payload.hash(),
            app: AppRef::default(),
            time: TimeMs(height),
            proposer: LEADER,
            next: None,
        };
        let block = Block::sign(header, &self.chain_id, &self.keys[1]);
        let hash = block.hash(&self.chain_id);
        (hash, Message::Propose(Box::new(Proposal { block, payload })))
    }

    fn root(&self) -> (Hash, Qc) {
        (genesis(&self.chain_id, 0), self.epoch.certificate())
    }

    fn votes(&self, kind: VoteKind) -> Vec<Hash> {
        let mut votes: Vec<Hash> = Vec::new();
        for output in &self.out {
            let cast = match output {
                Output::Send { message: Message::Vote(vote), .. } => vec![vote.clone()],
                Output::Send { message: Message::Votes(joined), .. } => {
                    joined.split(&self.chain_id).to_vec()
                }
                _ => continue,
            };
            for vote in cast.iter().filter(|vote| vote.kind == kind) {
                if !votes.contains(&vote.block) {
                    votes.push(vote.block);
                }
            }
        }
        votes
    }
}

#[test]
fn a_voter_does_not_change_branches_without_a_certificate_in_the_block() {
    let mut bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a1, first) = bench.block(1, root, none.clone(), "a");
    let (b1, twin) = bench.block(1, root, none.clone(), "b");
    let (b2, child) = bench.block(2, b1, none, "b");
    bench.hear(LEADER, first);
    // Votes of f + 1 vouch for the twin, so that it is kept; nothing makes it votable.
    for seat in [2, 3] {
        let vote = bench.vote(VoteKind::Prepare, seat, 1, b1);
        bench.hear(Seat(seat), Message::Vote(vote));
    }
    bench.hear(LEADER, twin);
    bench.hear(LEADER, child);
    assert_eq!(bench.votes(VoteKind::Prepare), [a1]);
    // The certificate alone is not enough: the block must show it.
    let qc = bench.certificate(VoteKind::Prepare, 1, b1);
    bench.hear(Seat(2), Message::Certificate(qc.clone()));
    assert_eq!(bench.votes(VoteKind::Prepare), [a1]);
    assert!(bench.core.chain_to(&b2).is_some());
    let (shown, child) = bench.block(2, b1, qc, "b, and why");
    for seat in [2, 3] {
        let vote = bench.vote(VoteKind::Prepare, seat, 2, shown);
        bench.hear(Seat(seat), Message::Vote(vote));
    }
    bench.hear(LEADER, child);
    assert_eq!(bench.votes(VoteKind::Prepare), [a1, shown]);
}

#[test]
fn twins_and_double_votes_are_evidence_that_names_the_guilty() {
    let mut bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a, first) = bench.block(1, root, none.clone(), "a");
    let (b, twin) = bench.block(1, root, none, "b");
    bench.hear(LEADER, first);
    bench.hear(LEADER, twin);
    for block in [a, b] {
        let vote = bench.vote(VoteKind::Prepare, 3, 1, block);
        bench.hear(Seat(3), Message::Vote(vote));
    }
    let mut guilty = Vec::new();
    for output in &bench.out {
        if let Output::Evidence(evidence) = output {
            let evidence: &Evidence = evidence;
            guilty.push(evidence.verify(&bench.set, &bench.chain_id).unwrap());
        }
    }
    assert_eq!(guilty, [LEADER, Seat(3)]);
}

#[test]
fn a_certificate_of_an_unknown_block_is_kept_and_the_block_is_asked_for() {
    let mut bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a, proposal) = bench.block(1, root, none, "a");
    let qc = bench.certificate(VoteKind::Prepare, 1, a);
    bench.hear(Seat(2), Message::Certificate(qc));
    bench.now = 200;
    bench.step(Input::Tick);
    let asked = bench.out.iter().any(|output| {
        matches!(output, Output::Send { message: Message::FetchBlock(fetch), .. } if fetch.block == a)
    });
    assert!(asked);
    bench.hear(Seat(2), proposal);
    assert_eq!(bench.votes(VoteKind::Commit), [a], "the certificate was not forgotten");
}

#[test]
fn a_leader_that_restarted_in_its_term_signs_a_timeout_and_asks_for_no_payload() {
    let mut recovered = Recovered::default();
    recovered.apply(Record::Term(Term(1)));
    let mut bench = Bench::new(1, recovered);
    bench.step(Input::Work { pending: true });
    let draft =
        Draft { payload: Payload::default(), app: AppRef::default(), time: TimeMs(1), next: None };
    bench.step(Input::Payload { term: Term(1), height: Height(1), draft: Some(draft) });
    let has = |test: fn(&Output) -> bool| bench.out.iter().any(test);
    assert!(has(|o| matches!(o, Output::Send { message: Message::Timeout(_), .. })));
    assert!(!has(|o| matches!(o, Output::WantPayload(_))));
    assert!(!has(|o| matches!(o, Output::Send { message: Message::Propose(_), .. })));
}

#[test]
fn a_voter_that_restarted_under_a_lease_waits_for_a_certificate_above_it() {
    let mut recovered = Recovered::default();
    recovered.apply(Record::Term(Term(1)));
    recovered.apply(Record::Lease(Rank { term: Term(1), height: Height(2) }));
    let mut bench = Bench::new(0, recovered);
    let (root, none) = bench.root();
    let (a, one) = bench.block(1, root, none.clone(), "a");
    let (b, two) = bench.block(2, a, none.clone(), "b");
    let (c, three) = bench.block(3, b, none, "c");
    for message in [one, two, three] {
        bench.hear(LEADER, message);
    }
    // The certificate alone is not enough: nobody could tell later why the vote was right.
    let qc = bench.certificate(VoteKind::Prepare, 2, b);
    bench.hear(Seat(2), Message::Certificate(qc.clone()));
    assert!(bench.votes(VoteKind::Prepare).is_empty());
    let (d, four) = bench.block(4, c, qc, "d");
    bench.hear(LEADER, four);
    assert_eq!(bench.votes(VoteKind::Prepare), [d]);
}

#[test]
fn a_lock_makes_blocks_durable_that_are_final_but_not_in_the_log_yet() {
    let mut bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a, one) = bench.block(1, root, none.clone(), "a");
    let (b, two) = bench.block(2, a, none, "b");
    let commit = bench.certificate(VoteKind::Commit, 1, a);
    bench.hear(Seat(2), Message::Certificate(commit));
    bench.hear(LEADER, one);
    assert_eq!(bench.core.progress().committed, Height(1));
    bench.hear(LEADER, two);
    let qc = bench.certificate(VoteKind::Prepare, 2, b);
    bench.hear(Seat(2), Message::Certificate(qc));
    let mut recovered = Recovered::default();
    for output in &bench.out {
        if let Output::Persist { record, .. } = output {
            recovered.apply(record.clone());
        }
    }
    let config = Config::new(bench.chain_id, bench.set.clone(), bench.keys[0].clone());
    assert!(Core::new(config, recovered).is_ok(), "although the log lost the first block");
}

#[test]
fn a_lock_without_its_block_refuses_to_start() {
    let bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a, _) = bench.block(1, root, none, "a");
    let mut recovered = Recovered::default();
    recovered.apply(Record::Lock(Box::new(bench.certificate(VoteKind::Prepare, 1, a))));
    let config = Config::new(bench.chain_id, bench.set.clone(), bench.keys[0].clone());
    let error = Core::new(config, recovered).unwrap_err();
    assert_eq!(error, gongsuan_consensus::StartError::LockedBlockMissing { block: a });
}

impl Bench {
    fn evidence(&self) -> Vec<Evidence> {
        let found = self.out.iter().filter_map(|output| match output {
            Output::Evidence(evidence) => Some((**evidence).clone()),
            _ => None,
        });
        found.collect()
    }

    fn timeout(&self, seat: u16, high: Qc) -> Timeout {
        Timeout::sign(Term(1), high, Height(0), Seat(seat), &self.signer(Seat(seat)))
    }
}

#[test]
fn a_timeout_that_denies_a_commit_is_amnesia_whichever_comes_first() {
    for vote_first in [true, false] {
        let mut bench = Bench::new(0, Recovered::default());
        let (root, none) = bench.root();
        let (a, first) = bench.block(1, root, none.clone(), "a");
        bench.hear(LEADER, first);
        let vote = Message::Vote(bench.vote(VoteKind::Commit, 3, 1, a));
        let timeout = Message::Timeout(Box::new(bench.timeout(3, none)));
        let both = if vote_first { [vote, timeout] } else { [timeout, vote] };
        for message in both {
            bench.hear(Seat(3), message);
        }
        let [evidence] = &bench.evidence()[..] else { panic!("{:?}", bench.evidence()) };
        assert!(matches!(evidence, Evidence::Amnesia { .. }));
        assert_eq!(evidence.verify(&bench.set, &bench.chain_id), Ok(Seat(3)));
        // With the rank that was locked the timeout denies nothing; with another it was never signed.
        let Evidence::Amnesia { commit, term, timeout } = evidence.clone() else { unreachable!() };
        let honest = TimeoutShare { high: commit.rank, ..timeout.clone() };
        let altered = Evidence::Amnesia { commit: commit.clone(), term, timeout: honest };
        assert_eq!(altered.verify(&bench.set, &bench.chain_id), Err(VerifyError::NoConflict));
        let altered = Evidence::Amnesia { commit, term: Term(2), timeout };
        assert!(matches!(
            altered.verify(&bench.set, &bench.chain_id),
            Err(VerifyError::Signature { seat: Seat(3), .. })
        ));
    }
}

#[test]
fn a_timeout_that_shows_the_lock_accuses_nobody() {
    let mut bench = Bench::new(0, Recovered::default());
    let (root, none) = bench.root();
    let (a, first) = bench.block(1, root, none, "a");
    bench.hear(LEADER, first);
    let vote = bench.vote(VoteKind::Commit, 3, 1, a);
    bench.hear(Seat(3), Message::Vote(vote));
    let lock = bench.certificate(VoteKind::Prepare, 1, a);
    let timeout = bench.timeout(3, lock);
    bench.hear(Seat(3), Message::Timeout(Box::new(timeout)));
    assert!(bench.evidence().is_empty());
}

#[test]
fn a_switch_of_branches_that_the_blocks_do_not_justify_is_evidence_and_a_justified_one_is_not() {
    for justified in [false, true] {
        let mut bench = Bench::new(0, Recovered::default());
        let (root, none) = bench.root();
        let (a1, first) = bench.block(1, root, none.clone(), "a");
        let (b1, twin) = bench.block(1, root, none.clone(), "b");
        let shown = if justified { bench.certificate(VoteKind::Prepare, 1, b1) } else { none };
        let (b2, child) = bench.block(2, b1, shown, "b");
        bench.hear(LEADER, first);
        for seat in [1, 2] {
            let vote = bench.vote(VoteKind::Prepare, seat, 1, b1);
            bench.hear(Seat(seat), Message::Vote(vote));
        }
        bench.hear(LEADER, twin);
        bench.hear(LEADER, child);
        for (height, block) in [(1, a1), (2, b2)] {
            let vote = bench.vote(VoteKind::Prepare, 3, height, block);
            bench.hear(Seat(3), Message::Vote(vote));
        }
        let switches: Vec<_> = bench
            .evidence()
            .into_iter()
            .filter(|evidence| matches!(evidence, Evidence::BranchSwitch { .. }))
            .map(|evidence| evidence.verify(&bench.set, &bench.chain_id))
            .collect();
        assert_eq!(switches, if justified { vec![] } else { vec![Ok(Seat(3))] });
    }
}

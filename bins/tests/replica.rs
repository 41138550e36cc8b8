//! Four replicas in one process, over real links and files, ordering words: an application that is not the ledger.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use gongsuan::net::Identity;
use gongsuan::replica::wal::Wal;
use gongsuan::replica::{
    Answer, Application, Archive, ArchiveError, Context, Gate, Replica, Setup, Store, Verdict,
    Work, wall,
};
use gongsuan_consensus::{
    AppRef, CommittedBlock, Config, Core, Draft, Payload, Proposal, Seat, To, ValidatorSet,
    WantPayload,
};
use gongsuan_types::{DurationMs, Hash, Height, SecretKey};

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A word, from a client of this replica or from another replica.
type Word = (bool, String);

#[derive(Default)]
struct Memory(Vec<CommittedBlock>);

impl Store for Memory {
    fn append(&mut self, blocks: &[CommittedBlock]) -> Result<(), ArchiveError> {
        self.0.extend_from_slice(blocks);
        Ok(())
    }

    fn read(&self, height: Height) -> Option<CommittedBlock> {
        self.0.get(usize::try_from(height.0.checked_sub(1)?).ok()?).cloned()
    }
}

struct Words {
    waiting: Vec<String>,
    archive: Archive,
    told: Height,
    ordered: Sender<String>,
    leader: Arc<AtomicU16>,
}

impl Application for Words {
    type Event = Word;

    fn on_event(&mut self, (is_own, word): Word, cx: &mut Context<'_>) {
        if is_own {
            cx.peers.tell(To::All, &[word.as_bytes()]);
        }
        self.waiting.push(word);
    }

    fn on_nudge(&mut self, cx: &mut Context<'_>) {
        let height = self.archive.durable();
        if height > self.told {
            self.told = height;
            cx.applied(height);
        }
    }

    fn draft(&mut self, want: &WantPayload, _cx: &mut Context<'_>) -> Answer {
        let in_flight = |word: &&String| {
            !want.ancestors.iter().any(|block| block.payload.bytes() == word.as_bytes())
        };
        let Some(word) = self.waiting.iter().find(in_flight) else { return Answer::Nothing };
        let payload = Payload::new(word.clone().into_bytes());
        Answer::Propose(Draft { payload, app: AppRef::default(), time: wall(), next: None })
    }

    fn check(&mut self, _: &Hash, proposal: &Proposal, _: &mut Context<'_>) -> Verdict {
        match proposal.payload.bytes() {
            [] => Verdict::Bad,
            _ => Verdict::Good,
        }
    }

    fn commit(&mut self, blocks: Vec<CommittedBlock>, cx: &mut Context<'_>) {
        for block in &blocks {
            let word = String::from_utf8_lossy(block.proposal.payload.bytes()).into_owned();
            self.waiting.retain(|waiting| *waiting != word);
            drop(self.ordered.send(word));
        }
        let is_urgent = !cx.is_saved(&blocks);
        self.archive.append(blocks, is_urgent);
    }

    fn serve(&mut self, to: Seat, from: Height, up_to: Height, _: &mut Context<'_>) {
        self.archive.serve(to, from, up_to);
    }

    fn work(&mut self, cx: &mut Context<'_>) -> Work {
        self.leader.store(cx.core.progress().leader.0, Ordering::Relaxed);
        if self.waiting.is_empty() { Work::None } else { Work::Now }
    }
}

fn key(seat: u16) -> SecretKey {
    SecretKey::from_seed(&seat.to_le_bytes())
}

/// A replica as the tests hold it.
struct Node {
    replica: Replica<Word>,
    log: Receiver<String>,
    leader: Arc<AtomicU16>,
}

fn start(
    seat: u16,
    socket: TcpListener,
    all: &[SocketAddr],
    dir: &Path,
    timeout: DurationMs,
) -> Node {
    let keys = (0..4).map(|seat| key(seat).public_key()).collect();
    let (validators, chain_id) = (ValidatorSet::new(0, keys).unwrap(), Hash::of("words", b"test"));
    let (wal, recovered, _) = Wal::open(&dir.join(format!("votes-{seat}"))).unwrap();
    let config = Config {
        timeout,
        timeout_max: DurationMs(600_000),
        ..Config::new(chain_id, validators, key(seat))
    };
    let setup = Setup {
        core: Core::new(config, recovered).unwrap(),
        wal,
        identity: Identity { key: key(seat), chain_id, port: 0 },
        socket,
        addresses: (0..4)
            .filter(|other| *other != seat)
            .map(|other| (key(other).public_key(), all[usize::from(other)]))
            .collect(),
    };
    let (ordered, log) = unbounded();
    let leader = Arc::new(AtomicU16::new(u16::MAX));
    let seen = leader.clone();
    let gate: Gate<Word> =
        Arc::new(|_, bytes| Some((false, String::from_utf8(bytes.to_vec()).ok()?)));
    let replica = Replica::start(setup, gate, |front, peers| {
        let archive = Archive::start(Memory::default(), peers, front)?;
        Ok(Words { waiting: Vec::new(), archive, told: Height(0), ordered, leader: seen })
    });
    Node { replica: replica.unwrap(), log, leader }
}

fn start_four(dir: &Path, timeout: DurationMs) -> Vec<Node> {
    let sockets: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let all: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    (0..).zip(sockets).map(|(seat, socket)| start(seat, socket, &all, dir, timeout)).collect()
}

/// Has words ordered; what each replica ordered. What peers are told may be lost while links come up, so every replica hears of each word
/// from a client.
fn order(nodes: &[Node], words: &[String]) -> Vec<Vec<String>> {
    for (n, word) in words.iter().enumerate() {
        for k in 0..nodes.len() {
            nodes[(n + k) % nodes.len()].replica.front().try_push((false, word.clone())).unwrap();
        }
    }
    let next = |node: &Node| node.log.recv_timeout(PATIENCE).expect("words are ordered");
    nodes.iter().map(|node| words.iter().map(|_| next(node)).collect()).collect()
}

fn assert_each_once(logs: &[Vec<String>], mut words: Vec<String>) {
    assert!(logs.iter().all(|log| *log == logs[0]));
    let mut sorted = logs[0].clone();
    sorted.sort();
    words.sort();
    assert_eq!(sorted, words);
}

#[test]
fn four_replicas_order_the_same_words_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = start_four(dir.path(), DurationMs(500));
    let words: Vec<String> = (0..20).map(|n| format!("word {n}")).collect();
    assert_each_once(&order(&nodes, &words), words);
    nodes.into_iter().for_each(|node| node.replica.stop());
}

/// Nobody's patience ends within this test, so the leader that stops must have handed over.
#[test]
fn a_leader_that_is_told_to_stop_hands_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = start_four(dir.path(), DurationMs(600_000));
    let before: Vec<String> = (0..5).map(|n| format!("before {n}")).collect();
    assert_each_once(&order(&nodes, &before), before);
    let leader = usize::from(nodes[0].leader.load(Ordering::Relaxed));
    nodes.remove(leader).replica.stop();
    let after: Vec<String> = (0..5).map(|n| format!("after {n}")).collect();
    assert_each_once(&order(&nodes, &after), after);
    nodes.into_iter().for_each(|node| node.replica.stop());
}

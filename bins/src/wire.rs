//! The wire of a local network: every link between two validators goes through this process, which can delay it, let it stall as if packets had been
//! lost, or cut it. For trying faults out without root; nodes know nothing of it.
//!
//! ```text
//! v0 ── dials ──▶ [listener of 0>1] ── connects ──▶ v1        bytes that way obey the rule of 0>1, bytes back that of 1>0
//! ```
//!
//! A cut holds bytes back instead of dropping them, as TCP would have it: what was sent arrives when the cut is healed, unless an end has given up.
//! Rules are a file that is read again when it changes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

/// Between two looks at the rules, and at a cut.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a lost packet costs a stream: the sender's shortest time-out before it sends again.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Bytes read at one time; a loss is decided for each.
const CHUNK: usize = 16 << 10;
/// Chunks on their way in one direction of one connection.
const ON_THE_WAY: usize = 1_024;

/// One direction of the wire between two validators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who dials, by number.
    pub from: usize,
    /// Who is meant.
    pub to: usize,
    /// Where the wire listens for it.
    pub listen: SocketAddr,
    /// Where the other really is.
    pub address: SocketAddr,
}

/// What bytes meet on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// They take this long, in milliseconds.
    pub delay_ms: u64,
    /// More or less, at random. Their order is kept.
    pub jitter_ms: u64,
    /// So many of a hundred chunks are sent twice: they come 200 ms later.
    pub loss_percent: u8,
    /// Nothing passes.
    pub cut: bool,
}

/// Rules of all links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Of links that have none of their own.
    pub all: Rule,
    /// By direction, such as `0>1`.
    pub links: BTreeMap<String, Rule>,
}

impl Rules {
    fn of(&self, from: usize, to: usize) -> Rule {
        self.links.get(&format!("{from}>{to}")).copied().unwrap_or(self.all)
    }

    /// Cuts everything between different groups; with `one_way` only what the first sends to the others. Who is in no group is cut from nobody.
    pub fn partition(&mut self, groups: &[Vec<usize>], one_way: bool) {
        for (place, group) in groups.iter().enumerate() {
            for other in groups.iter().skip(place + 1) {
                for (a, b) in group.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
                    self.cut(a, b);
                    if !one_way {
                        self.cut(b, a);
                    }
                }
            }
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        let rule = Rule { cut: true, ..self.of(from, to) };
        self.links.insert(format!("{from}>{to}"), rule);
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.links.clear();
        self.all.cut = false;
    }

    /// Reads the file; no file means no rules.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = crate::node::config::read_file(path)?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Replaces the file at once.
    ///
    /// # Errors
    /// What the disk said.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let next = path.with_extension("next");
        std::fs::write(&next, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(next, path).with_context(|| path.display().to_string())
    }
}

/// Rules that follow their file.
#[derive(Clone)]
struct Live(Arc<RwLock<Rules>>);

impl Live {
    fn of(&self, from: usize, to: usize) -> Rule {
        self.0.read().map(|rules| rules.of(from, to)).unwrap_or_default()
    }

    /// Waits while a direction is cut; what it is then.
    fn open(&self, from: usize, to: usize) -> Rule {
        loop {
            let rule = self.of(from, to);
            if !rule.cut {
                return rule;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn follow(&self, path: PathBuf) {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        let rules = self.0.clone();
        std::thread::spawn(move || {
            let mut seen: Option<SystemTime> = None;
            loop {
                let now = changed(&path);
                if now != seen {
                    match (Rules::load(&path), rules.write()) {
                        (Ok(found), Ok(mut rules)) => (*rules, seen) = (found, now),
                        (Err(error), _) => tracing::warn!("{error:#}"),
                        (_, Err(_)) => return,
                    }
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
    }
}

/// Listens on all links until the process ends.
///
/// # Errors
/// If an address is taken or the rules cannot be read.
pub fn serve(links: Vec<Link>, rules: &Path) -> anyhow::Result<()> {
    let live = Live(Arc::new(RwLock::new(Rules::load(rules)?)));
    live.follow(rules.to_owned());
    for link in links {
        let listener = TcpListener::bind(link.listen).with_context(|| {
            format!("cannot listen for {}>{} on {}", link.from, link.to, link.listen)
        })?;
        let live = live.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (link, live) = (link.clone(), live.clone());
                std::thread::spawn(move || drop(join(&link, stream, &live)));
            }
        });
    }
    Ok(())
}

/// Joins a dialled connection with the one that it means, once the way there is open.
fn join(link: &Link, near: TcpStream, live: &Live) -> std::io::Result<()> {
    live.open(link.from, link.to);
    let far = TcpStream::connect(link.address)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (there, back) = ((link.from, link.to), (link.to, link.from));
    for (from, to, way) in [(near.try_clone()?, far.try_clone()?, there), (far, near, back)] {
        let (late, due) = bounded(ON_THE_WAY);
        let (reading, writing) = (live.clone(), live.clone());
        std::thread::spawn(move || read(from, way, &reading, &late));
        std::thread::spawn(move || write(to, way, &writing, &due));
    }
    Ok(())
}

type Chunk = (Instant, Vec<u8>);

/// Takes bytes as they come and says when they may arrive: never before those that came earlier.
fn read(mut from: TcpStream, way: (usize, usize), live: &Live, late: &Sender<Chunk>) {
    let (mut buffer, mut last) = (vec![0; CHUNK], Instant::now());
    let mut dice = u64::from(std::process::id()) ^ ((way.0 as u64) << 32) ^ way.1 as u64;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let rule = live.of(way.0, way.1);
        let mut delay =
            Duration::from_millis(rule.delay_ms + roll(&mut dice) % (2 * rule.jitter_ms + 1));
        delay = delay.saturating_sub(Duration::from_millis(rule.jitter_ms));
        if roll(&mut dice) % 100 < u64::from(rule.loss_percent) {
            delay += RETRANSMIT;
        }
        last = last.max(Instant::now() + delay);
        if late.send((last, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Read));
}

/// Passes bytes on when they are due and the way is open.
fn write(mut to: TcpStream, way: (usize, usize), live: &Live, due: &Receiver<Chunk>) {
    for (at, bytes) in due {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        live.open(way.0, way.1);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

/// The next of a series of numbers that look random (splitmix64).
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cut_what_is_between_them_and_healing_lets_all_pass() {
        let mut rules = Rules { all: Rule { delay_ms: 5, ..Rule::default() }, ..Rules::default() };
        rules.partition(&[vec![0, 1], vec![2]], false);
        for (from, to, cut) in
            [(0, 1, false), (0, 2, true), (2, 0, true), (1, 2, true), (0, 3, false), (3, 2, false)]
        {
            assert_eq!(
                rules.of(from, to),
                Rule { cut, delay_ms: 5, ..Rule::default() },
                "{from}>{to}"
            );
        }
        rules.heal();
        assert!(!rules.of(0, 2).cut);
        rules.partition(&[vec![0], vec![1, 2]], true);
        assert!(rules.of(0, 2).cut && !rules.of(2, 0).cut, "one way");
    }

    /// A peer that sends back what it gets; a cut that holds bytes back until it is healed.
    #[test]
    fn a_cut_holds_bytes_back_and_healing_delivers_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wire.json");
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, listen) =
            (peer.local_addr().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let listen = {
            let address = listen.local_addr().unwrap();
            drop(listen);
            address
        };
        std::thread::spawn(move || {
            let (mut stream, _) = peer.accept().unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
        });
        serve(vec![Link { from: 0, to: 1, listen, address }], &path).unwrap();
        let mut stream = TcpStream::connect(listen).unwrap();
        let mut back = [0];
        stream.write_all(&[1]).unwrap();
        stream.read_exact(&mut back).unwrap();
        let mut rules = Rules::default();
        rules.partition(&[vec![0], vec![1]], true);
        rules.save(&path).unwrap();
        // Until the cut is seen bytes still pass; then one does not come back. (Nor does it on a machine that is slow, which harms nothing.)
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let held = (2..=u8::MAX).cycle().take(100_000).find(|byte| {
            stream.write_all(&[*byte]).unwrap();
            stream.read_exact(&mut back).is_err()
        });
        let held = held.expect("the cut is never seen");
        Rules::default().save(&path).unwrap();
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back[0], held, "what was held back arrives");
    }
}

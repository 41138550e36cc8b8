//! Blobs and letters of this node and of the other validators, for the judge.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gongsuan_types::{DealId, Hash, SecretKey};

use super::blobs::Blobs;
use super::letters::Letters;
use crate::client::Client;
use crate::envelope::Keyring;

/// How long one of the other validators may take for a blob: one that is slow on purpose must not hold up a judge.
const PEER_WITHIN: Duration = Duration::from_secs(8);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Library {
    blobs: Arc<Blobs>,
    letters: Arc<Letters>,
    /// The other validators, for what is not here.
    peers: Client,
    /// How long each may take.
    patience: Duration,
    /// How often each has used up half of the patience for nothing: who does so is asked last.
    delays: Mutex<Vec<u32>>,
}

/// What is needed of one deal: plaintexts, whether they are kept as such or opened with letters.
pub(super) struct Shelf<'a> {
    library: &'a Library,
    keyring: Option<Keyring>,
}

impl Library {
    pub(super) fn new(blobs: Arc<Blobs>, letters: Arc<Letters>, peers: Client) -> Self {
        Self::with_patience(blobs, letters, peers, PEER_WITHIN)
    }

    fn with_patience(
        blobs: Arc<Blobs>,
        letters: Arc<Letters>,
        peers: Client,
        patience: Duration,
    ) -> Self {
        let delays = Mutex::new(vec![0; peers.nodes().len()]);
        Self { blobs, letters, peers: peers.within(patience), patience, delays }
    }

    /// A blob from another validator: those first that have not kept us waiting.
    fn fetch(&self, hash: Hash) -> Option<Vec<u8>> {
        let delays = || self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        let known = delays().clone();
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by_key(|peer| known[*peer]);
        order.into_iter().find_map(|peer| {
            let asked = Instant::now();
            let found = self.peers.only(peer).blob(hash).ok();
            if found.is_none() && asked.elapsed() >= self.patience / 2 {
                delays()[peer] += 1;
            }
            found
        })
    }

    /// A blob from here, or from another validator, which then is here as well.
    pub(super) fn blob(&self, hash: Hash) -> Option<Vec<u8>> {
        if let Some(bytes) = self.blobs.get(&hash) {
            return Some(bytes);
        }
        let bytes = self.fetch(hash)?;
        if let Err(refusal) = self.blobs.put(&bytes, Some(hash), None) {
            tracing::warn!(%hash, %refusal, "a blob of another validator is not kept");
        }
        Some(bytes)
    }

    /// What is to be had of a deal; of a private one, what its letters to an account open now.
    pub(super) fn shelf(&self, private: Option<(&SecretKey, DealId)>) -> Shelf<'_> {
        let keyring = private.map(|(reader, deal)| {
            let to = reader.address();
            let here = self.letters.of(deal, &to);
            let there = self.peers.letters(deal, to).unwrap_or_default();
            let all: BTreeSet<Hash> = here.into_iter().chain(there).collect();
            let read = all.into_iter().filter_map(|hash| {
                let letter = gongsuan_types::codec::decode(
                    "letter",
                    crate::envelope::LETTER_BYTES_MAX,
                    &self.blob(hash)?,
                );
                letter.ok()
            });
            Keyring::new(reader, &read.collect::<Vec<_>>())
        });
        Shelf { library: self, keyring }
    }
}

impl Shelf<'_> {
    /// A blob by the hash of its plaintext. What was opened is not kept.
    pub(super) fn blob(&self, plain: Hash) -> Option<Vec<u8>> {
        match &self.keyring {
            None => self.library.blob(plain),
            Some(keyring) => keyring.open(plain, |sealed| self.library.blob(sealed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A peer that does this with every connection, and how many it has had.
    fn peer(act: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, count) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        std::thread::spawn(move || {
            // What was accepted stays open.
            let mut open = Vec::new();
            for mut stream in socket.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                act(&mut stream);
                open.push(stream);
            }
        });
        (address, count)
    }

    #[test]
    fn a_validator_that_never_answers_costs_its_time_once() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
        let letters = Letters::open(dir.path().join("letters"), blobs.clone()).unwrap();
        let texts = ["one", "two"];
        let (silent, asked) = peer(|_| {});
        let (honest, _) = peer(move |stream| {
            let mut request = [0; 4_096];
            let len = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            let named =
                |text: &&&str| request.contains(&Hash::of_content(text.as_bytes()).to_string());
            let text = texts.iter().find(named).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", text.len());
            write!(stream, "{head}Connection: close\r\n\r\n{text}").unwrap();
        });
        let peers = Client::new([silent, honest].map(|peer| format!("http://{peer}")));
        let patience = Duration::from_secs(3);
        let library = Library::with_patience(blobs, Arc::new(letters), peers, patience);
        for text in texts {
            let found = library.blob(Hash::of_content(text.as_bytes()));
            assert_eq!(found.unwrap(), text.as_bytes());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "the second time the other one is asked first");
    }
}

//! Getting the state in pieces from several peers: rule 17.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height};

use super::tree::Check;
use super::{Core, Tip, planted};
use crate::epoch::Epoch;
use crate::input::Millis;
use crate::message::Message;
use crate::output::{Output, Outputs, To};
use crate::snapshot::{Chunk, FetchChunk, SnapshotOffer};
use crate::validators::Seat;

/// Pieces asked for at the same time.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Rounds through all sources for one piece before the snapshot is given up: its sources have newer ones.
const ROUNDS_MAX: usize = 4;

/// What two offers must have in common to be of the same snapshot.
type Key = (Height, Hash, u32, Hash);

fn key(offer: &SnapshotOffer) -> Key {
    (offer.height, offer.root, offer.chunks, offer.app)
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    due: Millis,
    attempts: usize,
}

#[derive(Debug)]
struct Download {
    offer: SnapshotOffer,
    sources: Vec<Seat>,
    next: u32,
    in_flight: BTreeMap<u32, Piece>,
    installing: bool,
}

/// Offers, and the download that f + 1 equal ones have started.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    offers: BTreeMap<Seat, SnapshotOffer>,
    download: Option<Download>,
}

impl Snapshots {
    pub(super) fn is_busy(&self) -> bool {
        self.download.is_some()
    }

    pub(super) fn is_installing(&self) -> bool {
        self.download.as_ref().is_some_and(|download| download.installing)
    }

    /// When the next piece is to be asked for again.
    pub(super) fn due(&self) -> Option<Millis> {
        let pieces = self.download.iter().flat_map(|download| download.in_flight.values());
        pieces.map(|piece| piece.due).min()
    }
}

impl Core {
    /// Rule 17: upon f + 1 equal offers of a snapshot above my log, fetch its pieces.
    pub(super) fn on_offer(&mut self, from: Seat, offer: SnapshotOffer) {
        if offer.height <= self.tip.height {
            return;
        }
        if let Some(download) = &mut self.snapshots.download {
            if key(&download.offer) == key(&offer) && !download.sources.contains(&from) {
                download.sources.push(from);
            }
            return;
        }
        let wanted = key(&offer);
        self.snapshots.offers.insert(from, offer.clone());
        let agree = self.snapshots.offers.iter().filter(|(_, other)| key(other) == wanted);
        let sources: Vec<Seat> = agree.map(|(seat, _)| *seat).collect();
        if sources.len() >= self.set().honest() || planted!(self, BelieveFirstOffer) {
            self.snapshots.offers.clear();
            let in_flight = BTreeMap::new();
            self.snapshots.download =
                Some(Download { offer, sources, next: 0, in_flight, installing: false });
        }
    }

    /// Asks for pieces, each from another source, and again if it does not come.
    pub(super) fn fetch_chunks(&mut self, out: &mut Outputs) {
        let (now, pause, tip) = (self.now, 2 * self.retry(), self.tip.height);
        let Some(download) = &mut self.snapshots.download else { return };
        if download.installing {
            return;
        }
        let patience = ROUNDS_MAX * download.sources.len();
        let hopeless = download.in_flight.values().any(|piece| piece.attempts > patience);
        if download.offer.height <= tip || hopeless {
            self.snapshots.download = None;
            return;
        }
        while download.in_flight.len() < CHUNKS_IN_FLIGHT && download.next < download.offer.chunks {
            download.in_flight.insert(download.next, Piece { due: now, attempts: 0 });
            download.next += 1;
        }
        let root = download.offer.root;
        let mut asks = Vec::new();
        for (index, piece) in &mut download.in_flight {
            if piece.due <= now {
                let turn = usize::try_from(*index).unwrap_or(0) + piece.attempts;
                let source = download.sources[turn % download.sources.len()];
                *piece = Piece {
                    due: Millis(now.0.saturating_add(pause)),
                    attempts: piece.attempts + 1,
                };
                asks.push((source, FetchChunk { root, index: *index }));
            }
        }
        for (source, fetch) in asks {
            self.send(To::One(source), Message::FetchChunk(fetch), None, out);
        }
    }

    pub(super) fn wants_chunk(&self, chunk: &Chunk) -> bool {
        let Some(download) = &self.snapshots.download else { return false };
        let index = u32::try_from(chunk.proof.index).ok();
        chunk.root == download.offer.root
            && chunk.proof.count == u64::from(download.offer.chunks)
            && index.is_some_and(|index| download.in_flight.contains_key(&index))
    }

    pub(super) fn on_chunk(&mut self, chunk: Chunk, out: &mut Outputs) {
        if !self.wants_chunk(&chunk) {
            return;
        }
        let Some(download) = &mut self.snapshots.download else { return };
        let index = u32::try_from(chunk.proof.index).unwrap_or(u32::MAX);
        download.in_flight.remove(&index);
        out.push(Output::StoreChunk(Box::new(chunk)));
        if download.in_flight.is_empty() && download.next == download.offer.chunks {
            download.installing = true;
            let offer = Box::new(download.offer.clone());
            out.push(Output::InstallSnapshot(offer));
        }
    }

    /// The driver's word that the state was replaced, or that it could not be. What this validator has signed is not
    /// touched by it: term, timeouts, lease and lock stay.
    pub(super) fn on_installed(&mut self, height: Height, ok: bool, out: &mut Outputs) {
        let Some(download) = self.snapshots.download.take() else { return };
        let Download { offer, installing: true, .. } = download else { return };
        if !ok || offer.height != height {
            return;
        }
        let chain_id = self.config.chain_id;
        let newer = |epoch: &Epoch| epoch.number() > self.epoch.number();
        let last = offer.path.iter().rev().find_map(|last| Epoch::after(&chain_id, &last.block));
        if let Some(epoch) = last.filter(newer) {
            self.adopt_epoch(epoch, out);
        }
        if planted!(self, InstallForgetsVotes) {
            self.timed_out = gongsuan_types::Term(0);
            self.lease = None;
            self.reign.voted = None;
            self.reign.floor = None;
            self.lock = self.epoch.certificate();
            self.high = self.lock.clone();
        }
        let first = &offer.proof.proposals[0].block;
        let hash = first.hash(&chain_id);
        assert!(first.header.height > self.tip.height, "a snapshot never takes anything back");
        self.tip = Tip {
            height,
            hash,
            time: first.header.time,
            certificate: offer.proof.certificate.clone(),
            next: Epoch::after(&chain_id, first).map(Box::new),
        };
        self.applied = height;
        self.bodies.retain(|_, body| body.block.header.height > height);
        self.unlogged.clear();
        self.after_commit();
        for proposal in offer.proof.proposals.into_iter().skip(1) {
            let hash = proposal.block.hash(&chain_id);
            self.keep(hash, proposal, Check::Good, out);
        }
        self.learn(offer.proof.certificate, out);
        if self.tip.next.is_some() {
            self.enter_epoch(out);
        }
    }
}

//! What is indexed: keys, places, and what a block says about whom.

use gongsuan_market::{Event as MarketEvent, Settlement};
use gongsuan_types::{Address, DealId, Hash, Height, OrderId, codec};
use serde::{Deserialize, Serialize};

use crate::chain::StoredBlock;
use crate::header::{BODY_TXS_MAX, Body, Event, TxReceipt};
use crate::transition::Applied;
use crate::tx::{Op, SignedTransaction};

/// Where a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The block.
    pub height: Height,
    /// Its position in the block, from 0. The number of transactions stands for what the block did by itself, as in
    /// [`crate::header::receipt_proof`].
    pub index: u32,
}

/// Whose history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// An account: what it sent, was named in, or was paid by.
    Account(Address),
    /// An order.
    Order(OrderId),
    /// A deal.
    Deal(DealId),
}

/// A location in one number, in the order of locations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place(pub(super) u64);

/// Bits of the index in a block.
const INDEX_BITS: u32 = 14;
const _: () = assert!(BODY_TXS_MAX < 1 << INDEX_BITS);

impl Place {
    pub(super) const MAX: Self = Self(u64::MAX);

    pub(super) fn of(location: Location) -> Self {
        let index = u64::from(location.index).min((1 << INDEX_BITS) - 1);
        Self(location.height.0.min(u64::MAX >> INDEX_BITS) << INDEX_BITS | index)
    }

    pub(super) fn location(self) -> Location {
        let index = u32::try_from(self.0 & ((1 << INDEX_BITS) - 1)).expect("fourteen bits");
        Location { height: Height(self.0 >> INDEX_BITS), index }
    }
}

/// The first 16 bytes of an id or an address, or a tag and a number. Two ids with the same key cost 2⁶⁴ hashes to make, and are told apart by the
/// whole id; two accounts with the same key cost as many keys, and would share their own history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Key {
    fn of_bytes(bytes: &[u8; 32]) -> Self {
        let word =
            |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self(word(0), word(8))
    }

    pub(super) fn of_tx(id: &Hash) -> Self {
        Self::of_bytes(&id.0)
    }
}

impl From<Subject> for Key {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Account(address) => Self::of_bytes(&address.0),
            Subject::Order(order) => Self(u64::from_be_bytes(*b"order\0\0\0"), order.0),
            Subject::Deal(deal) => Self(u64::from_be_bytes(*b"deal\0\0\0\0"), deal.0),
        }
    }
}

/// One thing at one place. In the order of keys, then of places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) place: Place,
}

/// Bytes of an entry in a file.
pub(super) const ENTRY_BYTES: usize = 24;

impl Entry {
    pub(super) fn encode(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.key.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.key.1.to_be_bytes());
        bytes[16..].copy_from_slice(&self.place.0.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        Self { key: Key(word(0), word(8)), place: Place(word(16)) }
    }
}

/// What one block adds to the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockEntries {
    pub(super) height: Height,
    /// The transactions' ids, in order.
    pub(super) ids: Vec<Hash>,
    /// Sorted, each once.
    pub(super) entries: Vec<Entry>,
}

impl BlockEntries {
    /// What a block of the log adds.
    #[must_use]
    pub fn of(stored: &StoredBlock) -> Self {
        Self::new(stored.header.height, &stored.body, &stored.receipts, &stored.events)
    }

    /// What a block that was just applied adds.
    #[must_use]
    pub fn of_applied(body: &[u8], applied: &Applied) -> Self {
        Self::new(applied.header.height, body, &applied.receipts, &applied.events)
    }

    fn new(height: Height, body: &[u8], receipts: &[TxReceipt], events: &[Event]) -> Self {
        let mut found = Found { height, entries: Vec::with_capacity(3 * receipts.len()) };
        // It was decoded strictly when it was applied; one that is no body counts as empty, and has no receipts either.
        let body: Body = codec::decode_own("body", body).unwrap_or_default();
        for ((index, tx), receipt) in (0..).zip(&body.txs).zip(receipts) {
            found.put(index, Key::of_tx(&receipt.id));
            found.put_named(index, tx);
            found.put_events(index, &receipt.events);
        }
        let index = u32::try_from(receipts.len()).expect("bounded by the body");
        found.put_events(index, events);
        let mut entries = found.entries;
        entries.sort_unstable();
        entries.dedup();
        Self { height, ids: receipts.iter().map(|receipt| receipt.id).collect(), entries }
    }

    pub(super) fn items(&self) -> u64 {
        (self.ids.len() + self.entries.len()) as u64
    }

    /// Where in the block a transaction is.
    #[must_use]
    pub fn find(&self, id: &Hash) -> Option<Location> {
        let index = self.ids.iter().position(|other| other == id)?;
        Some(Location { height: self.height, index: u32::try_from(index).ok()? })
    }

    /// What happened to a subject in the block, oldest first.
    pub fn history(
        &self,
        subject: Subject,
    ) -> impl DoubleEndedIterator<Item = (Location, Option<Hash>)> + '_ {
        let key = Key::from(subject);
        let from = self.entries.partition_point(|entry| entry.key < key);
        let own = self.entries[from..].partition_point(|entry| entry.key == key);
        self.entries[from..from + own].iter().map(|entry| {
            let location = entry.place.location();
            (location, self.ids.get(location.index as usize).copied())
        })
    }
}

struct Found {
    height: Height,
    entries: Vec<Entry>,
}

impl Found {
    fn put(&mut self, index: u32, key: Key) {
        let place = Place::of(Location { height: self.height, index });
        self.entries.push(Entry { key, place });
    }

    fn put_subjects(&mut self, index: u32, subjects: impl IntoIterator<Item = Subject>) {
        for subject in subjects {
            self.put(index, Key::from(subject));
        }
    }

    /// The accounts that a transaction names itself, whether or not it succeeded.
    fn put_named(&mut self, index: u32, tx: &SignedTransaction) {
        self.put(index, Key::from(Subject::Account(tx.body.sender)));
        for op in &tx.body.ops {
            match op {
                Op::Transfer { to, .. } => self.put(index, Key::from(Subject::Account(*to))),
                Op::Grant { subject, .. }
                | Op::Attest { subject, .. }
                | Op::Revoke { subject, .. }
                | Op::Freeze { subject, .. }
                | Op::Free { subject } => {
                    self.put(index, Key::from(Subject::Account(*subject)));
                }
                Op::Market(_) | Op::Judge(_) | Op::ShowOwner { .. } | Op::PublishKey { .. } => {}
            }
        }
    }

    fn put_events(&mut self, index: u32, events: &[Event]) {
        for event in events {
            match event {
                // The transaction names them.
                Event::Transferred { .. }
                | Event::Granted { .. }
                | Event::Revoked { .. }
                | Event::Owned { .. }
                | Event::Supervised { .. }
                | Event::KeyPublished { .. } => {}
                Event::Market(event) => self.put_market(index, event),
                Event::Money(Settlement::Post { to, .. } | Settlement::Slash { to, .. }) => {
                    self.put(index, Key::from(Subject::Account(*to)));
                }
                Event::Money(
                    Settlement::Hold { .. } | Settlement::Move { .. } | Settlement::Void { .. },
                ) => {}
            }
        }
    }

    fn put_market(&mut self, index: u32, event: &MarketEvent) {
        use Subject::{Account, Deal, Order};
        match event {
            MarketEvent::Placed { order, owner, .. } => {
                self.put_subjects(index, [Order(*order), Account(*owner)]);
            }
            MarketEvent::Amended { order, .. }
            | MarketEvent::Cancelled { order, .. }
            | MarketEvent::Expired { order, .. }
            | MarketEvent::Searched { order, .. }
            | MarketEvent::Deferred { order } => self.put_subjects(index, [Order(*order)]),
            MarketEvent::Filled { deal, ask, bid, provider, renter, .. } => {
                let parties = [Account(*provider), Account(*renter)];
                self.put_subjects(index, [Deal(*deal), Order(*ask), Order(*bid)]);
                self.put_subjects(index, parties);
            }
            MarketEvent::Acknowledged { deal }
            | MarketEvent::Progress { deal, .. }
            | MarketEvent::Committed { deal, .. }
            | MarketEvent::Revealed { deal }
            | MarketEvent::Drawn { deal, .. }
            | MarketEvent::Settled { deal, .. }
            | MarketEvent::Failed { deal, .. }
            | MarketEvent::Moved { deal, .. }
            | MarketEvent::Accepted { deal, .. }
            | MarketEvent::BegunPaid { deal, .. }
            | MarketEvent::Completed { deal, .. }
            | MarketEvent::Served { deal, .. } => self.put_subjects(index, [Deal(*deal)]),
            MarketEvent::Dropped { deal, provider, .. } => {
                self.put_subjects(index, [Deal(*deal), Account(*provider)]);
            }
            MarketEvent::Rematched { deal, ask, provider, .. } => {
                self.put_subjects(index, [Deal(*deal), Order(*ask), Account(*provider)]);
            }
            MarketEvent::CaseOpened { case, by, .. } => {
                self.put_subjects(index, [Deal(case.deal), Account(*by)]);
            }
            MarketEvent::Rated { deal, by, of, .. } => {
                self.put_subjects(index, [Deal(*deal), Account(*by), Account(*of)]);
            }
            MarketEvent::Probed { deal, order, provider, .. } => {
                self.put_subjects(index, [Deal(*deal), Order(*order), Account(*provider)]);
            }
            MarketEvent::CapacityClaimed { provider, .. }
            | MarketEvent::Certified { provider, .. }
            | MarketEvent::Uncertified { provider, .. } => {
                self.put_subjects(index, [Account(*provider)]);
            }
            MarketEvent::Pledged { auditor, .. } => self.put_subjects(index, [Account(*auditor)]),
            MarketEvent::Judged { case, .. } => self.put_subjects(index, [Deal(case.deal)]),
            MarketEvent::Audited { deal, auditor, .. }
            | MarketEvent::Disputed { deal, auditor, .. } => {
                self.put_subjects(index, [Deal(*deal), Account(*auditor)]);
            }
        }
    }
}

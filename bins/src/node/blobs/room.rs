//! Who has how much room among blobs, or among pieces of them, and who has to go when there is none: sums only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use gongsuan_types::{Hash, Refusal};

/// What bounds the blobs of a node.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct Limits {
    /// Bytes of all blobs, at most.
    pub(in crate::node) total: u64,
    /// Bytes that one address may have brought which no deal or order names, at most.
    pub(in crate::node) per_address: u64,
    /// What was brought is kept at least this long: until the order that names it is placed.
    pub(in crate::node) keep: Duration,
}

/// A blob takes whole blocks of a disk, and an empty one an entry of a folder.
const BLOCK_BYTES: u64 = 4 << 10;

/// A blob that is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    weight: u64,
    /// When it was last brought.
    at: SystemTime,
    by: Owner,
}

/// Who brought something: an address, or, of addresses with 128 bits, the network of one subscriber; nobody, where it was not a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::node) struct Owner(Option<IpAddr>);

impl From<Option<IpAddr>> for Owner {
    fn from(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(long) => IpAddr::V6(Ipv6Addr::from(u128::from(long) >> 64 << 64)),
            short @ IpAddr::V4(_) => short,
        }))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::node) struct Room {
    limits: Limits,
    kept: BTreeMap<Hash, Kept>,
    /// Of what is kept and what is being written.
    total: u64,
    by_owner: BTreeMap<Owner, u64>,
}

/// How much room a blob takes.
pub(in crate::node) fn weight(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

impl Room {
    fn new(limits: Limits) -> Self {
        Self { limits, kept: BTreeMap::new(), total: 0, by_owner: BTreeMap::new() }
    }

    /// The sums of a folder of files by content address, which is created if it is not there. What was being written when the node ended is removed.
    pub(in crate::node) fn of_folder(dir: &Path, limits: Limits) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut room = Self::new(limits);
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Some(hash) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                std::fs::remove_file(entry.path())?;
                continue;
            };
            let metadata = entry.metadata()?;
            room.found(hash, metadata.len(), metadata.modified()?);
        }
        Ok(room)
    }

    /// Whether a blob is kept.
    pub(in crate::node) fn has(&self, hash: &Hash) -> bool {
        self.kept.contains_key(hash)
    }

    /// Room that is used, in bytes.
    #[cfg(test)]
    pub(in crate::node) fn total(&self) -> u64 {
        self.total
    }

    fn used(&self, owner: Owner) -> u64 {
        self.by_owner.get(&owner).copied().unwrap_or(0)
    }

    fn take(&mut self, weight: u64, owner: Owner) {
        self.total += weight;
        *self.by_owner.entry(owner).or_default() += weight;
    }

    /// Gives room back that was granted and is not used.
    pub(in crate::node) fn give_back(&mut self, weight: u64, owner: Owner) {
        self.total -= weight;
        if let Some(used) = self.by_owner.get_mut(&owner) {
            *used -= weight;
            if *used == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// Room for a blob that is about to be written. `false`: not without looking at [what may go](Self::make).
    pub(in crate::node) fn grant(&mut self, weight: u64, owner: Owner) -> bool {
        let is_over = owner.0.is_some() && self.used(owner) + weight > self.limits.per_address;
        let fits = !is_over && self.total + weight <= self.limits.total;
        if fits {
            self.take(weight, owner);
        }
        fits
    }

    /// A blob is there, in room that was granted. `false`: it was there already, and the room is to be given back.
    pub(in crate::node) fn settle(
        &mut self,
        hash: Hash,
        weight: u64,
        owner: Owner,
        at: SystemTime,
    ) -> bool {
        let is_new = !self.has(&hash);
        if is_new {
            self.kept.insert(hash, Kept { weight, at, by: owner });
        }
        is_new
    }

    /// A blob was found in the folder.
    fn found(&mut self, hash: Hash, bytes: u64, at: SystemTime) {
        let owner = Owner(None);
        if self.settle(hash, weight(bytes), owner, at) {
            self.take(weight(bytes), owner);
        }
    }

    /// A blob was brought again.
    pub(in crate::node) fn touch(&mut self, hash: &Hash, at: SystemTime) {
        if let Some(kept) = self.kept.get_mut(hash) {
            kept.at = kept.at.max(at);
        }
    }

    /// A blob is gone.
    pub(in crate::node) fn remove(&mut self, hash: &Hash) {
        if let Some(kept) = self.kept.remove(hash) {
            self.give_back(kept.weight, kept.by);
        }
    }

    /// Room for a blob, and what goes for it: the owner's own, if it has brought more than one may; else of whoever has most of what nobody needs,
    /// the oldest first, and a sixteenth more than is needed, so that this is rare. What is pinned stays and counts for nobody, and what was brought
    /// shortly before stays.
    ///
    /// # Errors
    /// A [`Refusal`]: too little may go. Nothing has changed.
    pub(in crate::node) fn make(
        &mut self,
        weight: u64,
        owner: Owner,
        pinned: &BTreeSet<Hash>,
        now: SystemTime,
    ) -> Result<Vec<Hash>, Refusal> {
        let mut loose = Loose::of(self, pinned, now);
        if owner.0.is_some() {
            let limit = self.limits.per_address;
            // Room that is granted and not written yet counts as well.
            let own = self.used(owner) - self.pinned_of(owner, pinned);
            while own - loose.freed + weight > limit {
                if !loose.drop_oldest(owner) {
                    let message = "this address has brought as much as it may that no open deal or order names; order, or try again in some minutes";
                    return Err(busy(limit, own + weight, message));
                }
            }
        }
        let limit = self.limits.total;
        if self.total - loose.freed + weight > limit {
            while self.total - loose.freed + weight + limit / 16 > limit
                && let Some(heaviest) = loose.heaviest()
            {
                loose.drop_oldest(heaviest);
            }
            if self.total - loose.freed + weight > limit {
                let message = "the node has no room for blobs left: open deals and what was brought in the last minutes fill it; try again in some minutes, or another node";
                return Err(busy(limit, self.total + weight, message));
            }
        }
        for hash in &loose.gone {
            self.remove(hash);
        }
        self.take(weight, owner);
        Ok(loose.gone)
    }

    fn pinned_of(&self, owner: Owner, pinned: &BTreeSet<Hash>) -> u64 {
        let own = self.kept.iter().filter(|(_, kept)| kept.by == owner);
        own.filter(|(hash, _)| pinned.contains(*hash)).map(|(_, kept)| kept.weight).sum()
    }
}

fn busy(limit: u64, got: u64, message: &str) -> Refusal {
    Refusal::new("busy", "blobs", format!("{limit} bytes"), got, message)
}

/// What nobody needs, and what of it goes.
struct Loose {
    /// What may go of each owner, the oldest last: when it was brought, which, and its room.
    old: BTreeMap<Owner, Vec<(SystemTime, Hash, u64)>>,
    /// What each owner has of what nobody needs.
    weights: BTreeMap<Owner, u64>,
    /// The same of those of whom something may go, the heaviest last.
    by_weight: BTreeSet<(u64, Owner)>,
    gone: Vec<Hash>,
    freed: u64,
}

impl Loose {
    fn of(room: &Room, pinned: &BTreeSet<Hash>, now: SystemTime) -> Self {
        let mut old: BTreeMap<Owner, Vec<(SystemTime, Hash, u64)>> = BTreeMap::new();
        let mut weights: BTreeMap<Owner, u64> = BTreeMap::new();
        for (hash, kept) in room.kept.iter().filter(|(hash, _)| !pinned.contains(*hash)) {
            *weights.entry(kept.by).or_default() += kept.weight;
            if now.duration_since(kept.at).is_ok_and(|age| age >= room.limits.keep) {
                old.entry(kept.by).or_default().push((kept.at, *hash, kept.weight));
            }
        }
        for own in old.values_mut() {
            own.sort_unstable_by(|a, b| b.cmp(a));
        }
        let by_weight = weights.iter().filter(|(owner, _)| old.contains_key(owner));
        let by_weight = by_weight.map(|(owner, weight)| (*weight, *owner)).collect();
        Self { old, weights, by_weight, gone: Vec::new(), freed: 0 }
    }

    /// Who has most of what nobody needs, of those of whom something may go.
    fn heaviest(&self) -> Option<Owner> {
        self.by_weight.last().map(|(_, owner)| *owner)
    }

    /// Lets the oldest of an owner go, if there is one.
    fn drop_oldest(&mut self, owner: Owner) -> bool {
        let Some(own) = self.old.get_mut(&owner) else { return false };
        let Some((_, hash, weight)) = own.pop() else { return false };
        let left = self.weights.entry(owner).or_default();
        self.by_weight.remove(&(*left, owner));
        *left -= weight;
        if !own.is_empty() {
            self.by_weight.insert((*left, owner));
        }
        self.gone.push(hash);
        self.freed += weight;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        total: 16 * BLOCK_BYTES,
        per_address: 8 * BLOCK_BYTES,
        keep: Duration::from_secs(600),
    };

    fn hash(n: u64) -> Hash {
        Hash::of_content(&n.to_le_bytes())
    }

    fn owner(n: u8) -> Owner {
        Owner::from(Some(IpAddr::from([10, 0, 0, n])))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A blob of one block, brought at some time; what went for it.
    fn bring(
        room: &mut Room,
        n: u64,
        by: Owner,
        seconds: u64,
        pinned: &[u64],
    ) -> Result<Vec<Hash>, String> {
        let pinned = pinned.iter().map(|n| hash(*n)).collect();
        let gone = if room.grant(BLOCK_BYTES, by) {
            Vec::new()
        } else {
            let made = room.make(BLOCK_BYTES, by, &pinned, at(seconds));
            made.map_err(|refusal| refusal.message)?
        };
        let is_new = room.settle(hash(n), BLOCK_BYTES, by, at(seconds));
        let sum: u64 = room.kept.values().map(|kept| kept.weight).sum();
        let sums = [room.total, room.by_owner.values().sum::<u64>()];
        if !is_new || sums != [sum; 2] || sum > LIMITS.total {
            return Err(format!("{is_new}: {sums:?} for {sum}"));
        }
        Ok(gone)
    }

    #[test]
    fn an_address_fills_its_share_and_then_only_its_own_old_ones_go() {
        let mut room = Room::new(LIMITS);
        bring(&mut room, 100, owner(2), 0, &[]).unwrap();
        for n in 0..8 {
            assert_eq!(bring(&mut room, n, owner(1), n, &[]).unwrap(), []);
        }
        let refused = bring(&mut room, 8, owner(1), 100, &[]).unwrap_err();
        assert!(refused.contains("this address"), "{refused}");
        assert_eq!(bring(&mut room, 101, owner(2), 100, &[]).unwrap(), [], "others may");
        // Ten minutes later the oldest that no deal names goes.
        assert_eq!(
            bring(&mut room, 8, owner(1), 601, &[0]).unwrap(),
            [],
            "what is pinned counts for nobody"
        );
        assert_eq!(bring(&mut room, 9, owner(1), 602, &[0]).unwrap(), [hash(1)]);
        assert!(room.has(&hash(0)) && room.has(&hash(100)));
        // The node itself has no share.
        assert_eq!(bring(&mut room, 50, Owner(None), 602, &[]).unwrap(), []);
    }

    #[test]
    fn a_full_node_takes_from_whoever_has_most_and_never_what_is_needed_or_young() {
        let mut room = Room::new(LIMITS);
        for n in 0..3 {
            bring(&mut room, n, owner(1), n, &[]).unwrap();
        }
        for n in 10..18 {
            bring(&mut room, n, owner(2), n, &[]).unwrap();
        }
        for n in 20..25 {
            bring(&mut room, n, owner(3), 500, &[]).unwrap();
        }
        let all: Vec<u64> = (0..40).collect();
        assert!(bring(&mut room, 30, owner(4), 300, &[]).unwrap_err().contains("no room"));
        assert!(bring(&mut room, 30, owner(4), 900, &all).unwrap_err().contains("no room"));
        assert_eq!(room.total(), LIMITS.total, "a refusal changes nothing");
        let gone = bring(&mut room, 30, owner(4), 900, &[10]).unwrap();
        assert_eq!(
            gone,
            [hash(11), hash(12)],
            "of the heaviest, the oldest first, and a sixteenth more"
        );
        room.touch(&hash(13), at(900));
        bring(&mut room, 31, owner(4), 900, &[10]).unwrap();
        assert_eq!(bring(&mut room, 32, owner(4), 900, &[10]).unwrap(), [hash(14), hash(15)]);
    }

    #[test]
    fn long_addresses_count_by_network_and_small_blobs_by_block() {
        let owner = |text: &str| Owner::from(Some(text.parse::<IpAddr>().unwrap()));
        assert_eq!(owner("2001:db8:1:2::1"), owner("2001:db8:1:2:ffff::9"));
        assert_ne!(owner("2001:db8:1:2::1"), owner("2001:db8:1:3::1"));
        assert_eq!(owner("::ffff:10.0.0.1"), owner("10.0.0.1"));
        assert_eq!([0, 1, 4_096, 4_097].map(weight), [4_096, 4_096, 4_096, 8_192]);
    }
}

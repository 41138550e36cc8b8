//! Who is who on the links: validators by their seats in the epoch, followers by places above all seats.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gongsuan_consensus::validators::VALIDATORS_MAX;
use gongsuan_consensus::{Seat, ValidatorSet};
use gongsuan_types::PublicKey;

/// Followers that may be connected at a time.
pub const FOLLOWERS_MAX: usize = 16;

/// A node without a seat, as long as a link of its is up.
#[derive(Debug)]
struct Follower {
    place: usize,
    links: usize,
}

#[derive(Debug)]
struct Known {
    set: ValidatorSet,
    followers: BTreeMap<PublicKey, Follower>,
}

/// See the module's documentation. Shared by the replica thread and those of the links.
#[derive(Debug)]
pub struct Roster {
    known: RwLock<Known>,
}

/// The seat that stands for a follower: above those of every set.
fn seat_at(place: usize) -> Seat {
    Seat(u16::try_from(VALIDATORS_MAX + place).unwrap_or(u16::MAX))
}

impl Roster {
    pub(super) fn new(set: ValidatorSet) -> Self {
        Self { known: RwLock::new(Known { set, followers: BTreeMap::new() }) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who votes from now on.
    pub(super) fn enter(&self, set: ValidatorSet) {
        self.write().set = set;
    }

    /// The seat under which consensus hears a node; none, if it has neither a seat nor a place.
    #[must_use]
    pub fn seat(&self, key: &PublicKey) -> Option<Seat> {
        let known = self.read();
        let place = || known.followers.get(key).map(|follower| seat_at(follower.place));
        known.set.seat_of(key).or_else(place)
    }

    /// Who is heard under a seat.
    #[must_use]
    pub fn key(&self, seat: Seat) -> Option<PublicKey> {
        let known = self.read();
        let at = |(_, follower): &(&PublicKey, &Follower)| seat_at(follower.place) == seat;
        let follower = || known.followers.iter().find(at).map(|(key, _)| *key);
        known.set.key(seat).copied().or_else(follower)
    }

    /// Gives a node that opened a link a place, also if it has a seat: it may lose that. `false`: there is none left.
    pub(super) fn admit(&self, key: PublicKey) -> bool {
        let mut known = self.write();
        if let Some(follower) = known.followers.get_mut(&key) {
            follower.links += 1;
            return true;
        }
        let taken = |place: usize| known.followers.values().any(|other| other.place == place);
        // Whoever has a seat is never turned away.
        let without = known.followers.keys().filter(|key| known.set.seat_of(key).is_none()).count();
        if without >= FOLLOWERS_MAX && known.set.seat_of(&key).is_none() {
            return false;
        }
        let Some(place) = (0..FOLLOWERS_MAX + VALIDATORS_MAX).find(|place| !taken(*place)) else {
            return false;
        };
        known.followers.insert(key, Follower { place, links: 1 });
        true
    }

    /// A link has ended. Whether it was the node's last one.
    pub(super) fn leave(&self, key: &PublicKey) -> bool {
        let mut known = self.write();
        let Some(follower) = known.followers.get_mut(key) else { return false };
        follower.links -= 1;
        let is_last = follower.links == 0;
        if is_last {
            known.followers.remove(key);
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::SecretKey;

    use super::*;

    fn key(n: u8) -> PublicKey {
        SecretKey::from_seed(&[n]).public_key()
    }

    #[test]
    fn followers_get_places_above_all_seats_and_validators_are_never_turned_away() {
        let roster = Roster::new(ValidatorSet::new(0, (0..4).map(key).collect()).unwrap());
        assert_eq!((roster.seat(&key(2)), roster.key(Seat(2))), (Some(Seat(2)), Some(key(2))));
        assert_eq!(roster.seat(&key(9)), None);
        let last = 10 + u8::try_from(FOLLOWERS_MAX).unwrap();
        assert!((10..last).all(|n| roster.admit(key(n))));
        assert!(!roster.admit(key(last)), "there is no place left");
        assert!(roster.admit(key(3)), "a validator");
        assert_eq!(roster.seat(&key(3)), Some(Seat(3)));
        let place = roster.seat(&key(11)).unwrap();
        assert!(usize::from(place.0) >= VALIDATORS_MAX);
        assert_eq!(roster.key(place), Some(key(11)));
        // Two links of one node are one follower.
        assert!(roster.admit(key(11)));
        assert!(!roster.leave(&key(11)));
        assert_eq!(roster.seat(&key(11)), Some(place));
        assert!(roster.leave(&key(11)));
        assert_eq!(roster.seat(&key(11)), None);
        assert!(roster.admit(key(last)));
        // One that gets a seat is heard under it, and under its place again afterwards.
        roster.enter(ValidatorSet::new(1, vec![key(12), key(1)]).unwrap());
        assert_eq!(roster.seat(&key(12)), Some(Seat(0)));
        roster.enter(ValidatorSet::new(2, vec![key(1)]).unwrap());
        assert!(usize::from(roster.seat(&key(12)).unwrap().0) >= VALIDATORS_MAX);
    }
}

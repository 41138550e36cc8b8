//! Public keys that have been lifted to points before.

use super::affine::Affine;
use crate::PublicKey;

/// A bounded, direct-mapped table: a key has one place, and the last one there stays. Whoever grinds keys that push others out
/// makes those cost a square root again, which is what they cost without a table; no verdict depends on it.
#[derive(Debug)]
pub(super) struct KeyCache {
    places: Vec<Option<(PublicKey, Affine)>>,
    count_max: usize,
}

impl KeyCache {
    pub(super) fn new(count_max: usize) -> Self {
        Self { places: Vec::new(), count_max }
    }

    fn place(&self, key: &PublicKey) -> Option<usize> {
        let [a, b, c, d, .., w, x, y, z] = key.0;
        let mixed = u64::from_le_bytes([a, b, c, d, w, x, y, z]);
        let at = mixed.checked_rem(self.count_max as u64)?;
        usize::try_from(at).ok()
    }

    pub(super) fn get(&self, key: &PublicKey) -> Option<Affine> {
        let place = self.place(key)?;
        self.places.get(place)?.as_ref().filter(|(at, _)| at == key).map(|(_, point)| *point)
    }

    pub(super) fn put(&mut self, key: PublicKey, point: Affine) {
        let Some(place) = self.place(&key) else { return };
        if self.places.is_empty() {
            self.places.resize(self.count_max, None);
        }
        self.places[place] = Some((key, point));
    }

    pub(super) fn count(&self) -> usize {
        self.places.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn the_table_keeps_to_its_bound_and_answers_for_the_key_asked_only() {
        let keys: Vec<_> = (0..50u8).map(|n| SecretKey::from_seed(&[n]).public_key()).collect();
        let mut cache = KeyCache::new(8);
        for key in &keys {
            let point = Affine::lift(&key.0).unwrap();
            cache.put(*key, point);
            assert!(cache.count() <= 8);
            assert_eq!(cache.get(key).unwrap().y.to_bytes(), point.y.to_bytes());
        }
        let known = keys.iter().filter(|key| cache.get(key).is_some()).count();
        assert_eq!(known, cache.count());
        let mut none = KeyCache::new(0);
        none.put(keys[0], Affine::lift(&keys[0].0).unwrap());
        assert!(none.get(&keys[0]).is_none());
    }
}

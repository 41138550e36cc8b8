//! The order in which asks are taken, as one number.

use gongsuan_types::Price;

/// Price, then reputation (higher first), then age: 64, 10 and 54 bits.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::Price;
/// assert!(AskKey::new(Price(5), 900, 7) < AskKey::new(Price(5), 800, 1), "reputation before age");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskKey(pub(crate) u128);

pub(crate) const AGE_BITS: u32 = 54;

impl AskKey {
    /// Before every ask.
    pub const FIRST: Self = Self(0);

    /// The key of an ask; `reputation` is 0 to 1,000, a smaller `sequence` is older.
    ///
    /// # Panics
    /// If the sequence does not fit 54 bits: a million orders a second for five hundred years do.
    #[must_use]
    pub fn new(price: Price, reputation: u16, sequence: u64) -> Self {
        assert!(sequence >> AGE_BITS == 0, "sequence numbers fit 54 bits");
        let rank = u128::from(1_000 - reputation.min(1_000));
        Self(u128::from(price.0) << 64 | rank << AGE_BITS | u128::from(sequence))
    }

    /// After every ask at this price.
    #[must_use]
    pub fn last_at(price: Price) -> Self {
        Self(u128::from(price.0) << 64 | u128::from(u64::MAX))
    }

    /// The key right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The price.
    #[must_use]
    pub fn price(self) -> Price {
        Price(u64::try_from(self.0 >> 64).unwrap_or(u64::MAX))
    }

    /// The reputation.
    #[must_use]
    pub fn reputation(self) -> u16 {
        let rank = (self.0 >> AGE_BITS) & 1_023;
        1_000u16.saturating_sub(u16::try_from(rank).unwrap_or(u16::MAX))
    }

    /// The key as two numbers.
    pub(crate) fn halves(self) -> (u64, u64) {
        let low = self.0 & u128::from(u64::MAX);
        (self.price().0, u64::try_from(low).unwrap_or(u64::MAX))
    }

    pub(crate) fn from_halves((high, low): (u64, u64)) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

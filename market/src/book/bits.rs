//! A set of small numbers with a summary word: the first, the last and the neighbour of a number in a few instructions.

/// Up to `64 × WORDS` numbers; `WORDS` is at most 64.
#[derive(Clone, Debug)]
pub(super) struct Bits<const WORDS: usize> {
    summary: u64,
    words: [u64; WORDS],
}

fn low(word: u64) -> u32 {
    word.trailing_zeros()
}

fn high(word: u64) -> u32 {
    63 - word.leading_zeros()
}

/// The bits above a position.
fn above(bit: u32) -> u64 {
    (!0u64 << bit) << 1
}

/// The bits below a position.
fn below(bit: u32) -> u64 {
    (1u64 << bit) - 1
}

impl<const WORDS: usize> Bits<WORDS> {
    pub(super) const EMPTY: Self = Self { summary: 0, words: [0; WORDS] };

    #[inline]
    fn word(&self, index: u32) -> u64 {
        self.words[index as usize % WORDS]
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.summary == 0
    }

    #[inline]
    pub(super) fn set(&mut self, number: u32) {
        self.words[(number >> 6) as usize % WORDS] |= 1 << (number & 63);
        self.summary |= 1 << (number >> 6);
    }

    #[inline]
    pub(super) fn clear(&mut self, number: u32) {
        let word = &mut self.words[(number >> 6) as usize % WORDS];
        *word &= !(1 << (number & 63));
        if *word == 0 {
            self.summary &= !(1 << (number >> 6));
        }
    }

    #[inline]
    pub(super) fn contains(&self, number: u32) -> bool {
        self.word(number >> 6) & (1 << (number & 63)) != 0
    }

    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        if self.summary == 0 {
            return None;
        }
        let index = low(self.summary);
        Some(index << 6 | low(self.word(index)))
    }

    #[inline]
    pub(super) fn last(&self) -> Option<u32> {
        if self.summary == 0 {
            return None;
        }
        let index = high(self.summary);
        Some(index << 6 | high(self.word(index)))
    }

    /// The smallest number above `number`.
    #[inline]
    pub(super) fn after(&self, number: u32) -> Option<u32> {
        let (index, bit) = (number >> 6, number & 63);
        let here = self.word(index) & above(bit);
        if here != 0 {
            return Some(index << 6 | low(here));
        }
        let rest = self.summary & above(index);
        (rest != 0).then(|| low(rest) << 6 | low(self.word(low(rest))))
    }

    /// The largest number below `number`.
    #[inline]
    pub(super) fn before(&self, number: u32) -> Option<u32> {
        let (index, bit) = (number >> 6, number & 63);
        let here = self.word(index) & below(bit);
        if here != 0 {
            return Some(index << 6 | high(here));
        }
        let rest = self.summary & below(index);
        (rest != 0).then(|| high(rest) << 6 | high(self.word(high(rest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_sorted_set() {
        let numbers = [0u32, 1, 63, 64, 127, 128, 1000, 4031, 4032, 4095];
        let mut bits = Bits::<64>::EMPTY;
        numbers.iter().for_each(|n| bits.set(*n));
        for probe in 0..4096 {
            let after = numbers.iter().copied().find(|n| *n > probe);
            let before = numbers.iter().copied().rev().find(|n| *n < probe);
            assert_eq!((bits.after(probe), bits.before(probe)), (after, before), "{probe}");
            assert_eq!(bits.contains(probe), numbers.contains(&probe));
        }
        assert_eq!((bits.first(), bits.last()), (Some(0), Some(4095)));
        numbers.iter().for_each(|n| bits.clear(*n));
        assert!(bits.is_empty() && bits.first().is_none() && bits.last().is_none());
    }
}

//! Seeded damage: what happens to bytes on the way, and what somebody does who knows where the lengths are.

use crate::arbitrary::Stream;

/// Numbers at which readers go wrong.
const EXTREMES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Makes inputs of others.
#[derive(Debug, Clone)]
pub struct Mutator {
    dice: Stream,
}

impl Mutator {
    /// A mutator that depends on nothing but the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { dice: Stream::new(seed) }
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.dice.below(bound)).unwrap_or(0)
    }

    /// One of `pool`, changed in one to four places; `pool` is not empty.
    pub fn mutant(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(pool.len());
        let mut bytes = pool[at].clone();
        for _ in 0..1 + self.below(4) {
            self.change(&mut bytes, pool);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        match self.below(10) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 if !bytes.is_empty() => bytes[at] = self.byte(),
            3 => bytes.truncate(at),
            4 => {
                let count = 1 + self.below(12);
                let more: Vec<u8> = (0..count).map(|_| self.byte()).collect();
                drop(bytes.splice(at..at, more));
            }
            5 => {
                let end = (at + 1 + self.below(40)).min(bytes.len());
                drop(bytes.drain(at.min(end)..end));
            }
            6 => {
                // The beginning of this one and the end of another.
                let other = self.below(pool.len());
                let from = self.below(pool[other].len());
                bytes.truncate(at);
                bytes.extend_from_slice(&pool[other][from..]);
            }
            7 => {
                // A piece twice.
                let end = (at + 1 + self.below(64)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            8 => self.write_length(bytes, at),
            _ => self.lengthen_varint(bytes, at),
        }
    }

    fn byte(&mut self) -> u8 {
        self.dice.next_u64().to_le_bytes()[0]
    }

    /// An extreme number of 1, 2, 4 or 8 bytes or as a varint, over whatever stands there.
    fn write_length(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let pick = self.below(EXTREMES.len());
        let mut number = EXTREMES[pick].wrapping_add(self.dice.below(3)).to_le_bytes().to_vec();
        match self.below(6) {
            0 => number.truncate(1),
            1 => number.truncate(2),
            2 => number.truncate(4),
            3 => number.reverse(),
            4 => number = varint(EXTREMES[pick]),
            _ => {}
        }
        let end = (at + number.len()).min(bytes.len());
        drop(bytes.splice(at.min(end)..end, number));
    }

    /// The same number in one byte more than it needs: a second encoding of the same value.
    fn lengthen_varint(&mut self, bytes: &mut Vec<u8>, at: usize) {
        if bytes.get(at).is_some_and(|byte| *byte < 0x80) {
            bytes[at] |= 0x80;
            bytes.insert(at + 1, 0);
        }
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

//! When a leader proposes: at once when it is quiet, seldom when there is little to order, and by the amount when there
//! is much.

use std::time::{Duration, Instant};

/// The pace of a leader's blocks. Every block costs each replica the same few signatures, however little is in it; so a
/// block waits for company, but not for long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A block that follows the last one sooner than this must be worth it.
    pub gap: Duration,
    /// Bytes that are worth a block of their own at any time.
    pub bytes: usize,
    /// Bytes of a full block.
    pub bytes_max: usize,
    last: Option<Instant>,
}

impl Pace {
    /// A pace that has not begun.
    #[must_use]
    pub fn new(gap: Duration, bytes: usize, bytes_max: usize) -> Self {
        Self { gap, bytes, bytes_max, last: None }
    }

    /// When `waiting` bytes, behind `in_flight` blocks that are not final, should be proposed: a time that may have come.
    /// The more blocks are in flight, the more bytes it takes: a busy pipeline carries large blocks.
    #[must_use]
    pub fn due(&self, waiting: usize, in_flight: u64, now: Instant) -> Instant {
        let doublings = u32::try_from(in_flight.min(8)).unwrap_or(8);
        let worth = self.bytes.saturating_mul(1 << doublings).min(self.bytes_max);
        match self.last {
            Some(last) if waiting < worth => last + self.gap,
            Some(_) | None => now,
        }
    }

    /// A block was proposed.
    pub fn proposed(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_due_at_once_when_quiet_or_worth_it_and_after_the_gap_otherwise() {
        let (gap, now) = (Duration::from_millis(8), Instant::now());
        let mut pace = Pace::new(gap, 1_000, 100_000);
        assert_eq!(pace.due(1, 0, now), now);
        pace.proposed(now);
        assert_eq!(pace.due(999, 0, now), now + gap);
        assert_eq!(pace.due(1_000, 0, now), now);
        assert_eq!(pace.due(1_000, 1, now), now + gap);
        assert_eq!(pace.due(2_000, 1, now), now);
        assert_eq!(pace.due(99_999, 8, now), now + gap);
        assert_eq!(pace.due(100_000, 50, now), now);
    }
}

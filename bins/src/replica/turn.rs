//! How much of its time the replica thread gives at once to what is not consensus.

use std::time::{Duration, Instant};

/// How long the front door and what peers tell may keep the thread from consensus. The last event may take longer.
const FRONT_TIME: Duration = Duration::from_millis(5);

/// As many of these as are handled in [`FRONT_TIME`], and no more than `count_max`: each is taken when the one before has been handled.
pub(super) fn share<T>(
    events: impl Iterator<Item = T>,
    count_max: usize,
    now: impl Fn() -> Instant,
) -> impl Iterator<Item = T> {
    let until = now() + FRONT_TIME;
    let mut events = events.take(count_max);
    std::iter::from_fn(move || if now() < until { events.next() } else { None })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const BATCH: usize = 64;

    /// How many of these events are handled in a turn, if each takes so long.
    fn handled(waiting: usize, each: Duration) -> usize {
        let clock = Cell::new(Instant::now());
        share(0..waiting, BATCH, || clock.get()).inspect(|_| clock.set(clock.get() + each)).count()
    }

    #[test]
    fn questions_that_take_long_wait_for_consensus_between_them() {
        assert_eq!(handled(1_000, Duration::ZERO), BATCH);
        assert_eq!(handled(3, Duration::ZERO), 3);
        assert_eq!(handled(1_000, Duration::from_millis(2)), 3);
        assert_eq!(handled(1_000, Duration::from_secs(1)), 1, "one is handled at least");
    }
}

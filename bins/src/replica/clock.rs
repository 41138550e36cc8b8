//! Two clocks: one that never goes back, for timers; and this machine's date, for block times.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gongsuan_consensus::Millis;
use gongsuan_types::TimeMs;

/// The core's clock: milliseconds since the replica started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Now, in whole milliseconds.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When a time of the core's has come.
    #[must_use]
    pub fn at(&self, at: Millis) -> Instant {
        // A time that far ahead never comes; a year stands for it.
        let ahead = Duration::from_millis(at.0).min(Duration::from_secs(31_536_000));
        self.start + ahead
    }
}

/// This machine's date and time.
#[must_use]
pub fn wall() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

//! Two clocks: one that never goes back, for timers; and this machine's date, for block times.

use std::path::PathBuf;
use std::sync::LazyLock;
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

/// The environment variable that names a file with a number of milliseconds, which is added to the machine's date each time it is read: fault tests let
/// the clocks of validators jump by it. Without the variable there is no such file; without the file nothing is added.
pub const CLOCK_VARIABLE: &str = "GONGSUAN_SIMULATED_CLOCK";

static SIMULATED: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os(CLOCK_VARIABLE).map(PathBuf::from));

/// How far a simulated clock is ahead of the machine's, in milliseconds.
fn ahead_ms() -> i64 {
    let text = SIMULATED.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// This machine's date and time.
#[must_use]
pub fn wall() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    TimeMs(now.saturating_add_signed(ahead_ms()))
}

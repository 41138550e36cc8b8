//! How often a file is looked at by whoever waits for it.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(1);
/// What a file server bears from hundreds of pilots, and a person does not notice.
const LONGEST: Duration = Duration::from_millis(50);

/// A wait that doubles while nothing happens, from 1 to 50 ms. Begin a new one when something did.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Pace {
    pub(super) fn wait(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

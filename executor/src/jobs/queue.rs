//! Whose turn it is: deficit round robin in fuel, with admission by memory. No threads, no clock.
//!
//! Every job has a deficit: the fuel it may spend before others are served. Each round adds [`Grain::fuel`] times the job's
//! weight over the least weight that waits, dispatching takes what the segments are expected to burn, and what they really burnt corrects it. So over time
//! jobs that always have work share the fuel in the ratio of their weights, whatever the size of their segments.
//!
//! Nobody knows what a new job's segments burn, only their limit. One of them goes out as soon as the job owes nothing, and is charged when it
//! is done: to save up the limit first would keep a job of small segments out while others burn a thousand times what it asks for.
//!
//! A job whose turn it is and whose memory is not free waits at the front, and everybody behind it: otherwise small jobs could
//! keep a large one out for ever.

use std::collections::{BTreeMap, VecDeque};

/// How much is handed to a lane at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// Segments are handed out together until they come to this: far more than handing out costs. Also what a job of weight 1 may spend
    /// each round.
    pub(super) fuel: u64,
    /// Segments handed out together, at most.
    pub(super) segments: usize,
}

impl Grain {
    /// For lanes on this machine: about a millisecond of compiled code.
    pub(super) const NEAR: Self = Self { fuel: 20_000_000, segments: 256 };
}

/// What is handed to a lane at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) job: u64,
    pub(super) segments: Vec<u32>,
    /// What each is expected to burn, as charged.
    charged: u64,
    memory: u64,
}

#[derive(Debug)]
struct Waiting {
    weight: u64,
    deficit: i128,
    segments: VecDeque<u32>,
    /// Fuel of one segment: the limit until one is measured, then a running mean.
    expected: u64,
    measured: bool,
    /// Whether the segment that will be measured is out.
    probing: bool,
    memory: u64,
}

/// Segments that wait.
#[derive(Debug)]
pub(super) struct Queue {
    grain: Grain,
    jobs: BTreeMap<u64, Waiting>,
    ring: VecDeque<u64>,
    memory_free: u64,
}

impl Queue {
    pub(super) fn new(memory_bytes: u64, grain: Grain) -> Self {
        Self { grain, jobs: BTreeMap::new(), ring: VecDeque::new(), memory_free: memory_bytes }
    }

    /// A new job behind the others. `memory` is what one segment may take, in bytes.
    pub(super) fn push(
        &mut self,
        job: u64,
        weight: u32,
        fuel_limit: u64,
        memory: u64,
        segments: impl IntoIterator<Item = u32>,
    ) {
        let waiting = Waiting {
            weight: u64::from(weight.max(1)),
            deficit: 0,
            segments: segments.into_iter().collect(),
            expected: fuel_limit.max(1),
            measured: false,
            probing: false,
            memory,
        };
        self.jobs.insert(job, waiting);
        self.ring.push_back(job);
    }

    /// Forgets what of a job waits. What runs is still to be told to [`Queue::done`].
    pub(super) fn drop_waiting(&mut self, job: u64) {
        if let Some(waiting) = self.jobs.get_mut(&job) {
            waiting.segments.clear();
        }
    }

    /// Forgets a job of which nothing runs.
    pub(super) fn remove(&mut self, job: u64) {
        self.jobs.remove(&job);
        self.ring.retain(|other| *other != job);
    }

    /// Whether anything of a job waits.
    pub(super) fn waits(&self, job: u64) -> bool {
        self.jobs.get(&job).is_some_and(|waiting| !waiting.segments.is_empty())
    }

    /// The next batch among the jobs that may run now.
    pub(super) fn next(&mut self, may_run: impl Fn(u64) -> bool) -> Option<Batch> {
        loop {
            let mut rounds: Option<u64> = None;
            // In multiples of the least: prices may be millions, and a round is not to be worth hours.
            let weights =
                self.jobs.iter().filter(|(job, one)| !one.segments.is_empty() && may_run(**job));
            let least = weights.map(|(_, one)| one.weight).min().unwrap_or(1);
            let quantum = |weight: u64| {
                let quantum = u128::from(self.grain.fuel) * u128::from(weight) / u128::from(least);
                i128::try_from(quantum).unwrap_or(i128::MAX)
            };
            for _ in 0..self.ring.len() {
                let job = *self.ring.front()?;
                let waiting = self.jobs.get_mut(&job)?;
                if !waiting.segments.is_empty() && may_run(job) {
                    if waiting.deficit >= waiting.price() {
                        if waiting.memory > self.memory_free {
                            return None;
                        }
                        self.memory_free -= waiting.memory;
                        return Some(waiting.take(job, self.grain));
                    }
                    let need = waiting.price() - waiting.deficit;
                    let each = quantum(waiting.weight);
                    let need = u64::try_from((need + each - 1) / each).unwrap_or(u64::MAX);
                    rounds = Some(rounds.map_or(need, |least| least.min(need)));
                } else {
                    // Nothing can be saved up by not asking.
                    waiting.deficit = waiting.deficit.min(0);
                }
                self.ring.rotate_left(1);
            }
            let rounds = rounds?;
            for (job, waiting) in &mut self.jobs {
                if !waiting.segments.is_empty() && may_run(*job) {
                    waiting.deficit += i128::from(rounds) * quantum(waiting.weight);
                }
            }
        }
    }

    /// A batch is over: what each segment that was done burnt. The others wait again, first.
    pub(super) fn done(&mut self, batch: &Batch, fuel: &[u64]) {
        self.memory_free += batch.memory;
        let Some(waiting) = self.jobs.get_mut(&batch.job) else { return };
        waiting.deficit += i128::from(batch.charged) * (batch.segments.len() as i128);
        waiting.probing = false;
        for &fuel in fuel {
            waiting.deficit -= i128::from(fuel);
            let mean = waiting.expected - waiting.expected / 4 + fuel / 4;
            waiting.expected = if waiting.measured { mean } else { fuel }.max(1);
            waiting.measured = true;
        }
        for &segment in batch.segments.iter().skip(fuel.len()).rev() {
            waiting.segments.push_front(segment);
        }
    }
}

impl Waiting {
    /// What a job must have saved up before its next segment goes out.
    fn price(&self) -> i128 {
        if self.measured || self.probing { i128::from(self.expected) } else { 0 }
    }

    fn take(&mut self, job: u64, grain: Grain) -> Batch {
        self.probing = !self.measured;
        let affordable = self.deficit / i128::from(self.expected);
        let affordable = usize::try_from(affordable).unwrap_or(0).max(1);
        let worth = usize::try_from(grain.fuel / self.expected).unwrap_or(usize::MAX);
        // Until one is measured nobody knows how many are worth their way.
        let worth = if self.measured { worth } else { 1 };
        let count = worth.clamp(1, grain.segments.max(1)).min(affordable).min(self.segments.len());
        let segments: Vec<u32> = self.segments.drain(..count).collect();
        self.deficit -= i128::from(self.expected) * (count as i128);
        Batch { job, segments, charged: self.expected, memory: self.memory }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Serves one batch at a time and returns the fuel that each job got before the first ran dry.
    fn serve(jobs: &[(u32, u64)]) -> Vec<u64> {
        let mut queue = Queue::new(u64::MAX, Grain::NEAR);
        for (number, (weight, _)) in (0..).zip(jobs) {
            queue.push(number, *weight, 4_000_000_000, 0, 0..20_000);
        }
        let mut burnt = vec![0; jobs.len()];
        while let Some(batch) = queue.next(|_| true) {
            let at = usize::try_from(batch.job).unwrap();
            let fuel = jobs[at].1;
            burnt[at] += fuel * batch.segments.len() as u64;
            queue.done(&batch, &vec![fuel; batch.segments.len()]);
            // Compared while everybody has work.
            if !(0..jobs.len() as u64).all(|job| queue.waits(job)) {
                break;
            }
        }
        burnt
    }

    #[test]
    fn a_new_job_of_light_weight_is_measured_before_others_burn_its_limit() {
        let burnt = serve(&[(6, 1_000_000), (1, 1_000_000)]);
        assert!(burnt[1] * 6 >= burnt[0] / 20 * 19, "{burnt:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn fuel_is_shared_by_weight_whatever_the_size_of_segments(
            jobs in prop::collection::vec((1u32..8, 1_000_000u64..40_000_000), 2..5),
            scale in prop::sample::select(vec![1u32, 100_000]),
        ) {
            let jobs: Vec<_> = jobs.into_iter().map(|(weight, fuel)| (weight * scale, fuel)).collect();
            let burnt = serve(&jobs);
            for other in 1..jobs.len() {
                // Equal shares for equal weights, within a twentieth.
                let one = u128::from(burnt[0]) * u128::from(jobs[other].0);
                let two = u128::from(burnt[other]) * u128::from(jobs[0].0);
                prop_assert!(one.abs_diff(two) * 20 <= one.max(two), "{jobs:?} got {burnt:?}");
            }
        }
    }

    #[test]
    fn tiny_segments_go_out_together_once_their_size_is_known() {
        let mut queue = Queue::new(u64::MAX, Grain::NEAR);
        queue.push(0, 1, 4_000_000_000, 0, 0..1000);
        let first = queue.next(|_| true).unwrap();
        assert_eq!(first.segments, [0]);
        queue.done(&first, &[100_000]);
        // A round's fuel, less the first one, which is paid for now.
        assert_eq!(queue.next(|_| true).unwrap().segments.len(), 199);
    }

    #[test]
    fn what_was_not_done_comes_first_again() {
        let mut queue = Queue::new(u64::MAX, Grain::NEAR);
        queue.push(0, 1, 1_000_000, 0, [7, 8, 9]);
        let batch = queue.next(|_| true).unwrap();
        queue.done(&batch, &[1_000_000]);
        let batch = queue.next(|_| true).unwrap();
        assert_eq!(batch.segments, [8, 9]);
        queue.done(&batch, &[]);
        assert_eq!(queue.next(|_| true).unwrap().segments, [8, 9]);
    }

    #[test]
    fn a_large_job_waits_for_memory_and_is_not_overtaken() {
        let mut queue = Queue::new(100, Grain::NEAR);
        queue.push(0, 1, 1_000_000, 40, 0..100);
        let small = queue.next(|_| true).unwrap();
        queue.push(1, 1, 1_000_000, 90, [0]);
        // Job 0 spends what it has; then it is the large job's turn, and nobody else gets memory before it.
        while let Some(batch) = queue.next(|_| true) {
            assert_eq!(batch.job, 0);
            queue.done(&batch, &vec![1_000_000; batch.segments.len()]);
        }
        queue.done(&small, &[1_000_000]);
        assert_eq!(queue.next(|_| true).unwrap().job, 1);
        assert_eq!(queue.next(|_| true), None);
    }
}

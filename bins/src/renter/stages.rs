//! A job as its renter thinks of it: a map, or a row of maps that follow from each other. Each stage is a bid of its own, proved and paid as any other,
//! and the next one is ordered when the results of the one before are proved.

use std::sync::Arc;

use gongsuan_executor::jobs::flow::Template;
use gongsuan_executor::{Inputs, Job};
use gongsuan_types::job::JobSpec;

/// What follows the first map.
#[derive(Debug, Clone)]
pub enum Then {
    /// Nothing: the outputs of the map are the results.
    Nothing,
    /// Outputs are joined in groups, in order, and each group is the input of a segment of the next stage, until one output is left.
    Reduce {
        /// The program that reduces.
        module: Arc<[u8]>,
        /// Its arguments.
        args: Vec<String>,
        /// Outputs in a group: 2 at least.
        arity: u32,
    },
    /// The job is one segment, and its output is the input of the next one, so many times in all.
    Iterate {
        /// 1 at least.
        steps: u32,
    },
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The map; of an iteration, what all steps have in common.
    pub job: Job,
    /// What follows it.
    pub then: Then,
}

impl Plan {
    /// How many segments each stage has. All but the first follow from the number of outputs alone.
    #[must_use]
    pub fn widths(&self) -> Vec<u32> {
        let first = self.job.spec.segment_count();
        match self.then {
            Then::Nothing => vec![first],
            Then::Reduce { arity, .. } => {
                let next = |width: &u32| (*width > 1).then(|| width.div_ceil(arity.max(2)));
                std::iter::successors(Some(first), next).collect()
            }
            Then::Iterate { steps } => vec![1; steps as usize],
        }
    }

    /// The first stage.
    #[must_use]
    pub fn first(&self) -> Job {
        match (&self.then, &self.job.inputs) {
            (Then::Iterate { .. }, Inputs::Shared(state)) => self.template().step(0, state),
            _ => self.job.clone(),
        }
    }

    /// The stage after stage `number`, which had these outputs; none if they are the results.
    #[must_use]
    pub fn after(&self, number: u32, outputs: &[Vec<u8>]) -> Option<Job> {
        match &self.then {
            Then::Nothing => None,
            Then::Reduce { arity, .. } => {
                let more = outputs.len() > 1;
                more.then(|| self.template().reduction(number, outputs, *arity))
            }
            Then::Iterate { steps } => {
                let next = number + 1;
                (next < *steps).then(|| self.template().step(next, &outputs.concat()))
            }
        }
    }

    /// What the stages that follow have in common.
    fn template(&self) -> Template {
        match &self.then {
            Then::Reduce { module, args, .. } => {
                let module = Arc::clone(module);
                let spec = JobSpec {
                    module: gongsuan_types::Hash::of_content(&module),
                    args: args.clone(),
                    ..self.job.spec.clone()
                };
                Template { module, spec }
            }
            Then::Nothing | Then::Iterate { .. } => {
                Template { module: Arc::clone(&self.job.module), spec: self.job.spec.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_executor::METER_VERSION;
    use gongsuan_executor::guests::{LIFE, WORDS};
    use gongsuan_types::job::{JOB_VERSION, Limits, MapInput, Shape};
    use gongsuan_types::{Fuel, Hash};

    use super::*;

    fn plan(module: &[u8], segments: u32, then: Then) -> Plan {
        let spec = JobSpec {
            version: JOB_VERSION,
            module: Hash::of_content(module),
            meter: METER_VERSION,
            args: Vec::new(),
            shape: Shape::Map { segments, input: MapInput::Shared(Hash::of_content(b"in")) },
            limits: Limits { fuel: Fuel(1_000_000), memory_pages: 16, output_bytes: 64 },
            seed: Hash::ZERO,
        };
        let inputs = Inputs::Shared(b"in".as_slice().into());
        let job = Job { module: module.into(), spec, segments: (0..segments).collect(), inputs };
        Plan { job, then }
    }

    #[test]
    fn a_reduction_ends_with_one_output_whatever_the_number() {
        let args = vec!["merge".to_owned()];
        for (segments, arity, widths) in [
            (1, 2, vec![1]),
            (2, 2, vec![2, 1]),
            (7, 3, vec![7, 3, 1]),
            (9, 3, vec![9, 3, 1]),
            (10, 3, vec![10, 4, 2, 1]),
        ] {
            let then = Then::Reduce { module: WORDS.into(), args: args.clone(), arity };
            let plan = plan(LIFE, segments, then);
            assert_eq!(plan.widths(), widths);
            let (mut number, mut outputs) = (0, vec![b"x".to_vec(); segments as usize]);
            let mut seen = vec![plan.first().spec.segment_count()];
            while let Some(job) = plan.after(number, &outputs) {
                assert_eq!((&job.spec.args, job.spec.module), (&args, Hash::of_content(WORDS)));
                let Inputs::Each(inputs) = &job.inputs else { panic!("each reads its group") };
                // Nothing is lost or doubled: an output of so many bytes stands for so many outputs of the map.
                outputs = inputs.values().map(|input| input.to_vec()).collect();
                assert_eq!(outputs.concat().len(), segments as usize);
                seen.push(job.spec.segment_count());
                number += 1;
            }
            assert_eq!(seen, widths, "{segments} in groups of {arity}");
        }
    }

    #[test]
    fn the_steps_of_an_iteration_are_different_jobs_even_if_the_state_stands_still() {
        let plan = plan(LIFE, 1, Then::Iterate { steps: 3 });
        let mut jobs = vec![plan.first()];
        for number in 0.. {
            let Some(job) = plan.after(number, &[b"in".to_vec()]) else { break };
            jobs.push(job);
        }
        assert_eq!(jobs.len(), plan.widths().len());
        let ids: std::collections::BTreeSet<Hash> = jobs.iter().map(|job| job.spec.id()).collect();
        assert_eq!(ids.len(), 3, "a bid of each can be told from the others");
    }
}

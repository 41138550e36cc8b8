//! What a renter wants run.
//!
//! A job is a WASM module and a [`Shape`]. Every piece is a *segment*: the smallest part that is committed, priced
//! and re-executed, capped at [`SEGMENT_FUEL_MAX`].

use serde::{Deserialize, Serialize};

use crate::{DurationMs, Fuel, Hash, Hasher, Refusal, Units};

/// The most fuel one segment may burn: 4 Gf, so that a referee can re-execute any segment in seconds.
pub const SEGMENT_FUEL_MAX: Fuel = Fuel(4_000_000_000);
/// Segments in one job, at most.
pub const SEGMENTS_MAX: u32 = 1 << 20;
/// Memory of one segment, at most: 1 GiB in 64 KiB pages.
pub const MEMORY_PAGES_MAX: u32 = 16_384;
/// Output of one segment in bytes, at most.
pub const OUTPUT_BYTES_MAX: u32 = 4 << 20;
/// Arguments in a job, at most.
pub const ARGS_MAX: usize = 64;
/// Bytes in all arguments together, at most.
pub const ARGS_BYTES_MAX: usize = 4096;
/// Segments drawn for re-execution in one deal, at most.
pub const SAMPLES_MAX: u16 = 64;
/// Windows and deadlines in an order, at most: one day.
pub const WINDOW_MAX: DurationMs = DurationMs(86_400_000);
/// Batches of one deal, at most.
pub const BATCHES_MAX: u16 = 64;
/// Providers that a deal may go through, at most.
pub const ATTEMPTS_MAX: u8 = 8;
/// Providers that do the same work in a quorum, at most.
pub const COPIES_MAX: u8 = 7;
/// Segments whose outputs a predicate judges, at most: the validators run it once for each.
pub const PREDICATE_SEGMENTS_MAX: u32 = 64;
/// Fuel of a predicate for one output, at most: 50 Mf, so that 64 of them cost less than one segment.
pub const PREDICATE_FUEL_MAX: Fuel = Fuel(50_000_000);
/// The only version of [`JobSpec`].
pub const JOB_VERSION: u16 = 1;

/// A program and its inputs.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// [`JOB_VERSION`].
    pub version: u16,
    /// The content address ([`Hash::of_content`]) of the module, as the renter wrote it, before metering.
    pub module: Hash,
    /// The version of the meter's cost table: the same module burns the same fuel under it everywhere.
    pub meter: u16,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// How the job is cut into segments.
    pub shape: Shape,
    /// What one segment may use.
    pub limits: Limits,
    /// Where the program's randomness comes from.
    pub seed: Hash,
}

/// How a job is cut into segments.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Independent segments: the module runs once for each, from a fresh instance.
    Map {
        /// How many.
        segments: u32,
        /// What each reads on standard input.
        input: MapInput,
    },
}

/// What the segments of a map read.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapInput {
    /// All read the blob with this content address; `GONGSUAN_SEGMENT` in the environment tells them apart.
    Shared(Hash),
    /// Each reads its own. The content address is that of an index blob: the 32-byte content addresses of the
    /// segments' inputs, one after another.
    Each(Hash),
}

/// What one segment may use.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = JobLimits))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel, at most.
    pub fuel: Fuel,
    /// Linear memory in pages of 64 KiB, at most.
    pub memory_pages: u32,
    /// Standard output in bytes, at most.
    pub output_bytes: u32,
}

/// A job as ordered: the program, its deadlines and how it is checked.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobOrder {
    /// The program and its inputs.
    pub spec: JobSpec,
    /// From the match: the provider must acknowledge within this.
    pub ack_within: DurationMs,
    /// From the acknowledgement: the result must be committed within this.
    pub run_within: DurationMs,
    /// Segments drawn after the commitment and re-executed.
    pub samples: u16,
    /// The provider's deposit in basis points of the deal's price: 10,000 is once the price.
    pub deposit_basis_points: u32,
    /// What the renter commits to: its share of the randomness that draws the samples of each deal, revealed after each commitment
    /// ([`crate::secrets`]).
    pub secret_hash: Hash,
    /// How the results are checked.
    pub check: Check,
    /// How the deal goes on in time.
    pub pace: Pace,
}

/// How the results of a deal are checked.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Segments drawn after the commitment are re-executed by drawn auditors; anybody may challenge any segment.
    #[default]
    Lottery,
    /// Segments are drawn as in the lottery, and the renter re-executes them itself: for inputs that nobody else may see.
    Own,
    /// Several providers, no two of one owner, do the same work and seal their results before any is shown. If all agree, all are paid at
    /// once; if not, each result is checked as in the lottery, and the others have every reason to challenge it.
    Quorum {
        /// How many providers: 2 to [`COPIES_MAX`].
        copies: u8,
    },
    /// A program of the renter accepts or refuses each output, and the deal is settled at once by what the validators say of it.
    Predicate(Predicate),
}

/// A program that judges outputs: a WASI command, metered as jobs are. It reads one segment's output on standard input; the segment's number is in
/// `GONGSUAN_SEGMENT`. It accepts by ending with 0; any other end refuses.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Predicate {
    /// The content address of the module.
    pub module: Hash,
    /// Fuel for one output, at most.
    pub fuel: Fuel,
}

/// How a deal goes on in time.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pace {
    /// While it runs the provider must tell of progress, or commit, within this; zero demands nothing.
    pub heartbeat_within: DurationMs,
    /// Results may be committed, checked and paid in so many pieces.
    pub batches_max: u16,
    /// The deal may go through so many providers, one after another, each beginning after what was accepted from those before.
    pub attempts_max: u8,
}

impl Default for Pace {
    /// All results at once, by one provider, without heartbeats.
    fn default() -> Self {
        Self { heartbeat_within: DurationMs(0), batches_max: 1, attempts_max: 1 }
    }
}

impl Check {
    /// How many providers do each segment.
    #[must_use]
    pub const fn copies(self) -> u8 {
        match self {
            Self::Quorum { copies } => copies,
            Self::Lottery | Self::Own | Self::Predicate(_) => 1,
        }
    }
}

impl JobSpec {
    /// The hash that names this job.
    #[must_use]
    pub fn id(&self) -> Hash {
        Hash::of("gongsuan/job/v1", &crate::codec::encode(self))
    }

    /// How many segments the job has.
    #[must_use]
    pub fn segment_count(&self) -> u32 {
        let Shape::Map { segments, .. } = &self.shape;
        *segments
    }

    /// The units that one segment may cost: its fuel cap, rounded up.
    #[must_use]
    pub fn lot(&self) -> Units {
        self.limits.fuel.to_units_ceil()
    }

    /// The seed of one segment's randomness.
    #[must_use]
    pub fn segment_seed(&self, segment: u32) -> Hash {
        let mut hasher = Hasher::new("gongsuan/segment-seed/v1");
        hasher.update(&self.seed.0).update(&segment.to_le_bytes());
        hasher.finish()
    }

    /// Whether the job is within the bounds of this module.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        within("version", u64::from(self.version), u64::from(JOB_VERSION), u64::from(JOB_VERSION))?;
        within("shape.segments", u64::from(self.segment_count()), 1, u64::from(SEGMENTS_MAX))?;
        within("limits.fuel", self.limits.fuel.0, 1, SEGMENT_FUEL_MAX.0)?;
        let pages = u64::from(self.limits.memory_pages);
        within("limits.memory_pages", pages, 1, u64::from(MEMORY_PAGES_MAX))?;
        let output = u64::from(self.limits.output_bytes);
        within("limits.output_bytes", output, 0, u64::from(OUTPUT_BYTES_MAX))?;
        within("args", self.args.len() as u64, 0, ARGS_MAX as u64)?;
        let bytes: usize = self.args.iter().map(String::len).sum();
        within("args.bytes", bytes as u64, 0, ARGS_BYTES_MAX as u64)?;
        if let Some(arg) = self.args.iter().find(|arg| arg.contains('\0')) {
            let message = "an argument contains a zero byte";
            return Err(Refusal::new(
                "bad-argument",
                "args",
                "no zero bytes",
                arg.escape_debug(),
                message,
            ));
        }
        Ok(())
    }
}

impl JobOrder {
    /// Whether the order makes sense for a bid of `units` in lots of `lot`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self, units: Units, lot: Units) -> Result<(), Refusal> {
        self.spec.validate().map_err(|refusal| refusal.within("spec"))?;
        let lot_wanted = self.spec.lot();
        if lot != lot_wanted {
            let message = "the lot must be one segment's fuel cap in Gf, rounded up";
            return Err(Refusal::new("wrong-lot", "lot", lot_wanted, lot, message));
        }
        let units_wanted = u64::from(self.spec.segment_count()) * lot.0;
        if units.0 != units_wanted {
            let message = "units must cover every segment once";
            return Err(Refusal::new("wrong-units", "units", units_wanted, units, message));
        }
        within("ack_within", self.ack_within.0, 1, WINDOW_MAX.0)?;
        within("run_within", self.run_within.0, 1, WINDOW_MAX.0)?;
        within("samples", u64::from(self.samples), 1, u64::from(SAMPLES_MAX))?;
        within("deposit_basis_points", u64::from(self.deposit_basis_points), 0, 1_000_000)?;
        within("pace.heartbeat_within", self.pace.heartbeat_within.0, 0, WINDOW_MAX.0)?;
        let (batches, attempts) = (self.pace.batches_max, self.pace.attempts_max);
        match self.check {
            Check::Lottery | Check::Own => {
                within("pace.batches_max", u64::from(batches), 1, u64::from(BATCHES_MAX))?;
                within("pace.attempts_max", u64::from(attempts), 1, u64::from(ATTEMPTS_MAX))
            }
            Check::Predicate(predicate) => {
                within("check.predicate.fuel", predicate.fuel.0, 1, PREDICATE_FUEL_MAX.0)?;
                let (count, most) = (self.spec.segment_count(), PREDICATE_SEGMENTS_MAX);
                within("spec.shape.segments", u64::from(count), 1, u64::from(most))?;
                within("pace.batches_max", u64::from(batches), 1, u64::from(BATCHES_MAX))?;
                within("pace.attempts_max", u64::from(attempts), 1, u64::from(ATTEMPTS_MAX))
            }
            Check::Quorum { copies } => {
                within("check.quorum.copies", u64::from(copies), 2, u64::from(COPIES_MAX))?;
                // Results are compared whole, and a copy that is missing is what the others are for.
                within("pace.batches_max", u64::from(batches), 1, 1)?;
                within("pace.attempts_max", u64::from(attempts), 1, 1)
            }
        }
    }

    /// What a secret is hashed to: the one revealed before it.
    #[must_use]
    pub fn hash_secret(secret: &Hash) -> Hash {
        Hash::of("gongsuan/secret/v1", &secret.0)
    }
}

fn within(field: &'static str, got: u64, min: u64, max: u64) -> Result<(), Refusal> {
    crate::order::within(field, got, min, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            version: JOB_VERSION,
            module: Hash::of_content(b"module"),
            meter: 1,
            args: vec!["render".into()],
            shape: Shape::Map { segments: 4, input: MapInput::Shared(Hash::of_content(b"")) },
            limits: Limits { fuel: Fuel(1_500_000_000), memory_pages: 16, output_bytes: 1024 },
            seed: Hash::ZERO,
        }
    }

    #[test]
    fn every_bound_is_named_when_crossed() {
        assert_eq!(spec().validate(), Ok(()));
        let field = |change: fn(&mut JobSpec)| {
            let mut job = spec();
            change(&mut job);
            job.validate().unwrap_err().field
        };
        assert_eq!(field(|j| j.version = 2), "version");
        assert_eq!(field(|j| j.limits.fuel = Fuel(SEGMENT_FUEL_MAX.0 + 1)), "limits.fuel");
        assert_eq!(field(|j| j.limits.memory_pages = 0), "limits.memory_pages");
        assert_eq!(field(|j| j.limits.output_bytes = u32::MAX), "limits.output_bytes");
        assert_eq!(field(|j| j.args = vec!["a\0".into()]), "args");
        assert_eq!(
            field(|j| j.shape = Shape::Map { segments: 0, input: MapInput::Shared(Hash::ZERO) }),
            "shape.segments"
        );
    }

    #[test]
    fn units_must_cover_every_segment_once() {
        let order = JobOrder {
            spec: spec(),
            ack_within: DurationMs(1),
            run_within: DurationMs(1),
            samples: 1,
            deposit_basis_points: 10_000,
            secret_hash: Hash::ZERO,
            check: Check::Lottery,
            pace: Pace::default(),
        };
        assert_eq!(order.validate(Units(8), Units(2)), Ok(()));
        assert_eq!(order.validate(Units(8), Units(1)).unwrap_err().code, "wrong-lot");
        assert_eq!(order.validate(Units(6), Units(2)).unwrap_err().code, "wrong-units");
    }
}

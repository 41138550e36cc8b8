//! What certificates obey.

use gongsuan_types::job::SAMPLES_MAX;
use gongsuan_types::{DurationMs, Hash, Price, Refusal};
use serde::{Deserialize, Serialize};

/// What certificates of capacity obey: a part of [`crate::Rules`].
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityRules {
    /// Asks are refused that list more than a certificate shows.
    pub required: bool,
    /// The content address of the program that answers challenges; zero: this chain gives no certificates.
    pub module: Hash,
    /// The version of the cost table under which it is metered.
    pub meter: u16,
    /// Dependent reads of each lane.
    pub steps: u32,
    /// From the seed: all lanes must be committed within this. It is the slowest machine that gets a certificate.
    pub answer_within: DurationMs,
    /// Lanes drawn in each probe.
    pub samples: u16,
    /// What an auditor is paid for a drawn lane, per Gf, before [`crate::Rules::audit_price_basis_points`].
    pub audit_price: Price,
    /// What the provider sets aside for each lane, in micro-tokens: what it loses by an answer that is wrong.
    pub stake_micro: u64,
    /// Probes whose audits are paid in advance.
    pub probes_paid: u16,
    /// A certificate is probed again so often, on average; zero: never.
    pub redraw_every: DurationMs,
}

impl Default for CapacityRules {
    fn default() -> Self {
        Self {
            required: false,
            module: Hash::ZERO,
            meter: 1,
            steps: 2_000_000,
            answer_within: DurationMs(120_000),
            samples: 1,
            audit_price: Price(1_000),
            stake_micro: 100_000,
            probes_paid: 16,
            redraw_every: DurationMs(86_400_000),
        }
    }
}

impl CapacityRules {
    /// Whether certificates can be had.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.module != Hash::ZERO
    }

    /// Whether the rules make sense.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        let no = |field, limit: String, got: u64, message: &str| {
            Err(Refusal::new("out-of-range", field, limit, got, message))
        };
        if self.required && !self.is_on() {
            let message = "certificates are required, and there is no program to get one with";
            return Err(Refusal::new("missing", "module", "a program", self.module, message));
        }
        if self.samples == 0 || self.samples > SAMPLES_MAX {
            let limit = format!("1..={SAMPLES_MAX}");
            return no("samples", limit, self.samples.into(), "a probe is checked by drawn lanes");
        }
        if self.answer_within.0 == 0 {
            return no("answer_within", "above 0".into(), 0, "nobody could answer");
        }
        if self.probes_paid == 0 {
            return no("probes_paid", "above 0".into(), 0, "the first probe has to be paid");
        }
        Ok(())
    }
}

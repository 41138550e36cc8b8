//! The file that describes a job: what `gongsuan job init` prints and the others read.

use std::path::PathBuf;

use gongsuan_types::job::{Check, PREDICATE_FUEL_MAX, Pace, Predicate};
use gongsuan_types::order::{Capabilities, RegionSet, Requirements};
use gongsuan_types::{DurationMs, Hash};
use serde::{Deserialize, Serialize};

/// A commented file.
pub(super) const TEMPLATE: &str = r#"# A job: a WASI module that runs once for every segment. GONGSUAN_SEGMENT tells the segments apart.
module = "program.wasm"
input = "input.bin"            # every segment reads it on standard input
segments = 8
args = []
fuel_max = 1_000_000_000       # for one segment, at most 4_000_000_000 (4 Gf)
memory_pages = 256             # of 64 KiB, for one segment
output_bytes = 1_048_576       # for one segment
price_max = "0.2"              # tokens for a Gf, at most
deals_max = 4                  # providers, at most
samples = 2                    # segments of each deal that are executed again
vetted = true                  # vetted providers only
match_within_s = 60
run_within_s = 600

# private = true               # module, inputs and outputs are encrypted; only who executes them reads them: see docs/privacy.md
# audit = "own"                # who executes the drawn segments again: drawn auditors ("lottery"), or this command ("own": what private jobs do)
# predicate = "check.wasm"     # instead of drawing: the validators run this WASI program over each output; where it ends with 0 the output is paid
# attempts_max = 2             # providers that may be tried one after another; above 1 the escrow covers the limit price
# heartbeat_s = 30             # a provider that says nothing for so long has failed; 0 waits until run_within_s

# What the machine must have; a line that is absent asks for nothing. An order that no machine fits is not matched: the chain refuses it.
# regions = [3, 17]            # numbers of the chain's registry, 0 to 63
# cpu_cores_min = 2
# memory_mib_min = 1024
# reputation_min = 500         # of 1,000
"#;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobFile {
    pub(super) module: PathBuf,
    pub(super) input: PathBuf,
    pub(super) segments: u32,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) fuel_max: u64,
    pub(super) memory_pages: u32,
    pub(super) output_bytes: u32,
    pub(super) price_max: String,
    pub(super) deals_max: u16,
    pub(super) samples: u16,
    pub(super) vetted: bool,
    pub(super) match_within_s: u64,
    pub(super) run_within_s: u64,
    regions: Option<Vec<u8>>,
    #[serde(default)]
    cpu_cores_min: u16,
    #[serde(default)]
    memory_mib_min: u32,
    #[serde(default)]
    reputation_min: u16,
    #[serde(default)]
    private: bool,
    audit: Option<Audit>,
    pub(super) predicate: Option<PathBuf>,
    attempts_max: Option<u8>,
    #[serde(default)]
    heartbeat_s: u64,
}

/// Who executes drawn segments again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Audit {
    Lottery,
    Own,
}

impl JobFile {
    /// The validators, by a predicate; or else drawn auditors, but for a private job, whose inputs they would have to see.
    pub(super) fn check(&self, predicate: Option<&[u8]>) -> Result<Check, String> {
        match (self.audit, predicate) {
            (Some(_), Some(_)) => {
                Err("audit, predicate: results are checked in one way; leave one of them out"
                    .into())
            }
            (None, Some(program)) => {
                let module = Hash::of_content(program);
                Ok(Check::Predicate(Predicate { module, fuel: PREDICATE_FUEL_MAX }))
            }
            (Some(Audit::Lottery), None) => Ok(Check::Lottery),
            (None, None) if !self.private => Ok(Check::Lottery),
            (Some(Audit::Own) | None, None) => Ok(Check::Own),
        }
    }

    pub(super) fn pace(&self) -> Pace {
        let heartbeat_within = DurationMs(self.heartbeat_s.saturating_mul(1_000));
        let attempts_max = self.attempts_max.unwrap_or(1);
        Pace { heartbeat_within, attempts_max, ..Pace::default() }
    }

    /// What the machine must have.
    pub(super) fn requirements(&self) -> Result<Requirements, String> {
        let regions = match &self.regions {
            None => RegionSet::ANY,
            Some(regions) => {
                let all = regions.iter().try_fold(0, |set, region| {
                    let bit = 1_u64.checked_shl(u32::from(*region));
                    bit.map(|bit| set | bit)
                        .ok_or_else(|| format!("regions: {region} is no region; they are 0 to 63"))
                })?;
                if all == 0 {
                    return Err("regions: none is allowed: no machine would fit".to_owned());
                }
                RegionSet(all)
            }
        };
        Ok(Requirements {
            regions,
            cpu_cores_min: self.cpu_cores_min,
            memory_mib_min: self.memory_mib_min,
            reputation_min: self.reputation_min,
            capabilities: if self.private { Capabilities::PRIVATE } else { Capabilities::NONE },
            ..Requirements::ANY
        })
    }
}

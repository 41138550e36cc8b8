//! The job file: what a renter writes, read into what can be ordered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gongsuan_executor::{EngineKind, Inputs, Job, METER_VERSION, Program};
use gongsuan_types::job::{
    Check, JOB_VERSION, JobSpec, Limits, MapInput, PREDICATE_FUEL_MAX, Pace, Predicate,
    SEGMENTS_MAX, Shape,
};
use gongsuan_types::order::{Capabilities, RegionSet, Requirements};
use gongsuan_types::{DurationMs, Fuel, Hash, Price};
use serde::Deserialize;

use crate::cli::usage;
use crate::node::clock;
use crate::renter::{Plan, Then, Wish};

/// What `job init` prints.
pub(super) const TEMPLATE: &str = r#"# A job: a WASI module that runs once for every segment. GONGSUAN_SEGMENT tells the segments apart.
module = "program.wasm"
input = "input.bin"            # every segment reads it on standard input
# inputs = ["texts", "more.txt"]  # instead: each segment reads one of these files; a folder stands for its files, by name
segments = 8                   # with `inputs`, as many as there are files
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
# How results are checked: drawn segments are executed again by drawn auditors ("lottery") or by this command ("own": what private jobs do).
# audit = "lottery"
# copies = 3                   # instead: so many providers do the same work, 2 to 7, and all are paid if they agree
# predicate = "accept.wasm"    # instead: the validators run this program over each output; where it ends with 0 the output is paid at once
# predicate_fuel_max = 50_000_000

# batches_max = 4              # results are committed, checked and paid in so many pieces
# attempts_max = 3             # what a provider leaves undone goes to the next one, so many in all, from what was accepted
# heartbeat_s = 30             # a provider that says nothing for so long has failed; without it, one that is not ready after run_within_s

# What the machine must have; a line that is absent asks for nothing. An order that no machine fits is not matched: the chain refuses it.
# regions = [3, 17]            # numbers of the chain's registry, 0 to 63
# cpu_cores_min = 2
# memory_mib_min = 1024
# reputation_min = 500         # of 1,000
# owned = true                 # only providers whose owner an issuer has attested, and who show it

# What follows the map, at most one of these. Each stage is an order of its own; the last output is `result`.
# [reduce]                     # outputs are joined in groups of `arity`, and reduced until one is left
# arity = 8
# module = "reduce.wasm"       # the same module if absent
# args = ["merge"]
# [iterate]                    # one segment; its output is the next step's input
# steps = 10
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    module: PathBuf,
    input: Option<PathBuf>,
    inputs: Option<Vec<PathBuf>>,
    segments: Option<u32>,
    #[serde(default)]
    args: Vec<String>,
    fuel_max: u64,
    memory_pages: u32,
    output_bytes: u32,
    price_max: String,
    deals_max: u16,
    samples: u16,
    vetted: bool,
    match_within_s: u64,
    run_within_s: u64,
    regions: Option<Vec<u8>>,
    #[serde(default)]
    cpu_cores_min: u16,
    #[serde(default)]
    memory_mib_min: u32,
    #[serde(default)]
    reputation_min: u16,
    #[serde(default)]
    owned: bool,
    #[serde(default)]
    private: bool,
    audit: Option<Audit>,
    copies: Option<u8>,
    predicate: Option<PathBuf>,
    predicate_fuel_max: Option<u64>,
    batches_max: Option<u16>,
    attempts_max: Option<u8>,
    heartbeat_s: Option<u64>,
    reduce: Option<Reduce>,
    iterate: Option<Iterate>,
}

/// How results are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Audit {
    Lottery,
    Own,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reduce {
    arity: u32,
    module: Option<PathBuf>,
    args: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Iterate {
    steps: u32,
}

/// Steps of an iteration, at most.
const STEPS_MAX: u32 = 100_000;

/// A job that can be ordered.
#[derive(Debug)]
pub(in crate::cli) struct Ready {
    /// What all stages are ordered with; the job in it is the first stage's.
    pub(in crate::cli) wish: Wish,
    pub(in crate::cli) plan: Plan,
    /// The program that judges outputs, if they are checked by one.
    pub(super) predicate: Option<Vec<u8>>,
}

impl Ready {
    /// Whether what is run is for those only who run it.
    pub(super) fn is_private(&self) -> bool {
        self.wish.requirements.capabilities.covers(Capabilities::PRIVATE)
    }

    /// What a stage is ordered with.
    pub(super) fn wish_of(&self, stage: &Job) -> Wish {
        Wish { spec: stage.spec.clone(), ..self.wish.clone() }
    }
}

/// Reads a job file and all that it names, and checks them as far as that is possible without a network.
///
/// # Errors
/// [`usage`], naming the file and the field.
pub(in crate::cli) fn load(path: &Path) -> anyhow::Result<Ready> {
    let text = crate::node::config::read_file(path)?;
    let wrong = |reason: String| usage(format!("{}: {reason}", path.display()));
    let file: JobFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let folder = Folder(path.parent().unwrap_or(Path::new(".")));
    let module: Arc<[u8]> = folder.module(&file.module)?.into();
    let then = file.then(&folder, &module).map_err(|error| match error {
        Fault::Field(reason) => wrong(reason),
        Fault::File(error) => error,
    })?;
    let (inputs, input) = file.inputs(&folder, &wrong)?;
    let segments = file.segments(&inputs).map_err(&wrong)?;
    let (MapInput::Shared(seed) | MapInput::Each(seed)) = input;
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(&module),
        meter: METER_VERSION,
        args: file.args.clone(),
        shape: Shape::Map { segments, input },
        limits: Limits {
            fuel: Fuel(file.fuel_max),
            memory_pages: file.memory_pages,
            output_bytes: file.output_bytes,
        },
        seed,
    };
    let (check, predicate) = file.check(&folder, &wrong)?;
    let job = Job { module, spec, segments: (0..segments).collect(), inputs };
    let plan = Plan { job, then };
    let wish = Wish {
        spec: plan.first().spec,
        price_max: file
            .price_max
            .parse::<Price>()
            .map_err(|error| wrong(format!("price_max: {error}")))?,
        deals_max: file.deals_max,
        samples: file.samples,
        requirements: file.requirements().map_err(&wrong)?,
        check,
        pace: file.pace(),
        match_within: seconds(file.match_within_s),
        run_within: seconds(file.run_within_s),
    };
    let fits =
        wish.spec.validate().and_then(|()| wish.to_bid(clock(), &Hash::ZERO).validate(clock()));
    fits.map_err(|refusal| wrong(refusal.to_string()))?;
    Ok(Ready { wish, plan, predicate })
}

const fn seconds(value: u64) -> DurationMs {
    DurationMs(value.saturating_mul(1_000))
}

enum Fault {
    Field(String),
    File(anyhow::Error),
}

/// Where the paths of a job file begin.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn read(&self, name: &Path) -> anyhow::Result<Vec<u8>> {
        let path = self.0.join(name);
        std::fs::read(&path).map_err(|error| usage(format!("{}: {error}", path.display())))
    }

    /// A module that may run.
    fn module(&self, name: &Path) -> anyhow::Result<Vec<u8>> {
        let module = self.read(name)?;
        let program = Program::load(EngineKind::Wasmi, &module)?;
        match program.refusal() {
            Some(why) => Err(usage(format!("{}: {why}", self.0.join(name).display()))),
            None => Ok(module),
        }
    }

    /// The files that a name stands for: itself, or those of a folder by name. Hidden ones and folders in it are not meant.
    fn files(&self, name: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let path = self.0.join(name);
        if !path.is_dir() {
            return Ok(vec![name.to_owned()]);
        }
        let wrong = |error: std::io::Error| usage(format!("{}: {error}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && entry.path().is_file() {
                found.push(name.join(entry.file_name()));
            }
        }
        found.sort();
        Ok(found)
    }
}

impl JobFile {
    /// What segments read, and the name of that in the job.
    fn inputs(
        &self,
        folder: &Folder<'_>,
        wrong: &impl Fn(String) -> anyhow::Error,
    ) -> anyhow::Result<(Inputs, MapInput)> {
        match (&self.input, &self.inputs) {
            (Some(input), None) => {
                let bytes = folder.read(input)?;
                let named = MapInput::Shared(Hash::of_content(&bytes));
                Ok((Inputs::Shared(bytes.into()), named))
            }
            (None, Some(names)) => {
                let mut each = std::collections::BTreeMap::new();
                for name in names {
                    for file in folder.files(name)? {
                        if each.len() == SEGMENTS_MAX as usize {
                            return Err(wrong(format!("inputs: more than {SEGMENTS_MAX} files, which are the most segments of a job")));
                        }
                        let number = u32::try_from(each.len())?;
                        each.insert(number, Arc::from(folder.read(&file)?));
                    }
                }
                if each.is_empty() {
                    return Err(wrong("inputs: there is no file".to_owned()));
                }
                let hashes = each.values().flat_map(|input: &Arc<[u8]>| Hash::of_content(input).0);
                let index: Vec<u8> = hashes.collect();
                Ok((Inputs::Each(each), MapInput::Each(Hash::of_content(&index))))
            }
            (Some(_), Some(_)) => Err(wrong(
                "input, inputs: one of them, not both: all segments read `input`, or each one of `inputs`".to_owned(),
            )),
            (None, None) => Err(wrong(
                "input: missing; `input = \"FILE\"` is read by all segments, `inputs = [\"FILE or FOLDER\", …]` by one each".to_owned(),
            )),
        }
    }

    fn segments(&self, inputs: &Inputs) -> Result<u32, String> {
        let files = match inputs {
            Inputs::Each(each) => Some(u32::try_from(each.len()).unwrap_or(u32::MAX)),
            Inputs::Shared(_) => None,
        };
        match (&self.iterate, self.segments, files) {
            (Some(_), None | Some(1), None) => Ok(1),
            (Some(_), _, Some(_)) => {
                Err("iterate: begins with one state; give it as `input`, not `inputs`".to_owned())
            }
            (Some(_), Some(segments), None) => {
                Err(format!("segments: {segments} in an iteration, which has one"))
            }
            (None, Some(segments), None) => Ok(segments),
            (None, None, None) => {
                Err("segments: missing; how many times is the program to run?".to_owned())
            }
            (None, None, Some(files)) => Ok(files),
            (None, Some(segments), Some(files)) if segments == files => Ok(files),
            (None, Some(segments), Some(files)) => Err(format!(
                "segments: {segments}, but `inputs` are {files} files, each read by one segment; leave the line out"
            )),
        }
    }

    /// Drawn auditors, but for a private job, whose inputs they would have to see.
    fn check(
        &self,
        folder: &Folder<'_>,
        wrong: &impl Fn(String) -> anyhow::Error,
    ) -> anyhow::Result<(Check, Option<Vec<u8>>)> {
        if self.predicate_fuel_max.is_some() && self.predicate.is_none() {
            return Err(wrong("predicate_fuel_max: there is no `predicate`".to_owned()));
        }
        Ok(match (self.audit, self.copies, &self.predicate) {
            (Some(Audit::Lottery), None, None) => (Check::Lottery, None),
            (Some(Audit::Own), None, None) => (Check::Own, None),
            (None, None, None) if self.private => (Check::Own, None),
            (None, None, None) => (Check::Lottery, None),
            (None, Some(copies), None) => (Check::Quorum { copies }, None),
            (None, None, Some(name)) => {
                let module = folder.module(name)?;
                let fuel = self.predicate_fuel_max.map_or(PREDICATE_FUEL_MAX, Fuel);
                let predicate = Predicate { module: Hash::of_content(&module), fuel };
                (Check::Predicate(predicate), Some(module))
            }
            _ => {
                return Err(wrong(
                    "audit, copies, predicate: one of them, for they are different ways to check"
                        .to_owned(),
                ));
            }
        })
    }

    fn pace(&self) -> Pace {
        let usual = Pace::default();
        Pace {
            heartbeat_within: self.heartbeat_s.map_or(usual.heartbeat_within, seconds),
            batches_max: self.batches_max.unwrap_or(usual.batches_max),
            attempts_max: self.attempts_max.unwrap_or(usual.attempts_max),
        }
    }

    fn then(&self, folder: &Folder<'_>, map: &Arc<[u8]>) -> Result<Then, Fault> {
        match (&self.reduce, &self.iterate) {
            (None, None) => Ok(Then::Nothing),
            (Some(_), Some(_)) => {
                Err(Fault::Field("reduce, iterate: one of them, not both".to_owned()))
            }
            (Some(reduce), None) if reduce.arity < 2 => {
                let got = reduce.arity;
                Err(Fault::Field(format!(
                    "reduce.arity: {got}, the least is 2: smaller groups never become fewer"
                )))
            }
            (Some(reduce), None) => {
                let module = match &reduce.module {
                    Some(name) => folder.module(name).map_err(Fault::File)?.into(),
                    None => Arc::clone(map),
                };
                let args = reduce.args.clone().unwrap_or_else(|| self.args.clone());
                Ok(Then::Reduce { module, args, arity: reduce.arity })
            }
            (None, Some(Iterate { steps })) if !(1..=STEPS_MAX).contains(steps) => {
                Err(Fault::Field(format!("iterate.steps: {steps}, allowed are 1 to {STEPS_MAX}")))
            }
            (None, Some(Iterate { steps })) => Ok(Then::Iterate { steps: *steps }),
        }
    }

    /// What the machine must have.
    fn requirements(&self) -> Result<Requirements, String> {
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
        let wanted = [
            (self.vetted, Capabilities::VETTED),
            (self.private, Capabilities::PRIVATE),
            (self.owned, Capabilities::OWNED),
        ];
        let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
        let capabilities =
            wanted.fold(Capabilities::NONE, |all, (_, capability)| all.union(capability));
        Ok(Requirements {
            regions,
            cpu_cores_min: self.cpu_cores_min,
            memory_mib_min: self.memory_mib_min,
            reputation_min: self.reputation_min,
            capabilities,
            ..Requirements::ANY
        })
    }
}

//! Asks, bids and what decides whether they fit.
//!
//! A [`Class`] is what prices are compared within: the unit of sale, the GPU model, the architecture. Everything
//! else is an attribute: a machine has it, a bid requires it. Prices are integers per unit, so a total order over
//! asks exists that does not depend on the bid.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::job::{Check, JobOrder, Pace};
use crate::lease::LeaseOrder;
use crate::{Address, DurationMs, Price, Refusal, TimeMs, Units};

/// Units in one order, at most.
pub const UNITS_MAX: Units = Units(1_000_000_000);

/// What is sold.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// 10⁹ fuel of proved WASM work.
    GigaFuel,
    /// One core for one second of leased time.
    CoreSecond,
}

/// The instruction set that the work needs.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// Portable WASM: any machine.
    Wasm,
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// A model of graphics processor, numbered by the chain's registry.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GpuModel(pub u16);

/// The kind of thing that one book trades. Text form: `giga-fuel/wasm`, `core-second/x86_64/gpu7`.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Class {
    /// What is sold.
    pub unit: Unit,
    /// The architecture.
    pub arch: Arch,
    /// The GPU model, if any.
    pub gpu: Option<GpuModel>,
}

impl Class {
    /// Proved work in portable WASM without a GPU: the class of most jobs.
    pub const WASM: Self = Self { unit: Unit::GigaFuel, arch: Arch::Wasm, gpu: None };
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            Unit::GigaFuel => "giga-fuel",
            Unit::CoreSecond => "core-second",
        };
        let arch = match self.arch {
            Arch::Wasm => "wasm",
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        };
        write!(f, "{unit}/{arch}")?;
        self.gpu.map_or(Ok(()), |gpu| write!(f, "/gpu{}", gpu.0))
    }
}

impl FromStr for Class {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            Refusal::new(
                "bad-class",
                "class",
                "giga-fuel|core-second / wasm|x86_64|aarch64 [/gpuN]",
                text,
                "not the name of a class",
            )
        };
        let mut parts = text.split('/');
        let unit = match parts.next() {
            Some("giga-fuel") => Unit::GigaFuel,
            Some("core-second") => Unit::CoreSecond,
            _ => return Err(bad()),
        };
        let arch = match parts.next() {
            Some("wasm") => Arch::Wasm,
            Some("x86_64") => Arch::X86_64,
            Some("aarch64") => Arch::Aarch64,
            _ => return Err(bad()),
        };
        let gpu = match parts.next() {
            None => None,
            Some(name) => {
                let number = name.strip_prefix("gpu").ok_or_else(bad)?;
                Some(GpuModel(number.parse().map_err(|_| bad())?))
            }
        };
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { unit, arch, gpu })
    }
}

/// Where a machine stands: one of 64 regions of the chain's registry.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub u8);

/// A set of regions, one bit each.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegionSet(pub u64);

impl RegionSet {
    /// Every region.
    pub const ANY: Self = Self(u64::MAX);

    /// Whether a region is in the set. Regions above 63 never are.
    #[must_use]
    pub fn contains(self, region: Region) -> bool {
        region.0 < 64 && self.0 & (1 << region.0) != 0
    }
}

/// What a machine or its owner has, one bit each.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// The owner is vetted as a provider. Set by the chain from its attestations; an ask that claims it is refused.
    pub const VETTED: Self = Self(1);
    /// The work runs inside a trusted execution environment (claimed by the provider).
    pub const TEE: Self = Self(1 << 1);
    /// The owner can be sent secrets: it has published an encryption key. Set by the chain, as [`Self::VETTED`] is.
    pub const PRIVATE: Self = Self(1 << 32);
    /// An issuer has attested whose the account is, and the account has shown it: two of one owner can be told from two of two. Set by the chain,
    /// as [`Self::VETTED`] is.
    pub const OWNED: Self = Self(1 << 33);
    /// What only the chain sets.
    pub const ATTESTED: Self = Self::VETTED.union(Self::PRIVATE).union(Self::OWNED);

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything in `needed` is here.
    #[must_use]
    pub const fn covers(self, needed: Self) -> bool {
        needed.0 & !self.0 == 0
    }
}

/// What one machine of an ask has.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Processor cores.
    pub cpu_cores: u16,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Free disk in MiB.
    pub disk_mib: u32,
    /// Graphics processors of the class's model.
    pub gpu_count: u16,
    /// The longest deal accepted, in seconds.
    pub duration_s_max: u32,
    /// Where it stands.
    pub region: Region,
    /// What it has.
    pub capabilities: Capabilities,
}

/// What a bid requires of the machine and its owner. A zero requires nothing.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Requirements {
    /// Processor cores, at least.
    pub cpu_cores_min: u16,
    /// Memory in MiB, at least.
    pub memory_mib_min: u32,
    /// Disk in MiB, at least.
    pub disk_mib_min: u32,
    /// Graphics processors, at least.
    pub gpu_count_min: u16,
    /// The deal may last this long, in seconds.
    pub duration_s_min: u32,
    /// Reputation of the provider (0 to 1,000), at least.
    pub reputation_min: u16,
    /// Regions allowed.
    pub regions: RegionSet,
    /// Capabilities that must all be there.
    pub capabilities: Capabilities,
}

impl Requirements {
    /// Any machine anywhere.
    pub const ANY: Self = Self {
        cpu_cores_min: 0,
        memory_mib_min: 0,
        disk_mib_min: 0,
        gpu_count_min: 0,
        duration_s_min: 0,
        reputation_min: 0,
        regions: RegionSet::ANY,
        capabilities: Capabilities::NONE,
    };

    /// Whether a machine whose owner has this reputation will do.
    #[must_use]
    pub fn accept(&self, machine: &Machine, reputation: u16) -> bool {
        machine.cpu_cores >= self.cpu_cores_min
            && machine.memory_mib >= self.memory_mib_min
            && machine.disk_mib >= self.disk_mib_min
            && machine.gpu_count >= self.gpu_count_min
            && machine.duration_s_max >= self.duration_s_min
            && reputation >= self.reputation_min
            && self.regions.contains(machine.region)
            && machine.capabilities.covers(self.capabilities)
    }
}

/// A provider's offer.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// What is sold.
    pub class: Class,
    /// Micro-tokens per unit.
    pub price: Price,
    /// Units that may be in deals at one time.
    pub units: Units,
    /// The smallest fill accepted.
    pub fill_min: Units,
    /// The machine.
    pub machine: Machine,
    /// Not matched from this block time on.
    pub expires_at: TimeMs,
}

/// What happens to the part of a bid that does not match at once.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FillRule {
    /// It rests in the book until it expires.
    Rest,
    /// It is cancelled.
    ImmediateOrCancel,
    /// The whole bid matches at once or none of it.
    FillOrKill,
    /// The bid rests until all of it can match at once.
    AllOrNone,
}

/// What happens when a bid meets an ask of its own account.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfMatch {
    /// The ask is passed over.
    Skip,
    /// The resting ask is cancelled.
    CancelResting,
    /// The bid is cancelled.
    CancelIncoming,
}

/// A renter's order.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bid {
    /// What is wanted.
    pub class: Class,
    /// Micro-tokens per unit, at most.
    pub price_max: Price,
    /// Units wanted: segments × `lot`.
    pub units: Units,
    /// Fills are multiples of this: the units of one segment.
    pub lot: Units,
    /// The smallest fill accepted.
    pub fill_min: Units,
    /// The most deals the bid may be split into.
    pub deals_max: u16,
    /// What the machine must have.
    pub requirements: Requirements,
    /// What happens to the rest.
    pub fill_rule: FillRule,
    /// Meeting oneself.
    pub self_match: SelfMatch,
    /// Not matched from this block time on.
    pub expires_at: TimeMs,
    /// What is to be done.
    pub work: Work,
}

/// What a bid wants done.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Run a job and prove it.
    Job(Box<JobOrder>),
    /// Be there for some time.
    Lease(Box<LeaseOrder>),
}

impl Work {
    /// The job, if it is one.
    #[must_use]
    pub fn job(&self) -> Option<&JobOrder> {
        match self {
            Self::Job(job) => Some(job),
            Self::Lease(_) => None,
        }
    }

    /// The lease, if it is one.
    #[must_use]
    pub fn lease(&self) -> Option<&LeaseOrder> {
        match self {
            Self::Lease(lease) => Some(lease),
            Self::Job(_) => None,
        }
    }

    /// How the results are checked; a lease has none.
    #[must_use]
    pub fn check(&self) -> Check {
        self.job().map_or(Check::Lottery, |job| job.check)
    }

    /// How a deal goes on in time. A lease is paid by the interval, and has no batches.
    #[must_use]
    pub fn pace(&self) -> Pace {
        match self {
            Self::Job(job) => job.pace,
            Self::Lease(lease) => Pace { attempts_max: lease.attempts_max, ..Pace::default() },
        }
    }

    /// Segments drawn in each batch; none in a lease.
    #[must_use]
    pub fn samples(&self) -> u16 {
        self.job().map_or(0, |job| job.samples)
    }

    /// From the match: the provider must begin within this.
    #[must_use]
    pub fn ack_within(&self) -> DurationMs {
        match self {
            Self::Job(job) => job.ack_within,
            Self::Lease(lease) => lease.ack_within,
        }
    }

    /// The provider's deposit in basis points of the deal's price.
    #[must_use]
    pub fn deposit_basis_points(&self) -> u32 {
        match self {
            Self::Job(job) => job.deposit_basis_points,
            Self::Lease(lease) => lease.deposit_basis_points,
        }
    }
}

/// Which side of the book.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// A provider's offer.
    Ask,
    /// A renter's order.
    Bid,
}

pub(crate) fn within(field: &'static str, got: u64, min: u64, max: u64) -> Result<(), Refusal> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(Refusal::new(
        "out-of-range",
        field,
        format!("{min}..={max}"),
        got,
        "a number is out of range",
    ))
}

fn live(field: &'static str, expires_at: TimeMs, now: TimeMs) -> Result<(), Refusal> {
    if expires_at > now {
        return Ok(());
    }
    Err(Refusal::new("expired", field, format!("after {now}"), expires_at, "the order has expired"))
}

impl Ask {
    /// Whether the ask makes sense by itself at block time `now`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self, now: TimeMs) -> Result<(), Refusal> {
        within("price", self.price.0, 1, u64::MAX)?;
        within("units", self.units.0, 1, UNITS_MAX.0)?;
        within("fill_min", self.fill_min.0, 1, self.units.0)?;
        within("machine.cpu_cores", u64::from(self.machine.cpu_cores), 1, u64::from(u16::MAX))?;
        within("machine.region", u64::from(self.machine.region.0), 0, 63)?;
        if self.machine.capabilities.0 & Capabilities::ATTESTED.0 != 0 {
            return Err(Refusal::new(
                "reserved",
                "machine.capabilities",
                "without bits 0 (vetted) and 32 (private)",
                self.machine.capabilities.0,
                "what the chain attests cannot be claimed in an ask",
            ));
        }
        live("expires_at", self.expires_at, now)
    }
}

impl Bid {
    /// Whether the bid makes sense by itself at block time `now`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self, now: TimeMs) -> Result<(), Refusal> {
        within("price_max", self.price_max.0, 1, u64::MAX)?;
        within("units", self.units.0, 1, UNITS_MAX.0)?;
        within("lot", self.lot.0, 1, self.units.0)?;
        within("fill_min", self.fill_min.0, 1, self.units.0)?;
        within("deals_max", u64::from(self.deals_max), 1, 64)?;
        if !self.units.0.is_multiple_of(self.lot.0) {
            return Err(Refusal::new(
                "not-a-multiple",
                "units",
                format!("a multiple of lot {}", self.lot),
                self.units,
                "units must be whole segments",
            ));
        }
        live("expires_at", self.expires_at, now)?;
        let (unit, message) = match &self.work {
            Work::Job(_) => {
                (Unit::GigaFuel, "a job is paid by proved work: its class is giga-fuel")
            }
            Work::Lease(_) => {
                (Unit::CoreSecond, "a lease is paid by time: its class is core-second")
            }
        };
        if self.class.unit != unit {
            let limit = Class { unit, ..self.class };
            return Err(Refusal::new("wrong-unit", "class.unit", limit, self.class, message));
        }
        match &self.work {
            Work::Job(job) => job.validate(self.units, self.lot),
            Work::Lease(lease) => {
                lease.validate(self.units, self.lot).and_then(|()| self.validate_lease(lease))
            }
        }
        .map_err(|refusal| refusal.within("work"))
    }

    /// A lease is one machine's, from its beginning to its end; more machines are more bids.
    fn validate_lease(&self, lease: &LeaseOrder) -> Result<(), Refusal> {
        within("deals_max", u64::from(self.deals_max), 1, 1)?;
        within("fill_min", self.fill_min.0, self.units.0, self.units.0)?;
        let cores = u64::from(self.requirements.cpu_cores_min);
        within("requirements.cpu_cores_min", cores, u64::from(lease.cores), u64::from(u16::MAX))?;
        let seconds = lease.duration(self.units).0 / 1_000;
        let wanted = u64::from(self.requirements.duration_s_min);
        within("requirements.duration_s_min", wanted, seconds, u64::from(u32::MAX))
    }

    /// Whether modules, inputs and outputs are for those only who have to execute them: the bid asks for providers that can be sent secrets.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.requirements.capabilities.covers(Capabilities::PRIVATE)
    }

    /// The segments that this many units buy.
    #[must_use]
    pub fn segments_of(&self, units: Units) -> u32 {
        u32::try_from(units.0 / self.lot.0.max(1)).unwrap_or(u32::MAX)
    }
}

/// Who placed an order: the account, what the chain attests of it and its reputation at that moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Party {
    /// The account.
    pub address: Address,
    /// Capabilities that the chain attests, such as [`Capabilities::VETTED`].
    pub attested: Capabilities,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_read_back() {
        for text in ["giga-fuel/wasm", "core-second/x86_64", "core-second/aarch64/gpu7"] {
            assert_eq!(text.parse::<Class>().unwrap().to_string(), text);
        }
        for bad in ["", "giga-fuel", "giga-fuel/mips", "giga-fuel/wasm/7", "giga-fuel/wasm/gpu1/x"]
        {
            assert_eq!(bad.parse::<Class>().unwrap_err().code, "bad-class", "{bad}");
        }
    }

    #[test]
    fn each_requirement_can_refuse_a_machine() {
        let machine = Machine {
            cpu_cores: 4,
            memory_mib: 1024,
            disk_mib: 10,
            gpu_count: 0,
            duration_s_max: 60,
            region: Region(3),
            capabilities: Capabilities::TEE,
        };
        let any = Requirements::ANY;
        assert!(any.accept(&machine, 0));
        for (name, needs) in [
            ("cpu", Requirements { cpu_cores_min: 5, ..any }),
            ("memory", Requirements { memory_mib_min: 1025, ..any }),
            ("disk", Requirements { disk_mib_min: 11, ..any }),
            ("gpu", Requirements { gpu_count_min: 1, ..any }),
            ("duration", Requirements { duration_s_min: 61, ..any }),
            ("reputation", Requirements { reputation_min: 501, ..any }),
            ("region", Requirements { regions: RegionSet(!(1 << 3)), ..any }),
            ("capability", Requirements { capabilities: Capabilities::VETTED, ..any }),
        ] {
            assert!(!needs.accept(&machine, 500), "{name}");
        }
    }
}

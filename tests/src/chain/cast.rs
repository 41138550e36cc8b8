//! Who lives in a world, with how much money, and how fast things go.

use gongsuan_consensus::ValidatorSet;
use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{Genesis, Role};
use gongsuan_market::{CapacityRules, Rules};
use gongsuan_types::{Address, Amount, DurationMs, Hash, Price, SecretKey, TimeMs, Units};

use super::actor::{Actor, Mind};
use super::minds::{
    Aim, Auditor, Care, Challenger, Conduct, Host, Judge, Law, PLEDGE, Prover, Provider, Purse,
    Renter, Service, Temper, Tenant,
};

/// What everybody but validators and the issuer begins with.
pub(crate) const START: Amount = Amount::new(1_000_000_000);

/// How fast things go, and what orders say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Segments of a job, at most; at least 2.
    pub(crate) segments_max: u32,
    /// Segments drawn in each deal.
    pub(crate) samples: u16,
    /// The provider's deposit, of the price.
    pub(crate) deposit_basis_points: u32,
    /// How likely a renter orders when it could, in percent.
    pub(crate) haste: u64,
    /// How long an order rests.
    pub(crate) order_life: DurationMs,
    /// Deadlines of orders.
    pub(crate) ack_within: DurationMs,
    pub(crate) run_within: DurationMs,
}

impl Pace {
    /// Deadlines that outlast what a network suffers in a world: an honest party cannot be late through no fault of its own.
    pub(crate) const PATIENT: Self = Self {
        segments_max: 12,
        samples: 2,
        deposit_basis_points: 10_000,
        haste: 40,
        order_life: DurationMs(60_000),
        ack_within: DurationMs(90_000),
        run_within: DurationMs(90_000),
    };
    /// Where blocks follow each other and nothing fails.
    pub(crate) const BRISK: Self =
        Self { ack_within: DurationMs(10_000), run_within: DurationMs(20_000), ..Self::PATIENT };
}

/// Named actors, each with one way to cheat, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Persona {
    /// Offers, runs, commits, serves.
    HonestProvider,
    /// Orders, serves its inputs, reveals.
    HonestRenter,
    /// Runs again what is drawn for it.
    HonestAuditor,
    /// A provider that runs nothing.
    LazyProvider,
    /// A provider that makes up a third of its results.
    PartialFaker,
    /// A lazy provider that serves the list of what it committed to nobody.
    WithholdingProvider,
    /// An auditor that calls right whatever the lazy provider committed.
    ColludingAuditor,
    /// A renter that serves its inputs to nobody.
    GriefingRenter,
    /// A renter that never reveals its secret.
    SilentRenter,
    /// A validator that judges.
    HonestJudge,
    /// A validator that judges and says the opposite of what it found.
    LyingJudge,
    /// Somebody who runs a segment of each deal again and challenges what is wrong.
    Watcher,
    /// Somebody who challenges what is right.
    FalseChallenger,
    /// Leases a machine out, and shows for each interval that it was there.
    HonestHost,
    /// Leases a machine, and hands over a token for each interval.
    HonestTenant,
    /// A host that is gone after the first interval.
    VanishingHost,
    /// A host that serves nothing, and asks to be paid with made-up tokens and before time.
    GrabbingHost,
    /// A tenant that hands no token over.
    Miser,
    /// A provider that claims and offers twice the machine that it has.
    Overclaimer,
}

impl Persona {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HonestProvider => "honest provider",
            Self::HonestRenter => "honest renter",
            Self::HonestAuditor => "honest auditor",
            Self::LazyProvider => "lazy provider",
            Self::PartialFaker => "partial faker",
            Self::WithholdingProvider => "withholding provider",
            Self::ColludingAuditor => "colluding auditor",
            Self::GriefingRenter => "griefing renter",
            Self::SilentRenter => "silent renter",
            Self::HonestJudge => "honest judge",
            Self::LyingJudge => "lying judge",
            Self::Watcher => "watcher",
            Self::FalseChallenger => "false challenger",
            Self::HonestHost => "honest host",
            Self::HonestTenant => "honest tenant",
            Self::VanishingHost => "vanishing host",
            Self::GrabbingHost => "grabbing host",
            Self::Miser => "miser",
            Self::Overclaimer => "overclaimer",
        }
    }

    /// Whether it keeps to the protocol.
    #[must_use]
    pub fn is_honest(self) -> bool {
        matches!(
            self,
            Self::HonestProvider
                | Self::HonestRenter
                | Self::HonestAuditor
                | Self::HonestJudge
                | Self::Watcher
                | Self::HonestHost
                | Self::HonestTenant
        )
    }

    /// Whether it has a validator's office.
    pub(crate) fn is_judge(self) -> bool {
        matches!(self, Self::HonestJudge | Self::LyingJudge)
    }

    fn roles(self) -> &'static [Role] {
        match self {
            Self::HonestProvider
            | Self::LazyProvider
            | Self::PartialFaker
            | Self::WithholdingProvider
            | Self::Overclaimer
            | Self::HonestHost
            | Self::VanishingHost
            | Self::GrabbingHost => &[Role::Provider],
            Self::HonestRenter
            | Self::GriefingRenter
            | Self::SilentRenter
            | Self::HonestTenant
            | Self::Miser => &[Role::Renter],
            Self::HonestAuditor | Self::ColludingAuditor => &[Role::Auditor],
            Self::HonestJudge | Self::LyingJudge | Self::Watcher | Self::FalseChallenger => &[],
        }
    }
}

/// A world's people.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    pub(crate) personas: Vec<Persona>,
    pub(crate) pace: Pace,
    pub(crate) rules: Rules,
    /// Jobs that each renter orders.
    pub(crate) jobs: u32,
}

/// Everybody honest.
pub(crate) const HONEST: [Persona; 8] = [
    Persona::HonestProvider,
    Persona::HonestProvider,
    Persona::HonestProvider,
    Persona::HonestRenter,
    Persona::HonestRenter,
    Persona::HonestAuditor,
    Persona::HonestAuditor,
    Persona::HonestAuditor,
];

/// Who lives in a world beside honest providers, renters and auditors, and under which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Company {
    /// The others.
    pub others: &'static [Persona],
    /// Whether the genesis requires certificates of capacity.
    pub certified: bool,
}

/// On a chain that requires no certificates.
const fn plain(others: &'static [Persona]) -> Company {
    Company { others, certified: false }
}

/// On a chain that requires them.
const fn certified(others: &'static [Persona]) -> Company {
    Company { others, certified: true }
}

/// All companies.
pub const COMPANIES: [Company; 15] = {
    use Persona::{
        ColludingAuditor, FalseChallenger, GrabbingHost, GriefingRenter, HonestHost, HonestTenant,
        LazyProvider, LyingJudge, Miser, Overclaimer, PartialFaker, SilentRenter, VanishingHost,
        Watcher, WithholdingProvider,
    };
    [
        plain(&[]),
        plain(&[LazyProvider]),
        plain(&[PartialFaker]),
        plain(&[WithholdingProvider]),
        plain(&[LazyProvider, ColludingAuditor, Watcher]),
        plain(&[FalseChallenger]),
        plain(&[PartialFaker, Watcher, LyingJudge]),
        plain(&[GriefingRenter]),
        plain(&[SilentRenter]),
        plain(&[HonestHost, HonestHost, HonestTenant]),
        plain(&[VanishingHost, HonestHost, HonestTenant, HonestTenant]),
        plain(&[GrabbingHost, HonestHost, HonestTenant]),
        plain(&[HonestHost, HonestTenant, Miser]),
        certified(&[HonestHost, HonestTenant]),
        certified(&[Overclaimer, Watcher]),
    ]
};

impl Company {
    /// The company of a seed. Every fifteen seeds show all of them, and 270 each on every kind of network.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let round = seed / crate::sim::CHAIN_PROFILES.len() as u64;
        let pick = seed.wrapping_add(round) % COMPANIES.len() as u64;
        COMPANIES[usize::try_from(pick).unwrap_or(0)]
    }
}

/// Lanes of an honest machine.
const LANES: u16 = 8;

impl Cast {
    /// Honest people, and some who are not.
    pub(crate) fn with(company: Company, pace: Pace, jobs: u32) -> Self {
        let personas = HONEST.into_iter().chain(company.others.iter().copied()).collect();
        let capacity = CapacityRules {
            required: true,
            module: Hash::of("gongsuan/chain/module", b"probe"),
            steps: 1_000,
            answer_within: pace.run_within,
            samples: 4,
            audit_price: Price(10_000),
            stake_micro: 1_000_000,
            probes_paid: 4,
            redraw_every: DurationMs(300_000),
            ..CapacityRules::default()
        };
        let rules = Rules {
            challenge_window: DurationMs(30_000),
            reveal_window: DurationMs(60_000),
            audit_window: DurationMs(60_000),
            dispute_window: DurationMs(90_000),
            serve_window: DurationMs(60_000),
            rematch_window: DurationMs(60_000),
            seal_window: DurationMs(20_000),
            pledge_min_micro: u64::try_from(PLEDGE.micro()).unwrap_or(u64::MAX),
            pledge_window: DurationMs(300_000),
            capacity: if company.certified { capacity } else { CapacityRules::default() },
            ..Rules::default()
        };
        Self { personas, pace, rules, jobs }
    }

    fn key(&self, index: usize) -> SecretKey {
        SecretKey::from_seed(format!("gongsuan/chain/actor/{index}").as_bytes())
    }

    fn address(&self, index: usize) -> Address {
        self.key(index).address()
    }

    /// Who grants the roles, in the first transaction of the chain.
    pub(crate) fn issuer() -> SecretKey {
        SecretKey::from_seed(b"gongsuan/chain/issuer")
    }

    /// The roles to grant.
    pub(crate) fn grants(&self) -> Vec<(Address, Role)> {
        let each = self.personas.iter().enumerate().flat_map(|(index, persona)| {
            let address = self.address(index);
            persona.roles().iter().map(move |role| (address, *role))
        });
        each.collect()
    }

    /// How the chain begins.
    pub(crate) fn genesis(&self, validators: &ValidatorSet) -> Genesis {
        let people = (0..self.personas.len()).map(|index| self.address(index));
        let seats = validators.keys().iter().map(|key| Address(key.0));
        let accounts = people.chain(seats).chain([Self::issuer().address()]);
        let accounts = accounts.map(|address| GenesisAccount { address, balance: START });
        let names = validators.keys().iter().enumerate();
        Genesis {
            name: "a simulated chain".into(),
            time: TimeMs(1),
            params: Params {
                admission: Admission::Vetted,
                market: self.rules.clone(),
                ..Params::default()
            },
            accounts: accounts.collect(),
            validators: names
                .map(|(n, key)| Validator { name: format!("v{n}"), key: *key })
                .collect(),
            issuers: vec![Self::issuer().address()],
        }
    }

    /// The people themselves, and the validators as judges.
    pub(crate) fn actors(&self, seed: u64, seats: &[SecretKey]) -> Vec<Actor> {
        let providers = |wanted: Persona| {
            let all = self.personas.iter().enumerate();
            all.filter(move |(_, persona)| **persona == wanted)
                .map(|(index, _)| self.address(index))
        };
        let lazy: Vec<Address> = providers(Persona::LazyProvider).collect();
        // Judges are those who have the seats.
        let is_person = |(_, persona): &(usize, &Persona)| **persona != Persona::LyingJudge;
        let all = self.personas.iter().enumerate().filter(is_person).map(|(index, persona)| {
            let number = index as u64;
            let own = seed * 100 + number;
            // Cheats are cheap, so that they get work.
            let price = Price(if persona.is_honest() { 100_000 + 5_000 * number } else { 90_000 });
            let machine = || Prover::new(LANES, LANES);
            let provider = |conduct| -> Box<dyn Mind> {
                Box::new(Provider::new(conduct, price, Units(16), machine()))
            };
            let host =
                |service| -> Box<dyn Mind> { Box::new(Host::new(service, price, machine())) };
            let tenant = |purse| -> Box<dyn Mind> {
                Box::new(Tenant::new(purse, self.pace, self.jobs, own))
            };
            let renter = |temper| -> Box<dyn Mind> {
                Box::new(Renter::new(temper, self.pace, self.jobs, own))
            };
            let mind: Box<dyn Mind> = match persona {
                Persona::HonestProvider => provider(Conduct::Honest),
                Persona::LazyProvider => provider(Conduct::Lazy),
                Persona::PartialFaker => provider(Conduct::Fakes(33)),
                Persona::WithholdingProvider => provider(Conduct::Withholds),
                Persona::Overclaimer => {
                    let machine = Prover::new(2 * LANES, LANES);
                    Box::new(Provider::new(Conduct::Overclaims, price, Units(16), machine))
                }
                Persona::HonestHost => host(Service::Honest),
                Persona::VanishingHost => host(Service::Vanishes),
                Persona::GrabbingHost => host(Service::Grabs),
                Persona::HonestTenant => tenant(Purse::Open),
                Persona::Miser => tenant(Purse::Shut),
                Persona::HonestRenter => renter(Temper::Honest),
                Persona::GriefingRenter => renter(Temper::WithholdsInput),
                Persona::SilentRenter => renter(Temper::WithholdsSecret),
                Persona::Watcher => Box::new(Challenger::new(Aim::Truth)),
                Persona::FalseChallenger => Box::new(Challenger::new(Aim::Harm)),
                Persona::HonestJudge => Box::new(Judge::new(Law::Honest, self.key(index))),
                Persona::LyingJudge => Box::new(Judge::new(Law::Lies, self.key(index))),
                Persona::HonestAuditor => Box::new(Auditor::new(Care::Honest)),
                Persona::ColludingAuditor => {
                    Box::new(Auditor::new(Care::ColludesWith(lazy.clone())))
                }
            };
            Actor::new(*persona, self.key(index), mind)
        });
        // One seat of four may lie.
        let liars = usize::from(self.personas.contains(&Persona::LyingJudge));
        let judges = seats.iter().enumerate().map(|(seat, key)| {
            let lies = seat < liars;
            let persona = if lies { Persona::LyingJudge } else { Persona::HonestJudge };
            let law = if lies { Law::Lies } else { Law::Honest };
            Actor::new(persona, key.clone(), Box::new(Judge::new(law, key.clone())))
        });
        all.chain(judges).collect()
    }
}

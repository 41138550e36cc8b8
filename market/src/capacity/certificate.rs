//! The record of a certificate, and what its owner does with it.

use gongsuan_types::capacity::Capacity;
use gongsuan_types::order::Machine;
use gongsuan_types::{Address, Amount, DealId, Height, TimeMs};
use serde::{Deserialize, Serialize};

use crate::book::Why;
use crate::{Event, Failure, HoldId, Market, MarketError, Outcome, Settlement};

/// What a provider claims, what it has shown, and what stands behind it.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// What it is asked to show, now or the next time.
    pub claim: Capacity,
    /// Where the asking stands.
    pub probe: Probe,
    /// Money set aside, beside what an open probe holds.
    pub held: Amount,
    /// What it has shown the last time; nothing yet, if this is the first.
    pub shown: Option<Shown>,
    /// Probes so far.
    pub probes: u32,
}

/// Whether a provider is being asked.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// No.
    No,
    /// In this block it wanted to be; the next one has the seed.
    Asked(Height),
    /// By this deal.
    Open(DealId),
}

/// What a machine has shown.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// So many lanes at once, with so much memory each.
    pub capacity: Capacity,
    /// Fuel per second of all lanes together, at least: between two blocks, so slower than it is.
    pub fuel_per_s: u64,
    /// When it was accepted.
    pub at: TimeMs,
}

/// Why a certificate is gone.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lapse {
    /// A probe failed.
    Failed(Failure),
    /// Its owner gave it up.
    GivenUp,
    /// What was set aside does not pay for another probe.
    UsedUp,
}

impl Market {
    /// A provider's certificate, or the claim that may become one.
    #[must_use]
    pub fn certificate(&self, provider: &Address) -> Option<&Certificate> {
        self.table.certificates.get(provider)
    }

    /// All certificates and claims, by provider.
    pub fn certificates(&self) -> impl Iterator<Item = (&Address, &Certificate)> {
        self.table.certificates.iter()
    }

    /// A provider wants to show what its machine has.
    pub(crate) fn prove_capacity(
        &mut self,
        provider: Address,
        claim: Capacity,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let rules = &self.rules.capacity;
        if !rules.is_on() {
            return Err(MarketError::Mismatch {
                field: "capacity",
                limit: "on a chain whose genesis names a program (params.market.capacity.module)"
                    .into(),
                got: "a chain that gives no certificates".into(),
            });
        }
        claim.validate()?;
        if !claim.challenge(gongsuan_types::Hash::ZERO, rules.steps).fits() {
            return Err(MarketError::Mismatch {
                field: "mebibytes",
                limit: format!(
                    "less: {} steps and the memory of a lane exceed one segment's fuel",
                    rules.steps
                ),
                got: claim.mebibytes.to_string(),
            });
        }
        let before = self.certificate(&provider).copied();
        if let Some(Certificate { probe: Probe::Asked(_) | Probe::Open(_), .. }) = before {
            return Err(MarketError::Mismatch {
                field: "capacity",
                limit: "once at a time: answer the open probe first".into(),
                got: "a second claim".into(),
            });
        }
        let (stake, audits) = self.probe_costs(claim).ok_or(MarketError::Overflow)?;
        let paid = audits.mul_div_floor(u64::from(rules.probes_paid), 1);
        let wanted = paid.and_then(|paid| paid.checked_add(stake)).ok_or(MarketError::Overflow)?;
        let held = before.map_or(Amount::ZERO, |before| before.held);
        let amount = wanted.saturating_sub(held);
        let hold = HoldId::Capacity(provider);
        if !amount.is_zero() {
            outcome.settlements.push(Settlement::Hold { hold, owner: provider, amount });
        }
        let held = held.max(wanted);
        let certificate = Certificate {
            claim,
            probe: Probe::Asked(self.now.height),
            held,
            shown: before.and_then(|before| before.shown),
            probes: before.map_or(0, |before| before.probes),
        };
        outcome.events.push(Event::CapacityClaimed { provider, claim, held });
        self.table.put_certificate(provider, Some(certificate));
        Ok(())
    }

    /// A provider gives its certificate up, for what it set aside.
    pub(crate) fn give_up_capacity(
        &mut self,
        provider: Address,
        outcome: &mut Outcome,
    ) -> Result<(), MarketError> {
        let certificate = self.certificate(&provider).copied();
        let Some(certificate @ Certificate { probe: Probe::No, .. }) = certificate else {
            return Err(MarketError::Mismatch {
                field: "sender",
                limit: "a provider with a certificate that is not being probed".into(),
                got: "another".into(),
            });
        };
        self.lapse(provider, &certificate, Lapse::GivenUp, outcome);
        Ok(())
    }

    /// A certificate is gone, and with it what was listed under it.
    pub(super) fn lapse(
        &mut self,
        provider: Address,
        certificate: &Certificate,
        why: Lapse,
        outcome: &mut Outcome,
    ) {
        let amount = certificate.held;
        if !amount.is_zero() {
            outcome.settlements.push(Settlement::Void { hold: HoldId::Capacity(provider), amount });
        }
        self.table.put_certificate(provider, None);
        outcome.events.push(Event::Uncertified { provider, why });
        if self.rules.capacity.required {
            self.unlist(provider, outcome);
        }
    }

    /// Withdraws what an account lists beyond what its certificate shows, the newest asks first.
    pub(super) fn unlist(&mut self, provider: Address, outcome: &mut Outcome) {
        loop {
            let listed = self.table.listed.get(&provider);
            let Some((cores, memory, newest)) =
                listed.and_then(|all| Some((all.cores, all.memory_mib, *all.asks.last()?)))
            else {
                return;
            };
            let shown = self.certificate(&provider).and_then(|certificate| certificate.shown);
            let (lanes, mebibytes) = limits(shown);
            if cores <= lanes && memory <= mebibytes {
                return;
            }
            let ask = self.table.orders.get(&newest).expect("listed").clone();
            self.end(ask, Why::Uncertified, outcome);
        }
    }

    /// Whether an account may list this machine beside what it lists.
    pub(crate) fn check_listing(
        &self,
        provider: Address,
        machine: &Machine,
    ) -> Result<(), MarketError> {
        if !self.rules.capacity.required {
            return Ok(());
        }
        #[cfg(feature = "faults")]
        if crate::faults::is(crate::faults::Fault::ListUncovered) {
            return Ok(());
        }
        let shown = self.certificate(&provider).and_then(|certificate| certificate.shown);
        let (cores, memory) = limits(shown);
        let listed = self.table.listed.get(&provider);
        let (cores_listed, memory_listed) =
            listed.map_or((0, 0), |all| (all.cores, all.memory_mib));
        for (field, most, listed, got) in [
            ("machine.cpu_cores", cores, cores_listed, u64::from(machine.cpu_cores)),
            ("machine.memory_mib", memory, memory_listed, u64::from(machine.memory_mib)),
        ] {
            let left = most.saturating_sub(listed);
            if got > left {
                let limit = match shown {
                    None => {
                        "covered by a certificate of capacity, and the account has none: prove \
                             what the machine has first (prove-capacity)"
                            .into()
                    }
                    Some(_) => format!(
                        "at most {left}: the certificate shows {most}, of which {listed} are listed; \
                         list less, or prove more (prove-capacity)"
                    ),
                };
                return Err(MarketError::Mismatch { field, limit, got: got.to_string() });
            }
        }
        Ok(())
    }
}

/// Cores and MiB of memory that may be listed.
fn limits(shown: Option<Shown>) -> (u64, u64) {
    shown.map_or((0, 0), |shown| {
        (u64::from(shown.capacity.lanes), u64::from(shown.capacity.memory_mib()))
    })
}

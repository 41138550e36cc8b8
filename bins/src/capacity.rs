//! Certificates of capacity, on the provider's side: the program that answers, what it reads, and keeping one.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::METER_VERSION;
use gongsuan_executor::guests::CAPACITY;
use gongsuan_market::{CapacityRules, Command, Deal, Kind};
use gongsuan_types::Hash;
use gongsuan_types::capacity::{Capacity, MEBIBYTES_MAX};
use gongsuan_types::job::JobSpec;
use gongsuan_types::order::{Ask, Machine};

use crate::client::ClientError;

/// How long a probe may take to certify a machine before its listing is given up.
const CERTIFY_MAX: Duration = Duration::from_secs(600);
/// Between two tries to list.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// The rules of a chain whose certificates this program can answer for.
#[must_use]
pub fn rules(required: bool) -> CapacityRules {
    CapacityRules {
        required,
        module: Hash::of_content(CAPACITY),
        meter: METER_VERSION,
        ..CapacityRules::default()
    }
}

/// A blob of a probe, which everybody has or can make: the program that comes with this one, and what the lanes read.
#[must_use]
pub fn blob(deal: &Deal, spec: &JobSpec, hash: Hash) -> Option<Vec<u8>> {
    let Kind::Probe { capacity, steps } = deal.terms.kind else { return None };
    let input = || capacity.challenge(spec.seed, steps).to_input();
    [CAPACITY.to_vec(), input()].into_iter().find(|bytes| Hash::of_content(bytes) == hash)
}

/// What has to be shown before these machines can be listed: all their cores at once, and as much memory for each as a lane may have.
#[must_use]
pub fn claim(machines: &[Machine]) -> Capacity {
    let cores = machines.iter().map(|machine| machine.cpu_cores);
    let lanes = cores.fold(0_u16, u16::saturating_add).max(1);
    let memory = machines.iter().map(|machine| machine.memory_mib).fold(0, u32::saturating_add);
    Capacity { lanes, mebibytes: memory.div_ceil(u32::from(lanes)).clamp(1, MEBIBYTES_MAX) }
}

/// Lists a machine, handing commands in by `execute`. On a chain that wants a certificate first, asks for the probe, which the running agent
/// answers, and lists no more memory than it shows.
///
/// # Errors
/// [`ClientError`], or that no certificate came in ten minutes.
pub fn list(
    ask: &Ask,
    claim: Capacity,
    execute: impl Fn(Command) -> Result<(), ClientError>,
) -> anyhow::Result<()> {
    match execute(Command::PlaceAsk(ask.clone())) {
        Ok(()) => return Ok(()),
        Err(error) if !wants_certificate(&error) => return Err(error.into()),
        Err(error) => tracing::info!(%error, "a certificate comes first"),
    }
    match execute(Command::ProveCapacity(claim)) {
        // Another listing of this account has asked for it.
        Err(ClientError::Refused(refusal)) if refusal.field.ends_with("capacity") => {}
        asked => asked.context("cannot ask for the probe")?,
    }
    let mut ask = ask.clone();
    let shown = u32::from(ask.machine.cpu_cores).saturating_mul(claim.mebibytes);
    ask.machine.memory_mib = ask.machine.memory_mib.min(shown);
    let deadline = Instant::now() + CERTIFY_MAX;
    loop {
        std::thread::sleep(TRY_EVERY);
        match execute(Command::PlaceAsk(ask.clone())) {
            Ok(()) => return Ok(()),
            Err(error) if wants_certificate(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(error).context("the machine is not listed"),
        }
    }
}

/// Whether a listing was refused because the certificate does not cover it.
fn wants_certificate(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refusal) => {
            refusal.code == "mismatch" && refusal.field.contains("machine.")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use gongsuan_types::order::{Capabilities, Class, Machine, Region};
    use gongsuan_types::{Price, Refusal, TimeMs, Units};

    use super::*;

    fn ask(cores: u16, memory_mib: u32) -> Ask {
        Ask {
            class: Class::WASM,
            price: Price(1),
            units: Units(1),
            fill_min: Units(1),
            machine: Machine {
                cpu_cores: cores,
                memory_mib,
                disk_mib: 0,
                gpu_count: 0,
                duration_s_max: 60,
                region: Region(0),
                capabilities: Capabilities::NONE,
            },
            expires_at: TimeMs(1),
        }
    }

    fn refused(field: &'static str) -> ClientError {
        ClientError::Refused(Box::new(Refusal::new("mismatch", field, "less", "more", "no")))
    }

    #[test]
    fn a_claim_covers_the_listings_as_far_as_lanes_can_show_memory() {
        let all = |asks: &[Ask]| claim(&asks.iter().map(|ask| ask.machine).collect::<Vec<_>>());
        assert_eq!(all(&[ask(4, 2_048)]), Capacity { lanes: 4, mebibytes: 512 });
        assert_eq!(all(&[ask(2, 64_000)]), Capacity { lanes: 2, mebibytes: MEBIBYTES_MAX });
        assert_eq!(all(&[ask(3, 0)]).validate(), Ok(()));
        assert_eq!(all(&[ask(3, 600), ask(1, 1_000)]), Capacity { lanes: 4, mebibytes: 400 });
    }

    #[test]
    fn a_listing_that_wants_a_certificate_proves_first_and_lists_what_it_shows() {
        let sent = RefCell::new(Vec::new());
        let execute = |command: Command| {
            let is_first = sent.borrow().is_empty();
            sent.borrow_mut().push(command);
            if is_first { Err(refused("ops[0].machine.cpu_cores")) } else { Ok(()) }
        };
        let whole = Capacity { lanes: 3, mebibytes: 1_000 };
        list(&ask(2, 64_000), whole, execute).expect("listed");
        let wanted = [
            Command::PlaceAsk(ask(2, 64_000)),
            Command::ProveCapacity(whole),
            Command::PlaceAsk(ask(2, 2_000)),
        ];
        assert_eq!(*sent.borrow(), wanted);
        assert!(
            list(&ask(2, 1), whole, |_| Err(refused("price"))).is_err(),
            "others are for people"
        );
    }
}

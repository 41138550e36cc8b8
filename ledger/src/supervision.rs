//! Freezing accounts: no supervisor alone, and never without a public reason.

use gongsuan_market::Command;
use gongsuan_types::{Address, Refusal};

use crate::header::Event;
use crate::identity::{Freeze, REASON_BYTES_MAX, Role};
use crate::state::State;
use crate::tx::Op;

/// Whether a frozen account may still do this: what its deals need, so that nobody else is hurt by the freeze.
fn is_duty(op: &Op) -> bool {
    match op {
        Op::Market(command) => match command {
            Command::PlaceAsk(_)
            | Command::PlaceBid(_)
            | Command::Amend { .. }
            | Command::Pledge(_)
            | Command::Unpledge
            | Command::ProveCapacity(_)
            | Command::GiveUpCapacity
            | Command::Rate { .. } => false,
            Command::Cancel(_)
            | Command::Acknowledge(_)
            | Command::Progress { .. }
            | Command::Commit { .. }
            | Command::Reveal { .. }
            | Command::Audit { .. }
            | Command::Challenge { .. }
            | Command::Demand { .. }
            | Command::Serve { .. }
            | Command::DemandOutput { .. }
            | Command::AskInput(_)
            | Command::Stop(_)
            | Command::Seal { .. }
            | Command::Unseal { .. }
            | Command::Beat { .. }
            | Command::Leave(_)
            | Command::SealAudit { .. } => true,
        },
        Op::Judge(_) => true,
        Op::Transfer { .. }
        | Op::Grant { .. }
        | Op::Revoke { .. }
        | Op::Attest { .. }
        | Op::Freeze { .. }
        | Op::Free { .. }
        | Op::ShowOwner { .. }
        | Op::PublishKey { .. } => false,
    }
}

/// Whether an account may do this now.
///
/// # Errors
/// A [`Refusal`] with the reason, if it is frozen.
pub(crate) fn check(state: &State, sender: Address, op: &Op) -> Result<(), Refusal> {
    let freeze = state.accounts.freeze(&sender).filter(|freeze| freeze.since.is_some());
    match freeze {
        Some(freeze) if !is_duty(op) => {
            let message = format!("the account is frozen by the supervisors: {}", freeze.reason);
            let limit = "what its deals need";
            Err(Refusal::new("frozen", "sender", limit, sender, message))
        }
        Some(_) | None => Ok(()),
    }
}

fn must_supervise(state: &State, sender: Address) -> Result<(), Refusal> {
    if state.has_role(sender, Role::Supervisor) {
        return Ok(());
    }
    let message = format!("{} is not attested as supervisor", sender.short());
    Err(Refusal::new("not-a-supervisor", "sender", "a supervisor", sender, message))
}

/// Those of the votes that still count, and one more.
fn with(state: &State, mut votes: Vec<Address>, sender: Address) -> Vec<Address> {
    votes.retain(|voter| *voter != sender && state.has_role(*voter, Role::Supervisor));
    votes.push(sender);
    votes.sort_unstable();
    votes
}

/// A supervisor wants an account frozen.
pub(crate) fn freeze(
    state: &mut State,
    (sender, subject): (Address, Address),
    reason: &str,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    must_supervise(state, sender)?;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let (limit, message) = (format!("1..={REASON_BYTES_MAX} bytes"), "a freeze has a reason");
        return Err(Refusal::new("out-of-range", "reason", limit, reason.len(), message));
    }
    let before = state.accounts.freeze(&subject).cloned().unwrap_or_default();
    if before.since.is_some() {
        let message = "the account is frozen already";
        return Err(Refusal::new("frozen", "subject", "a free account", subject, message));
    }
    let reason = if before.votes.is_empty() { reason.to_owned() } else { before.reason };
    let votes = with(state, before.votes, sender);
    let frozen = votes.len() >= usize::from(state.params.supervisors_needed);
    let freeze = if frozen {
        // From here on votes are for freeing it.
        Freeze { reason, votes: Vec::new(), since: Some(state.time) }
    } else {
        Freeze { reason, votes, since: None }
    };
    state.accounts.put_freeze(subject, Some(freeze));
    events.push(Event::Supervised { by: sender, subject, frozen });
    if frozen {
        let outcome = state.market.withdraw(subject, None);
        crate::transition::carry_out_of_tx(state, outcome, events)?;
    }
    Ok(())
}

/// A supervisor wants an account freed, or takes its word back.
pub(crate) fn free(
    state: &mut State,
    (sender, subject): (Address, Address),
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    must_supervise(state, sender)?;
    let Some(mut freeze) = state.accounts.freeze(&subject).cloned() else {
        let message = "no supervisor has said anything of the account";
        return Err(Refusal::new("not-found", "subject", "a frozen account", subject, message));
    };
    let was_frozen = freeze.since.is_some();
    let is_over = if was_frozen {
        freeze.votes = with(state, freeze.votes, sender);
        freeze.votes.len() >= usize::from(state.params.supervisors_needed)
    } else {
        freeze.votes.retain(|voter| *voter != sender);
        freeze.votes.is_empty()
    };
    state.accounts.put_freeze(subject, (!is_over).then_some(freeze));
    events.push(Event::Supervised { by: sender, subject, frozen: was_frozen && !is_over });
    Ok(())
}

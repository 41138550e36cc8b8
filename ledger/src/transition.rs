//! The one function that applies a block.

use gongsuan_market::{Command, Moment, Outcome, Settlement};
use gongsuan_types::court::quorum;
use gongsuan_types::credential::Shown;
use gongsuan_types::order::{Bid, Party, Side};
use gongsuan_types::{Address, Amount, DurationMs, Hash, Height, PublicKey, Refusal, Term, TimeMs};

#[cfg(feature = "faults")]
use crate::faults::{self, Fault};
use crate::header::{Body, Event, Header, TxReceipt, TxStatus, receipt_root, tx_root};
use crate::identity::{ATTESTATION_MS_MAX, Attestation, OWNER, PublishedKey, Role};
use crate::state::State;
use crate::tx::{Op, Transaction};

/// A block as consensus ordered it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderedBlock<'a> {
    /// Its position.
    pub height: Height,
    /// The term in which it was proposed.
    pub term: Term,
    /// Block time, later than the block before.
    pub time: TimeMs,
    /// Who proposed it.
    pub proposer: PublicKey,
    /// Its hash in the log.
    pub block: Hash,
    /// The payload.
    pub body: &'a [u8],
}

/// What a block did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The header.
    pub header: Header,
    /// One for each transaction.
    pub receipts: Vec<TxReceipt>,
    /// Who sent each transaction.
    pub senders: Vec<Address>,
    /// What happened before and after the transactions: deadlines, draws, matches.
    pub events: Vec<Event>,
    /// How many of `events` happened before the transactions.
    pub before: usize,
}

/// More time between two blocks than this is a gap: an outage, a leader that held time back, or a chain that had nothing to do. The block after it fires
/// no deadline of a deal, so that nobody is fined for what could not be said meanwhile.
pub const GAP: DurationMs = DurationMs(2_000);

/// Applies a block. The payload's signatures have been checked (see [`crate::check_body`]); this checks everything that depends on the
/// state. A payload that does not decode counts as empty: consensus has ordered it, and every replica must go on alike.
///
/// # Panics
/// If heights or times do not follow, or money is not conserved: defects, after which nothing must be signed.
pub fn apply_block(state: &mut State, block: &OrderedBlock<'_>) -> Applied {
    assert_eq!(block.height, state.height.next(), "blocks are applied one after another");
    assert!(block.time > state.time, "block time rises");
    let before_time = std::mem::replace(&mut state.time, block.time);
    state.height = block.height;
    let body = Body::decode(block.body).unwrap_or_default();
    let moment = Moment { height: block.height, time: block.time, block: block.block };
    let auditors = state.auditors();
    let mut events = Vec::new();
    let outcome = if block.time.since(before_time) > GAP {
        state.market.begin_block_after_gap(moment, &auditors)
    } else {
        state.market.begin_block(moment, &auditors)
    };
    carry_out(state, outcome, &mut events);
    let before = events.len();
    let receipts: Vec<TxReceipt> = body.txs.iter().map(|tx| apply_tx(state, &tx.body)).collect();
    // No transaction can see what the treasury has, so all fees of the block go there at once.
    let fees = Amount::checked_sum(receipts.iter().map(|receipt| receipt.fee));
    let fees = fees.expect("bounded by the supply");
    if !fees.is_zero() {
        state.accounts.credit(Address::TREASURY, fees);
        #[cfg(feature = "faults")]
        if faults::is(Fault::FeesTwice) {
            state.accounts.credit(Address::TREASURY, fees);
        }
    }
    if !is_forgotten(block.height) {
        let outcome = state.market.end_block();
        carry_out(state, outcome, &mut events);
    }
    #[cfg(feature = "faults")]
    let old_tree = state.tree.clone();
    state.rehash();
    #[cfg(feature = "faults")]
    if faults::is(Fault::StaleRoot) && block.height.0.is_multiple_of(4) {
        state.tree = old_tree;
    }
    let ids: Vec<Hash> = receipts.iter().map(|receipt| receipt.id).collect();
    let header = Header {
        version: 1,
        chain_id: state.chain_id,
        height: block.height,
        term: block.term,
        parent: state.head,
        time: block.time,
        proposer: block.proposer,
        block: block.block,
        tx_root: tx_root(&ids),
        receipt_root: receipt_root(&receipts, &events),
        state_root: state.root(),
        history_root: state.history.root(),
        validators_hash: state.validators_hash,
        params_hash: state.params_hash,
        #[cfg(feature = "faults")]
        tx_count: u32::try_from(receipts.len()).unwrap_or(0) + counted(),
        #[cfg(not(feature = "faults"))]
        tx_count: u32::try_from(receipts.len()).expect("bounded by the body"),
        body_bytes: u32::try_from(block.body.len()).expect("bounded by consensus"),
    };
    state.head = header.hash();
    state.past.clone_from(&state.history);
    state.history.push(state.head);
    // With a planted fault the simulator's own invariants must notice.
    if cfg!(all(debug_assertions, not(feature = "faults"))) {
        crate::invariants::check(state).expect("money is conserved");
    }
    let senders = body.txs.iter().map(|tx| tx.body.sender).collect();
    Applied { header, receipts, senders, events, before }
}

#[cfg(feature = "faults")]
fn counted() -> u32 {
    let count = faults::count();
    if faults::is(Fault::CountInHeader) { u32::try_from(count / 64).unwrap_or(0) } else { 0 }
}

/// Whether a planted fault keeps a block from being matched.
fn is_forgotten(_height: Height) -> bool {
    #[cfg(feature = "faults")]
    if faults::is(Fault::ForgetToMatch) {
        return _height.0.is_multiple_of(4);
    }
    false
}

/// Whether a planted fault keeps half a transaction.
fn keeps_refused() -> bool {
    #[cfg(feature = "faults")]
    return faults::is(Fault::KeepRefused);
    #[cfg(not(feature = "faults"))]
    false
}

/// Whether a planted fault makes validators pay for their verdicts.
fn charges_judges() -> bool {
    #[cfg(feature = "faults")]
    return faults::is(Fault::ChargeJudges);
    #[cfg(not(feature = "faults"))]
    false
}

/// Carries out one settlement.
fn settle(state: &mut State, settlement: &Settlement) -> Result<(), Refusal> {
    #[cfg(feature = "faults")]
    match settlement {
        Settlement::Post { to, amount, .. } if faults::is(Fault::PayFromNothing) => {
            state.accounts.credit(*to, *amount);
            return Ok(());
        }
        Settlement::Void { .. } if faults::is(Fault::KeepRefunds) => return Ok(()),
        Settlement::Slash { hold, amount, .. } if faults::is(Fault::BurnFines) => {
            let (hold, amount) = (*hold, *amount);
            state.accounts.settle(&Settlement::Void { hold, amount })?;
            return state
                .accounts
                .hold(&hold)
                .map_or(Ok(()), |rest| state.accounts.debit(rest.owner, amount));
        }
        _ => {}
    }
    state.accounts.settle(settlement)
}

/// Outside a transaction nothing may fail: the money was set aside before.
fn carry_out(state: &mut State, outcome: Outcome, events: &mut Vec<Event>) {
    for settlement in &outcome.settlements {
        settle(state, settlement).expect("a block's settlements are covered by holds");
    }
    events.extend(outcome.settlements.into_iter().map(Event::Money));
    events.extend(outcome.events.into_iter().map(Event::Market));
}

/// The least fee for so many operations.
#[must_use]
pub fn fee_min(params: &crate::genesis::Params, ops: usize) -> Amount {
    let per_op = params.fee_per_op.micro().saturating_mul(ops as u128);
    Amount::new(params.fee_base.micro().saturating_add(per_op))
}

/// The least fee of a transaction. What a validator finds of an open case costs it nothing, once for each case: judging is its office, and it would
/// pay for the quarrels of others. Only a transaction of nothing but its own new verdicts is free, so nobody can order more of them than there are
/// validators and cases.
#[must_use]
pub fn fee_due(state: &State, tx: &Transaction) -> Amount {
    if crate::court::is_duty(state, tx) && !charges_judges() {
        Amount::ZERO
    } else {
        fee_min(&state.params, tx.ops.len())
    }
}

/// Whether a transaction could begin now: nonce, expiry, fee.
pub(crate) fn admissible(state: &State, tx: &Transaction) -> Result<(), Refusal> {
    tx.validate(state.chain_id)?;
    let account = state.accounts.account(&tx.sender);
    if tx.nonce != account.nonce {
        let message = "the nonce is not the sender's next";
        return Err(Refusal::new("bad-nonce", "nonce", account.nonce, tx.nonce, message));
    }
    if tx.expires_at <= state.time {
        let (limit, message) = (format!("after {}", state.time), "the transaction has expired");
        return Err(Refusal::new("expired", "expires_at", limit, tx.expires_at, message));
    }
    let least = fee_due(state, tx);
    if tx.fee < least {
        let message = "the fee is too low";
        return Err(Refusal::new(
            "fee-too-low",
            "fee",
            format!("at least {least}"),
            tx.fee,
            message,
        ));
    }
    if account.balance < tx.fee {
        let (limit, message) = (format!("at most {}", account.balance), "the fee cannot be paid");
        return Err(Refusal::new("insufficient-funds", "fee", limit, tx.fee, message));
    }
    Ok(())
}

fn apply_tx(state: &mut State, tx: &Transaction) -> TxReceipt {
    let id = tx.id();
    if let Err(refusal) = admissible(state, tx) {
        let status = TxStatus::Skipped { refusal };
        return TxReceipt { id, status, fee: Amount::ZERO, events: Vec::new() };
    }
    state.accounts.begin_tx(tx.sender, tx.fee);
    state.market.begin_tx();
    let mut events = Vec::new();
    let failed = (0u16..).zip(&tx.ops).find_map(|(index, op)| {
        apply_op(state, tx, op, &mut events).err().map(|refusal| (index, refusal))
    });
    let status = match failed {
        None => {
            state.accounts.commit();
            state.market.commit_tx();
            TxStatus::Applied
        }
        Some((op, refusal)) => {
            if keeps_refused() {
                state.accounts.commit();
                state.market.commit_tx();
            } else {
                state.accounts.abort();
                state.market.abort_tx();
            }
            events.clear();
            TxStatus::Failed { op, refusal: refusal.within(&format!("ops[{op}]")) }
        }
    };
    TxReceipt { id, status, fee: tx.fee, events }
}

fn apply_op(
    state: &mut State,
    tx: &Transaction,
    op: &Op,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let sender = tx.sender;
    crate::supervision::check(state, sender, op)?;
    match op {
        Op::Transfer { to, amount } => {
            if amount.is_zero() {
                let message = "nothing is transferred";
                return Err(Refusal::new("out-of-range", "amount", "above 0", 0, message));
            }
            state.accounts.debit(sender, *amount)?;
            state.accounts.credit(*to, *amount);
            events.push(Event::Transferred { from: sender, to: *to, amount: *amount });
        }
        Op::Grant { subject, role, expires_at } => {
            attest(state, tx, (*subject, *role, *expires_at), None, events)?;
        }
        Op::Attest { subject, role, expires_at, attributes } => {
            attest(state, tx, (*subject, *role, *expires_at), Some(*attributes), events)?;
        }
        Op::Revoke { subject, role } => {
            must_issue(state, tx, *role)?;
            if state.accounts.attestation(*subject, *role).is_none() {
                let message = format!("{} is not attested as {role}", subject.short());
                return Err(Refusal::new(
                    "not-found",
                    "subject",
                    "an attested account",
                    subject,
                    message,
                ));
            }
            state.accounts.put_attestation((*subject, *role), None);
            events.push(Event::Revoked { subject: *subject, role: *role });
            if *role == Role::Provider {
                let outcome = state.market.withdraw(*subject, Some(Side::Ask));
                carry_out_of_tx(state, outcome, events)?;
            }
        }
        Op::Market(command) => {
            match command {
                Command::PlaceAsk(_) => state.admits(sender, Role::Provider)?,
                Command::Amend { .. } => state.admits(sender, Role::Provider)?,
                Command::PlaceBid(bid) => {
                    state.admits(sender, Role::Renter)?;
                    can_be_answered(state, sender, bid)?;
                }
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
                | Command::Pledge(_)
                | Command::Unpledge
                | Command::SealAudit { .. }
                | Command::Beat { .. }
                | Command::Leave(_)
                | Command::ProveCapacity(_)
                | Command::GiveUpCapacity
                | Command::Rate { .. } => {}
            }
            let is_bid = matches!(command, Command::PlaceBid(_));
            let role = if is_bid { Role::Renter } else { Role::Provider };
            let party = Party { address: sender, attested: state.attested(sender, role) };
            let mut command = command.clone();
            if let Command::PlaceAsk(ask) = &mut command
                && let Some(attestation) = state.accounts.attestation(sender, role)
                && state.has_role(sender, role)
            {
                // What an ask promises of its owner is true as long as it stands.
                ask.expires_at = ask.expires_at.min(attestation.expires_at);
            }
            let outcome = state.market.submit(party, command)?;
            carry_out_of_tx(state, outcome, events)?;
        }
        Op::Freeze { subject, reason } => {
            crate::supervision::freeze(state, (sender, *subject), reason, events)?;
        }
        Op::Free { subject } => crate::supervision::free(state, (sender, *subject), events)?,
        Op::PublishKey { key, number } => {
            let before = state.accounts.encryption_key(&sender);
            let next = before.map_or(0, |before| before.number.saturating_add(1));
            if *number != next {
                let message = "the key's number is not the account's next";
                return Err(Refusal::new("out-of-order", "number", next, number, message));
            }
            let published = PublishedKey { key: *key, number: next, since: state.time };
            state.accounts.put_encryption_key(sender, published);
            events.push(Event::KeyPublished { owner: sender, key: *key, number: next });
        }
        Op::Judge(verdicts) => {
            for (case, votes) in crate::court::votes(state, verdicts)? {
                let needed = quorum(state.validators.len());
                let outcome = state.market.judge(case, &votes, needed)?;
                carry_out_of_tx(state, outcome, events)?;
            }
        }
        Op::ShowOwner { role, shown } => show_owner(state, sender, (*role, shown), events)?,
    }
    Ok(())
}

/// An account shows whose it is.
fn show_owner(
    state: &mut State,
    sender: Address,
    (role, shown): (Role, &Shown),
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let attested = state.accounts.attestation(sender, role);
    let attested = attested.filter(|attestation| attestation.expires_at > state.time);
    let Some(root) = attested.and_then(|attestation| attestation.attributes) else {
        let message = format!("{} is not attested as {role} with attributes", sender.short());
        let limit = "an attestation with attributes; ask the issuer for one";
        return Err(Refusal::new("not-found", "role", limit, role, message));
    };
    let attribute = &shown.attribute;
    if attribute.name != OWNER {
        let (got, message) = (attribute.name.escape_debug(), "another attribute is not an owner");
        return Err(Refusal::new("mismatch", "shown.attribute.name", OWNER, got, message));
    }
    if !shown.verify(root) {
        let message = "the attribute is not under the root that the issuer attested";
        return Err(Refusal::new("bad-proof", "shown.proof", root, "another root", message));
    }
    let owner = crate::identity::owner(&attribute.value);
    state.market.set_owner(sender, owner);
    events.push(Event::Owned { account: sender, owner });
    Ok(())
}

/// An issuer says that somebody has a role until some time.
fn attest(
    state: &mut State,
    tx: &Transaction,
    (subject, role, expires_at): (Address, Role, TimeMs),
    attributes: Option<Hash>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    must_issue(state, tx, role)?;
    let latest = TimeMs(state.time.0.saturating_add(ATTESTATION_MS_MAX));
    if expires_at <= state.time || expires_at > latest {
        let limit = format!("after {}, at most {latest}", state.time);
        let message = "an attestation lasts at most a year";
        return Err(Refusal::new("out-of-range", "expires_at", limit, expires_at, message));
    }
    let attestation = Attestation { issuer: tx.sender, expires_at, attributes };
    state.accounts.put_attestation((subject, role), Some(attestation));
    events.push(Event::Granted { subject, role, expires_at });
    Ok(())
}

/// Outputs of a private job are sealed to the renter, so it must have published a key.
fn can_be_answered(state: &State, sender: Address, bid: &Bid) -> Result<(), Refusal> {
    if !bid.is_private() || state.accounts.encryption_key(&sender).is_some() {
        return Ok(());
    }
    let message =
        "a private job's outputs are sealed to the renter, who has not published an encryption key";
    Err(Refusal::new("no-key", "sender", "an account with an encryption key", sender, message))
}

/// Inside a transaction a hold may be more than its owner has.
pub(crate) fn carry_out_of_tx(
    state: &mut State,
    outcome: Outcome,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    for settlement in &outcome.settlements {
        settle(state, settlement)?;
    }
    events.extend(outcome.settlements.into_iter().map(Event::Money));
    events.extend(outcome.events.into_iter().map(Event::Market));
    Ok(())
}

/// Issuers grant roles; only those of the genesis grant the role of issuer.
fn must_issue(state: &State, tx: &Transaction, role: Role) -> Result<(), Refusal> {
    let first = state.issuers.contains(&tx.sender);
    if first || (role != Role::Issuer && state.has_role(tx.sender, Role::Issuer)) {
        return Ok(());
    }
    let message = format!("{} may not grant or revoke {role}", tx.sender.short());
    Err(Refusal::new("not-an-issuer", "sender", "an issuer", tx.sender, message))
}

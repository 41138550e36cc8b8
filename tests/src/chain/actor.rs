//! Somebody with a key who looks at the chain and hands in transactions.

use gongsuan_ledger::tx::TX_VERSION;
use gongsuan_ledger::{Op, SignedTransaction, State, Transaction, fee_due};
use gongsuan_types::{Address, Amount, DurationMs, SecretKey, TimeMs, Verified};

use super::cast::Persona;
use super::work::Shelf;
use crate::sim::dice::Dice;

/// A transaction that is not in a block by then is void, and its sender tries again.
const PATIENCE: DurationMs = DurationMs(20_000);
/// The same for a validator's verdicts, which are free only while their case is open: one that comes too late does not count at all.
const PATIENCE_OF_OFFICE: DurationMs = DurationMs(4_000);
/// How often, in percent, an operation is first tried in a transaction that must be refused.
const DOOMED: u64 = 10;
/// Transactions of one actor on the way at one time.
const ON_THE_WAY_MAX: usize = 8;

/// What a mind sees, and what it may use.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// The chain, as everybody sees it.
    pub(crate) state: &'a State,
    /// The time on the wall: block time stands still when nobody has anything to order.
    pub(crate) now: TimeMs,
    pub(crate) me: Address,
    /// What is served off the chain.
    pub(crate) shelf: &'a mut Shelf,
    pub(crate) dice: &'a mut Dice,
    /// Nothing new is begun any more.
    pub(crate) closing: bool,
}

/// What an actor wants, given what it sees. Asked after blocks, and only when everything it asked for before is decided; it
/// must go by the state, because a block may be lost and a transaction may fail.
pub(crate) trait Mind: std::fmt::Debug {
    /// Operations, each for a transaction of its own.
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op>;

    /// What running segments has cost so far.
    fn effort(&self) -> Amount {
        Amount::ZERO
    }
}

/// An actor.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) persona: Persona,
    key: SecretKey,
    mind: Box<dyn Mind>,
    /// The nonce after the transactions on the way, and when they are void.
    waits: Option<(u64, TimeMs)>,
}

impl Actor {
    pub(crate) fn new(persona: Persona, key: SecretKey, mind: Box<dyn Mind>) -> Self {
        Self { persona, key, mind, waits: None }
    }

    pub(crate) fn effort(&self) -> Amount {
        self.mind.effort()
    }

    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Signed transactions for what it wants now.
    pub(crate) fn act(&mut self, look: &mut Look<'_>) -> Vec<SignedTransaction> {
        let state = look.state;
        let nonce = state.accounts().account(&look.me).nonce;
        if self.waits.is_some_and(|(after, void)| nonce < after && look.now < void) {
            return Vec::new();
        }
        let ops = self.mind.act(look);
        let is_office = self.persona.is_judge();
        let patience = if is_office { PATIENCE_OF_OFFICE } else { PATIENCE };
        let expires_at = look.now.plus(patience);
        // Now and then an operation is tried together with one that must be refused, before it is tried alone: all of a transaction happens, or none.
        let mut bundles = Vec::new();
        for op in ops {
            if !is_office && look.dice.percent(DOOMED) {
                let nothing = Op::Transfer { to: look.me, amount: Amount::ZERO };
                bundles.push(vec![op.clone(), nothing]);
            }
            bundles.push(vec![op]);
        }
        let sign = |(nonce, ops): (u64, Vec<Op>)| {
            let mut body = Transaction {
                version: TX_VERSION,
                chain_id: state.chain_id(),
                sender: look.me,
                nonce,
                fee: Amount::ZERO,
                expires_at,
                ops,
            };
            body.fee = fee_due(state, &body);
            Verified::sign(body, &self.key).into_signed()
        };
        let signed: Vec<_> =
            (nonce..).zip(bundles.into_iter().take(ON_THE_WAY_MAX)).map(sign).collect();
        self.waits = (!signed.is_empty()).then(|| (nonce + signed.len() as u64, expires_at));
        signed
    }
}

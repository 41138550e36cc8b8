//! Balances and holds, with the journal that undoes a transaction.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_market::{HoldId, RecordId, Settlement};
use gongsuan_types::{Address, Amount, Refusal};
use serde::{Deserialize, Serialize};

use crate::identity::{Attestation, Role};

/// An account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Money it can spend.
    pub balance: Amount,
    /// Transactions it has made.
    pub nonce: u64,
}

/// Money set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// Whose it is until it is paid out.
    pub owner: Address,
    /// How much.
    pub amount: Amount,
}

/// The key of a record of the state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKey {
    /// An account.
    Account(Address),
    /// A hold.
    Hold(HoldId),
    /// A role of somebody.
    Attestation(Address, Role),
    /// A record of the market.
    Market(RecordId),
    /// All money there is.
    Supply,
}

#[derive(Clone, Debug)]
enum Undo {
    Account(Address, Option<Account>),
    Hold(HoldId, Option<Hold>),
    Attestation((Address, Role), Option<Attestation>),
}

/// Accounts, holds and attestations.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<Address, Account>,
    holds: BTreeMap<HoldId, Hold>,
    attestations: BTreeMap<(Address, Role), Attestation>,
    pub(crate) dirty: BTreeSet<StateKey>,
    journal: Option<Vec<Undo>>,
}

/// What is stored of accounts.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    accounts: Vec<(Address, Account)>,
    holds: Vec<(HoldId, Hold)>,
    attestations: Vec<((Address, Role), Attestation)>,
}

fn lacking(account: Address, have: Amount, need: Amount) -> Refusal {
    let message = format!("{} has {have} free, {need} are needed", account.short());
    Refusal::new("insufficient-funds", "amount", format!("at most {have}"), need, message)
}

impl Accounts {
    /// An account; one that was never used is empty.
    #[must_use]
    pub fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).copied().unwrap_or_default()
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.accounts.iter()
    }

    /// A hold.
    #[must_use]
    pub fn hold(&self, id: &HoldId) -> Option<Hold> {
        self.holds.get(id).copied()
    }

    /// All holds.
    pub fn holds(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter()
    }

    /// Money that an account has in holds.
    #[must_use]
    pub fn held_of(&self, address: &Address) -> Amount {
        let own = self.holds.values().filter(|hold| hold.owner == *address);
        Amount::checked_sum(own.map(|hold| hold.amount)).unwrap_or_default()
    }

    /// An attestation.
    #[must_use]
    pub fn attestation(&self, subject: Address, role: Role) -> Option<Attestation> {
        self.attestations.get(&(subject, role)).copied()
    }

    /// All attestations.
    pub fn attestations(&self) -> impl Iterator<Item = (&(Address, Role), &Attestation)> {
        self.attestations.iter()
    }

    pub(crate) fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    pub(crate) fn commit(&mut self) {
        self.journal = None;
    }

    pub(crate) fn abort(&mut self) {
        for undo in self.journal.take().expect("a transaction is open").into_iter().rev() {
            match undo {
                Undo::Account(key, before) => drop(set(&mut self.accounts, key, before)),
                Undo::Hold(key, before) => drop(set(&mut self.holds, key, before)),
                Undo::Attestation(key, before) => drop(set(&mut self.attestations, key, before)),
            }
        }
    }

    pub(crate) fn put_account(&mut self, address: Address, account: Account) {
        self.dirty.insert(StateKey::Account(address));
        let before = set(&mut self.accounts, address, Some(account));
        self.note(Undo::Account(address, before));
    }

    fn put_hold(&mut self, id: HoldId, hold: Option<Hold>) {
        self.dirty.insert(StateKey::Hold(id));
        let before = set(&mut self.holds, id, hold);
        self.note(Undo::Hold(id, before));
    }

    pub(crate) fn put_attestation(&mut self, key: (Address, Role), to: Option<Attestation>) {
        self.dirty.insert(StateKey::Attestation(key.0, key.1));
        let before = set(&mut self.attestations, key, to);
        self.note(Undo::Attestation(key, before));
    }

    fn note(&mut self, undo: Undo) {
        if let Some(journal) = &mut self.journal {
            journal.push(undo);
        }
    }

    /// Takes free money.
    pub(crate) fn debit(&mut self, from: Address, amount: Amount) -> Result<(), Refusal> {
        let mut account = self.account(&from);
        let rest = account.balance.checked_sub(amount);
        account.balance = rest.ok_or_else(|| lacking(from, account.balance, amount))?;
        self.put_account(from, account);
        Ok(())
    }

    /// Gives free money. The sum of all money is bounded by the supply, so this cannot overflow.
    pub(crate) fn credit(&mut self, to: Address, amount: Amount) {
        let mut account = self.account(&to);
        account.balance = account.balance.checked_add(amount).expect("bounded by the supply");
        self.put_account(to, account);
    }

    fn take(&mut self, id: HoldId, amount: Amount) -> Address {
        let mut hold = *self.holds.get(&id).expect("the market names holds that exist");
        hold.amount = hold.amount.checked_sub(amount).expect("and takes no more than they have");
        let owner = hold.owner;
        self.put_hold(id, (!hold.amount.is_zero()).then_some(hold));
        owner
    }

    fn put(&mut self, id: HoldId, owner: Address, amount: Amount) {
        let before = self.holds.get(&id).copied().unwrap_or(Hold { owner, amount: Amount::ZERO });
        assert_eq!(before.owner, owner, "a hold has one owner");
        let sum = before.amount.checked_add(amount).expect("bounded by the supply");
        self.put_hold(id, Some(Hold { owner, amount: sum }));
    }

    /// Carries out one movement of money.
    pub(crate) fn settle(&mut self, settlement: &Settlement) -> Result<(), Refusal> {
        match *settlement {
            Settlement::Hold { hold, owner, amount } => {
                self.debit(owner, amount)?;
                self.put(hold, owner, amount);
            }
            Settlement::Move { source, target, amount } => {
                let owner = self.take(source, amount);
                self.put(target, owner, amount);
            }
            Settlement::Post { hold, to, amount, .. }
            | Settlement::Slash { hold, to, amount, .. } => {
                self.take(hold, amount);
                self.credit(to, amount);
            }
            Settlement::Void { hold, amount } => {
                let owner = self.take(hold, amount);
                self.credit(owner, amount);
            }
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> Stored {
        Stored {
            accounts: self.accounts.iter().map(|(key, value)| (*key, *value)).collect(),
            holds: self.holds.iter().map(|(key, value)| (*key, *value)).collect(),
            attestations: self.attestations.iter().map(|(key, value)| (*key, *value)).collect(),
        }
    }

    pub(crate) fn restore(stored: Stored) -> Self {
        Self {
            accounts: stored.accounts.into_iter().collect(),
            holds: stored.holds.into_iter().collect(),
            attestations: stored.attestations.into_iter().collect(),
            dirty: BTreeSet::new(),
            journal: None,
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

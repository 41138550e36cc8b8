//! Balances and holds, with the journal that undoes a transaction.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use gongsuan_market::{HoldId, RecordId, Settlement};
use gongsuan_types::{Address, Amount, Refusal};
use serde::{Deserialize, Serialize};

use crate::identity::{Attestation, Freeze, PublishedKey, Role};

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
    /// The market's counters, and the bids it will search for again.
    MarketRegisters,
    /// What supervisors say of an account.
    Freeze(Address),
    /// The key to which others encrypt for an account.
    EncryptionKey(Address),
}

/// An account as it is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    account: Account,
    /// The round of hashing in which it changed last: it is noted as changed once a round, without a search.
    changed: u64,
}

/// What is in balances and in holds, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// In balances, the treasury's among them.
    pub free: Amount,
    /// In holds.
    pub held: Amount,
}

/// Replaces one part of a sum.
fn replace(sum: &mut Amount, before: Amount, after: Amount) {
    let rest = sum.checked_sub(before).expect("what is replaced is part of the sum");
    *sum = rest.checked_add(after).expect("bounded by the supply");
}

#[derive(Clone, Debug)]
enum Undo {
    Account(Address, Option<Account>),
    Hold(HoldId, Option<Hold>),
    Attestation((Address, Role), Option<Attestation>),
    Freeze(Address, Option<Freeze>),
    Key(Address, Option<PublishedKey>),
}

/// Accounts, holds, attestations, and the keys to which others encrypt.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<Address, Kept>,
    holds: BTreeMap<HoldId, Hold>,
    attestations: BTreeMap<(Address, Role), Attestation>,
    freezes: BTreeMap<Address, Freeze>,
    keys: BTreeMap<Address, PublishedKey>,
    /// Holds, attestations and the like to hash again.
    dirty: BTreeSet<StateKey>,
    /// Accounts to hash again, each once.
    dirty_accounts: Vec<Address>,
    /// How often what changed was taken to be hashed.
    round: u64,
    /// What all balances and all holds sum to, kept with every change.
    sums: Sums,
    journal: Option<Vec<Undo>>,
}

/// What is stored of accounts.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    accounts: Vec<(Address, Account)>,
    holds: Vec<(HoldId, Hold)>,
    attestations: Vec<((Address, Role), Attestation)>,
    freezes: Vec<(Address, Freeze)>,
    keys: Vec<(Address, PublishedKey)>,
}

fn lacking(account: Address, have: Amount, need: Amount) -> Refusal {
    let message = format!("{} has {have} free, {need} are needed", account.short());
    Refusal::new("insufficient-funds", "amount", format!("at most {have}"), need, message)
}

impl Accounts {
    /// An account; one that was never used is empty.
    #[must_use]
    pub fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).map(|kept| kept.account).unwrap_or_default()
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.accounts.iter().map(|(address, kept)| (address, &kept.account))
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

    /// What all balances and all holds sum to, as it is kept with every change: costs nothing to ask.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// What they sum to when every record is looked at; `None` if that is more than there can be.
    #[must_use]
    pub fn recount(&self) -> Option<Sums> {
        let free = Amount::checked_sum(self.accounts.values().map(|kept| kept.account.balance))?;
        let held = Amount::checked_sum(self.holds.values().map(|hold| hold.amount))?;
        Some(Sums { free, held })
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

    /// What supervisors say of an account.
    #[must_use]
    pub fn freeze(&self, address: &Address) -> Option<&Freeze> {
        self.freezes.get(address)
    }

    /// All accounts of which supervisors say something.
    pub fn freezes(&self) -> impl Iterator<Item = (&Address, &Freeze)> {
        self.freezes.iter()
    }

    /// The key to which others encrypt for an account.
    #[must_use]
    pub fn encryption_key(&self, address: &Address) -> Option<PublishedKey> {
        self.keys.get(address).copied()
    }

    /// All published keys.
    pub fn encryption_keys(&self) -> impl Iterator<Item = (&Address, &PublishedKey)> {
        self.keys.iter()
    }

    /// Begins a transaction: takes its fee and counts it, whatever comes of it, and notes from here on what to undo.
    pub(crate) fn begin_tx(&mut self, sender: Address, fee: Amount) {
        let Ok(()) = self.change_account::<Infallible>(sender, |account| {
            account.balance = account.balance.checked_sub(fee).expect("the sender can pay");
            account.nonce += 1;
            Ok(())
        });
        self.journal = Some(Vec::new());
    }

    pub(crate) fn commit(&mut self) {
        self.journal = None;
    }

    pub(crate) fn abort(&mut self) {
        for undo in self.journal.take().expect("a transaction is open").into_iter().rev() {
            match undo {
                Undo::Account(key, before) => self.undo_account(key, before),
                Undo::Hold(key, before) => drop(self.set_hold(key, before)),
                Undo::Attestation(key, before) => drop(set(&mut self.attestations, key, before)),
                Undo::Freeze(key, before) => drop(set(&mut self.freezes, key, before)),
                Undo::Key(key, before) => drop(set(&mut self.keys, key, before)),
            }
        }
    }

    fn undo_account(&mut self, address: Address, before: Option<Account>) {
        let Entry::Occupied(mut place) = self.accounts.entry(address) else { return };
        let (after, then) = (place.get().account, before.unwrap_or_default());
        replace(&mut self.sums.free, after.balance, then.balance);
        match before {
            Some(before) => place.get_mut().account = before,
            None => drop(place.remove()),
        }
    }

    fn set_hold(&mut self, id: HoldId, hold: Option<Hold>) -> Option<Hold> {
        let amount = |hold: Option<Hold>| hold.map_or(Amount::ZERO, |hold| hold.amount);
        let before = set(&mut self.holds, id, hold);
        replace(&mut self.sums.held, amount(before), amount(hold));
        before
    }

    /// Changes an account, which is empty if it was never used, with one search. If `change` refuses, nothing has changed.
    pub(crate) fn change_account<E>(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut Account) -> Result<(), E>,
    ) -> Result<(), E> {
        // Rounds begin at 1, so that an account not marked yet is told from one marked in this round.
        let round = self.round + 1;
        let before = match self.accounts.entry(address) {
            Entry::Occupied(mut place) => {
                let kept = place.get_mut();
                let before = kept.account;
                let mut account = before;
                change(&mut account)?;
                replace(&mut self.sums.free, before.balance, account.balance);
                kept.account = account;
                if std::mem::replace(&mut kept.changed, round) != round {
                    self.dirty_accounts.push(address);
                }
                Some(before)
            }
            Entry::Vacant(place) => {
                let mut account = Account::default();
                change(&mut account)?;
                replace(&mut self.sums.free, Amount::ZERO, account.balance);
                place.insert(Kept { account, changed: round });
                self.dirty_accounts.push(address);
                None
            }
        };
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Account(address, before));
        }
        Ok(())
    }

    /// What changed since the last call, to be hashed: in no particular order, an account perhaps twice.
    pub(crate) fn take_dirty(&mut self) -> Vec<StateKey> {
        self.round += 1;
        let accounts = std::mem::take(&mut self.dirty_accounts).into_iter().map(StateKey::Account);
        accounts.chain(std::mem::take(&mut self.dirty)).collect()
    }

    fn put_hold(&mut self, id: HoldId, hold: Option<Hold>) {
        self.dirty.insert(StateKey::Hold(id));
        let before = self.set_hold(id, hold);
        self.note(Undo::Hold(id, before));
    }

    pub(crate) fn put_attestation(&mut self, key: (Address, Role), to: Option<Attestation>) {
        self.dirty.insert(StateKey::Attestation(key.0, key.1));
        let before = set(&mut self.attestations, key, to);
        self.note(Undo::Attestation(key, before));
    }

    pub(crate) fn put_freeze(&mut self, address: Address, to: Option<Freeze>) {
        self.dirty.insert(StateKey::Freeze(address));
        let before = set(&mut self.freezes, address, to);
        self.note(Undo::Freeze(address, before));
    }

    pub(crate) fn put_encryption_key(&mut self, address: Address, to: PublishedKey) {
        self.dirty.insert(StateKey::EncryptionKey(address));
        let before = set(&mut self.keys, address, Some(to));
        self.note(Undo::Key(address, before));
    }

    fn note(&mut self, undo: Undo) {
        if let Some(journal) = &mut self.journal {
            journal.push(undo);
        }
    }

    /// Takes free money.
    pub(crate) fn debit(&mut self, from: Address, amount: Amount) -> Result<(), Refusal> {
        self.change_account(from, |account| {
            let rest = account.balance.checked_sub(amount);
            account.balance = rest.ok_or_else(|| lacking(from, account.balance, amount))?;
            Ok(())
        })
    }

    /// Gives free money. The sum of all money is bounded by the supply, so this cannot overflow.
    pub(crate) fn credit(&mut self, to: Address, amount: Amount) {
        let give = |account: &mut Account| {
            let sum = account.balance.checked_add(amount);
            account.balance = sum.expect("bounded by the supply");
            Ok(())
        };
        let Ok(()) = self.change_account::<Infallible>(to, give);
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
            // An empty account is no record, so it must not be stored beside the records either.
            accounts: self
                .accounts
                .iter()
                .filter(|(_, kept)| kept.account != Account::default())
                .map(|(key, kept)| (*key, kept.account))
                .collect(),
            holds: self.holds.iter().map(|(key, value)| (*key, *value)).collect(),
            attestations: self.attestations.iter().map(|(key, value)| (*key, *value)).collect(),
            freezes: self.freezes.iter().map(|(key, value)| (*key, value.clone())).collect(),
            keys: self.keys.iter().map(|(key, value)| (*key, *value)).collect(),
        }
    }

    pub(crate) fn restore(stored: Stored) -> Self {
        let mut restored = Self {
            accounts: stored
                .accounts
                .into_iter()
                .map(|(address, account)| (address, Kept { account, changed: 0 }))
                .collect(),
            holds: stored.holds.into_iter().collect(),
            attestations: stored.attestations.into_iter().collect(),
            freezes: stored.freezes.into_iter().collect(),
            keys: stored.keys.into_iter().collect(),
            ..Self::default()
        };
        restored.sums = restored.recount().expect("what is stored was there");
        restored
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

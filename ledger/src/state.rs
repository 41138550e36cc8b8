//! The whole state of the chain after a block.

use gongsuan_market::{Anomaly, Certificate, Market, Moment, Oddness, Pledge};
use gongsuan_types::order::Capabilities;
use gongsuan_types::{Address, Amount, Hash, Height, PublicKey, Refusal, TimeMs, codec};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::accounts::{Account, Accounts, StateKey, Stored};
use crate::genesis::{Admission, Genesis, Params};
use crate::header::Header;
use crate::history::History;
use crate::identity::{Freeze, Role};
use crate::tree::{StateProof, StateTree, key_hash, value_hash};

/// Accounts, identities, market, and what commits to them.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) chain_id: Hash,
    pub(crate) params: Params,
    pub(crate) issuers: Vec<Address>,
    pub(crate) supply: Amount,
    pub(crate) validators_hash: Hash,
    /// The keys that vote, in the order of their seats.
    pub(crate) validators: Vec<PublicKey>,
    pub(crate) params_hash: Hash,
    pub(crate) accounts: Accounts,
    pub(crate) market: Market,
    pub(crate) tree: StateTree,
    pub(crate) history: History,
    /// The history before the last header: what that header's `history_root` commits to.
    pub(crate) past: History,
    pub(crate) height: Height,
    pub(crate) time: TimeMs,
    /// The hash of the last header; of nothing before the first block.
    pub(crate) head: Hash,
}

/// Where the money is.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Supply {
    /// All money, fixed at genesis.
    pub total: Amount,
    /// Free, in accounts other than the treasury.
    pub free: Amount,
    /// Set aside.
    pub held: Amount,
    /// The treasury's.
    pub treasury: Amount,
}

impl State {
    /// The state before the first block.
    ///
    /// # Errors
    /// A [`Refusal`] if no chain can begin like this.
    pub fn new(genesis: &Genesis) -> Result<Self, Refusal> {
        genesis.validate()?;
        let mut accounts = Accounts::default();
        for account in &genesis.accounts {
            accounts.credit(account.address, account.balance);
        }
        let mut state = Self {
            chain_id: genesis.chain_id(),
            params: genesis.params.clone(),
            issuers: genesis.issuers.clone(),
            supply: genesis.supply()?,
            validators_hash: Hash::of(
                "gongsuan/validators/v1",
                &codec::encode(&genesis.validators),
            ),
            validators: genesis.validators.iter().map(|validator| validator.key).collect(),
            params_hash: Hash::of("gongsuan/params/v1", &codec::encode(&genesis.params)),
            accounts,
            market: Market::new(genesis.params.market.clone()),
            tree: StateTree::default(),
            history: History::default(),
            past: History::default(),
            height: Height(0),
            time: genesis.time,
            head: Hash::ZERO,
        };
        state.rehash_records(&[StateKey::Supply]);
        state.rehash();
        Ok(state)
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> Hash {
        self.chain_id
    }

    /// The height of the last block applied.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The time of the last block applied.
    #[must_use]
    pub fn time(&self) -> TimeMs {
        self.time
    }

    /// The hash of the last header.
    #[must_use]
    pub fn head(&self) -> Hash {
        self.head
    }

    /// The root over all records.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// All headers so far, as their peaks.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The keys that vote, in the order of their seats.
    #[must_use]
    pub fn validators(&self) -> &[PublicKey] {
        &self.validators
    }

    /// Accounts, holds and attestations.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Orders, books and deals.
    #[must_use]
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Whether an account has a role now.
    #[must_use]
    pub fn has_role(&self, address: Address, role: Role) -> bool {
        if role == Role::Issuer && self.issuers.contains(&address) {
            return true;
        }
        self.accounts
            .attestation(address, role)
            .is_some_and(|attestation| attestation.expires_at > self.time)
    }

    /// Whether supervisors have frozen an account.
    #[must_use]
    pub fn is_frozen(&self, address: &Address) -> bool {
        self.accounts.freeze(address).is_some_and(|freeze| freeze.since.is_some())
    }

    /// Every account that supervisors have frozen, with their reason and since when, by address.
    pub fn frozen(&self) -> impl Iterator<Item = (&Address, &Freeze)> {
        self.accounts.freezes().filter(|(_, freeze)| freeze.since.is_some())
    }

    /// What looks odd in all deals there are: for auditors; nothing on the chain follows from it. It looks at every deal.
    #[must_use]
    pub fn anomalies(&self, oddness: Oddness) -> Vec<Anomaly> {
        self.market.anomalies(oddness)
    }

    /// What each auditor has pledged, by address.
    pub fn pledges(&self) -> impl Iterator<Item = (&Address, &Pledge)> {
        self.market.pledges()
    }

    /// Certificates of capacity, and claims to one, by provider.
    pub fn certificates(&self) -> impl Iterator<Item = (&Address, &Certificate)> {
        self.market.certificates()
    }

    /// Everybody who can be drawn as an auditor, in rising order.
    #[must_use]
    pub fn auditors(&self) -> Vec<Address> {
        let attested = self.accounts.attestations();
        attested
            .filter(|((_, role), attestation)| {
                *role == Role::Auditor && attestation.expires_at > self.time
            })
            .map(|((address, _), _)| *address)
            .collect()
    }

    /// What the chain attests of somebody who offers or orders.
    pub(crate) fn attested(&self, address: Address, role: Role) -> Capabilities {
        let has_key = self.accounts.encryption_key(&address).is_some();
        let all = [
            (self.has_role(address, role), Capabilities::VETTED),
            (has_key, Capabilities::PRIVATE),
            (self.market.has_owner(&address), Capabilities::OWNED),
        ];
        let has = all.into_iter().filter(|(is, _)| *is);
        has.fold(Capabilities::NONE, |sum, (_, one)| sum.union(one))
    }

    /// Whether an account may take a role in the market.
    pub(crate) fn admits(&self, address: Address, role: Role) -> Result<(), Refusal> {
        if self.params.admission == Admission::Open || self.has_role(address, role) {
            return Ok(());
        }
        let message =
            format!("{} is not attested as {role}; an issuer must grant it", address.short());
        Err(Refusal::new("not-vetted", "sender", role, "no valid attestation", message))
    }

    /// Whether this is the state after a header's block, by everything that the header commits to.
    #[must_use]
    pub fn is_of(&self, header: &Header) -> bool {
        let placed = self.height == header.height && self.time == header.time;
        let moment = Moment { height: header.height, time: header.time, block: header.block };
        placed
            && self.market.now() == moment
            && self.chain_id == header.chain_id
            && self.head == header.hash()
            && self.root() == header.state_root
            && self.past.root() == header.history_root
    }

    /// Where the money is.
    #[must_use]
    pub fn supply(&self) -> Supply {
        let treasury = self.accounts.account(&Address::TREASURY).balance;
        let free = self.accounts.accounts().map(|(_, account)| account.balance);
        let free = Amount::checked_sum(free).unwrap_or_default().saturating_sub(treasury);
        let held = self.accounts.holds().map(|(_, hold)| hold.amount);
        let held = Amount::checked_sum(held).unwrap_or_default();
        Supply { total: self.supply, free, held, treasury }
    }

    /// The canonical bytes of a record.
    #[must_use]
    pub fn record(&self, key: &StateKey) -> Option<Vec<u8>> {
        match key {
            StateKey::Account(address) => {
                let account = self.accounts.account(address);
                (account != Account::default()).then(|| codec::encode(&account))
            }
            StateKey::Hold(id) => self.accounts.hold(id).map(|hold| codec::encode(&hold)),
            StateKey::Attestation(address, role) => {
                self.accounts.attestation(*address, *role).map(|a| codec::encode(&a))
            }
            StateKey::Freeze(address) => self.accounts.freeze(address).map(codec::encode),
            StateKey::EncryptionKey(address) => {
                self.accounts.encryption_key(address).map(|key| codec::encode(&key))
            }
            StateKey::Market(id) => self.market.record(id),
            StateKey::Supply => Some(codec::encode(&self.supply)),
            StateKey::MarketRegisters => Some(self.market.registers()),
        }
    }

    /// The proof that a record is what it is, under [`State::root`].
    #[must_use]
    pub fn prove(&self, key: &StateKey) -> StateProof {
        self.tree.prove(key_hash(&codec::encode(key)))
    }

    /// Brings the tree up to date with every record changed.
    pub(crate) fn rehash(&mut self) {
        let mut dirty = self.accounts.take_dirty();
        dirty.extend(self.market.take_dirty().into_iter().map(StateKey::Market));
        dirty.push(StateKey::MarketRegisters);
        self.rehash_records(&dirty);
    }

    /// Brings the tree up to date with these records.
    fn rehash_records(&mut self, keys: &[StateKey]) {
        let change = |key: &StateKey| {
            let value = self.record(key).map(|bytes| value_hash(&bytes));
            (key_hash(&codec::encode(key)), value)
        };
        let changes: Vec<_> = keys.par_iter().with_min_len(256).map(change).collect();
        self.tree.update(changes);
    }

    /// The state as bytes, for a checkpoint.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        codec::encode(&Snapshot {
            accounts: self.accounts.store(),
            market: self.market.clone(),
            past: self.past.clone(),
            height: self.height,
            time: self.time,
            head: self.head,
        })
    }

    /// The state that [`State::snapshot`] stored. The caller compares it with a header ([`State::is_of`]): records, counters and history are under
    /// its roots, the moment is its place; rules are compared with the genesis here. Nothing else is in the bytes.
    ///
    /// # Errors
    /// A [`Refusal`] if the bytes are not a snapshot.
    pub fn restore(genesis: &Genesis, bytes: &[u8]) -> Result<Self, Refusal> {
        let snapshot: Snapshot = codec::decode_own("snapshot", bytes).map_err(|error| {
            let got = format!("{} bytes", bytes.len());
            Refusal::new("malformed", "snapshot", "a snapshot", got, error.to_string())
        })?;
        let before = snapshot.height.0.saturating_sub(1);
        if !snapshot.past.is_sound(before) {
            let message = "the history has not as many peaks as the height says";
            return Err(Refusal::new("malformed", "past", before, snapshot.past.count(), message));
        }
        if *snapshot.market.rules() != genesis.params.market {
            let message = "the market's rules are not those of the genesis";
            return Err(Refusal::new(
                "malformed",
                "market.rules",
                "as in genesis",
                "others",
                message,
            ));
        }
        let mut state = Self::new(genesis)?;
        state.accounts = Accounts::restore(snapshot.accounts);
        state.market = snapshot.market;
        (state.height, state.time, state.head) = (snapshot.height, snapshot.time, snapshot.head);
        state.history = snapshot.past.clone();
        state.past = snapshot.past;
        if state.height > Height(0) {
            state.history.push(state.head);
        }
        state.tree = StateTree::default();
        let keys: Vec<StateKey> = state
            .accounts
            .accounts()
            .map(|(address, _)| StateKey::Account(*address))
            .chain(state.accounts.holds().map(|(id, _)| StateKey::Hold(*id)))
            .chain(state.accounts.attestations().map(|((a, r), _)| StateKey::Attestation(*a, *r)))
            .chain(state.accounts.freezes().map(|(address, _)| StateKey::Freeze(*address)))
            .chain(state.accounts.encryption_keys().map(|(a, _)| StateKey::EncryptionKey(*a)))
            .chain(state.market.all_records().into_iter().map(StateKey::Market))
            .chain([StateKey::Supply, StateKey::MarketRegisters])
            .collect();
        if !state.market.take_dirty().is_empty() {
            let message = "records of the market are not hashed yet";
            return Err(Refusal::new("malformed", "market.dirty", "none", "some", message));
        }
        state.rehash_records(&keys);
        Ok(state)
    }
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    accounts: Stored,
    market: Market,
    past: History,
    height: Height,
    time: TimeMs,
    head: Hash,
}

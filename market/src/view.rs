//! What anybody can see of the market: orders, deals, people.

use gongsuan_types::{Address, DealId, Hash, OrderId};

use crate::{Deal, Market, Moment, Order, Pledge};

impl Market {
    /// The block applied last.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// An order.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.table.orders.get(&id)
    }

    /// A deal.
    #[must_use]
    pub fn deal(&self, id: DealId) -> Option<&Deal> {
        self.table.deals.get(&id)
    }

    /// All orders, oldest first.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.table.orders.values()
    }

    /// All deals, oldest first.
    pub fn deals(&self) -> impl Iterator<Item = &Deal> {
        self.table.deals.values()
    }

    /// Whose an account is: the owner that an issuer vouches for and the account has shown, or else the account itself.
    #[must_use]
    pub fn owner_of(&self, account: &Address) -> Hash {
        self.table.owners.get(account).copied().unwrap_or(Hash(account.0))
    }

    /// Whether an account has shown whose it is.
    #[must_use]
    pub fn has_owner(&self, account: &Address) -> bool {
        self.table.owners.contains_key(account)
    }

    /// Notes whose an account is; the ledger has checked what was shown. It stays when the attestation ends: an owner is not forgotten by waiting.
    pub fn set_owner(&mut self, account: Address, owner: Hash) {
        self.table.put_owner(account, Some(owner));
    }

    /// What every auditor has set aside.
    pub fn pledges(&self) -> impl Iterator<Item = (&Address, &Pledge)> {
        self.table.pledges.iter()
    }
}

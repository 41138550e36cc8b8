//! Everything that a node can be asked, with its types.

use gongsuan_ledger::Genesis;
use gongsuan_market::{BookView, Deal, Explanation, Order};
use gongsuan_types::order::{Class, Side};
use gongsuan_types::{Address, DealId, Hash, Height, OrderId};

use super::{Client, ClientError};
use crate::api::wire::{
    AccountView, Anomalies, BlockView, Blocks, CertifiedState, Classes, DealReceipts, Deals,
    HistoryView, Identities, Orders, Providers, Status, SupplyView, TradesView, TrailView, TxState,
    ValidatorsView,
};
use crate::audit::ProofFile;

/// Which part of a list: the newest rows that a filter lets pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows, at most 1,000; 100 without it.
    pub limit: Option<u32>,
    /// Only what is older than this id or height: the smallest of the page before.
    pub below: Option<u64>,
    /// Only what is not over.
    pub open: bool,
    /// Only what this account has a part in.
    pub account: Option<Address>,
    /// Only of this class.
    pub class: Option<Class>,
    /// Of orders: only this side.
    pub side: Option<Side>,
    /// Of deals: only those of this order.
    pub order: Option<OrderId>,
}

impl Page {
    fn query(&self) -> String {
        let side = self.side.map(|side| match side {
            Side::Ask => "ask",
            Side::Bid => "bid",
        });
        let pairs = [
            ("limit", self.limit.map(|n| n.to_string())),
            ("below", self.below.map(|n| n.to_string())),
            ("state", self.open.then(|| "open".to_owned())),
            ("account", self.account.map(|address| address.to_string())),
            ("class", self.class.map(|class| class.to_string())),
            ("side", side.map(str::to_owned)),
            ("order", self.order.map(|order| order.to_string())),
        ];
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// Whose history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An account's.
    Account(Address),
    /// An order's.
    Order(OrderId),
    /// A deal's.
    Deal(DealId),
}

/// Each asks the first node that answers. All fail with [`ClientError`]: `NotFound` for what is not there.
#[expect(clippy::missing_errors_doc, reason = "the same for all: see above")]
impl Client {
    /// Where a node and its chain are.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status")
    }

    /// How the chain began.
    pub fn genesis(&self) -> Result<Genesis, ClientError> {
        self.get("/v1/genesis")
    }

    /// What became of a transaction.
    pub fn transaction(&self, id: Hash) -> Result<TxState, ClientError> {
        self.get(&format!("/v1/tx/{id}"))
    }

    /// The newest blocks; of the page, `limit` and `below` count.
    pub fn blocks(&self, page: &Page) -> Result<Blocks, ClientError> {
        self.get(&format!("/v1/blocks{}", page.query()))
    }

    /// A block with its transactions, receipts and events.
    pub fn block(&self, height: Height) -> Result<BlockView, ClientError> {
        self.get(&format!("/v1/blocks/{height}"))
    }

    /// The newest header whose state is certified.
    pub fn latest_header(&self) -> Result<CertifiedState, ClientError> {
        self.get("/v1/headers/latest")
    }

    /// Who votes.
    pub fn validators(&self) -> Result<ValidatorsView, ClientError> {
        self.get("/v1/validators")
    }

    /// Where all money is, and whether it adds up.
    pub fn supply(&self) -> Result<SupplyView, ClientError> {
        self.get("/v1/supply")
    }

    /// An account.
    pub fn account(&self, address: Address) -> Result<AccountView, ClientError> {
        self.get(&format!("/v1/accounts/{address}"))
    }

    /// Who holds which role.
    pub fn identities(&self) -> Result<Identities, ClientError> {
        self.get("/v1/identities")
    }

    /// Which roles an account holds, who attested them and until when.
    pub fn identity(&self, address: Address) -> Result<Identities, ClientError> {
        self.get(&format!("/v1/identities/{address}"))
    }

    /// Vetted providers: the first 1,000 by address.
    pub fn providers(&self) -> Result<Providers, ClientError> {
        self.get("/v1/providers?limit=1000")
    }

    /// A history, the newest first; `before` is `next` of the page before.
    pub fn history(&self, of: Of, before: Option<&str>) -> Result<HistoryView, ClientError> {
        let (kind, id) = match of {
            Of::Account(address) => ("accounts", address.to_string()),
            Of::Order(order) => ("orders", order.to_string()),
            Of::Deal(deal) => ("deals", deal.to_string()),
        };
        let query = before.map(|at| format!("?before={at}")).unwrap_or_default();
        self.get(&format!("/v1/{kind}/{id}/history{query}"))
    }

    /// What looks odd in the newest deals.
    pub fn anomalies(&self) -> Result<Anomalies, ClientError> {
        self.get("/v1/anomalies")
    }

    /// What is traded, by name.
    pub fn classes(&self) -> Result<Classes, ClientError> {
        self.get("/v1/classes")
    }

    /// The book of a class.
    pub fn book(&self, class: Class) -> Result<BookView, ClientError> {
        self.get(&format!("/v1/book/{class}"))
    }

    /// The newest fills of a class; of the page, `limit` and `below` count.
    pub fn trades(&self, class: Class, page: &Page) -> Result<TradesView, ClientError> {
        self.get(&format!("/v1/trades/{class}{}", page.query()))
    }

    /// Orders.
    pub fn orders(&self, page: &Page) -> Result<Orders, ClientError> {
        self.get(&format!("/v1/orders{}", page.query()))
    }

    /// An order.
    pub fn order(&self, id: OrderId) -> Result<Order, ClientError> {
        self.get(&format!("/v1/orders/{id}"))
    }

    /// Why an order does not match.
    pub fn why(&self, id: OrderId) -> Result<Explanation, ClientError> {
        self.get(&format!("/v1/orders/{id}/why"))
    }

    /// Deals.
    pub fn deals(&self, page: &Page) -> Result<Deals, ClientError> {
        self.get(&format!("/v1/deals{}", page.query()))
    }

    /// A deal.
    pub fn deal(&self, id: DealId) -> Result<Deal, ClientError> {
        self.get(&format!("/v1/deals/{id}"))
    }

    /// Every event of a deal.
    pub fn trail(&self, id: DealId) -> Result<TrailView, ClientError> {
        self.get(&format!("/v1/deals/{id}/trail"))
    }

    /// What a provider committed.
    pub fn deal_receipts(&self, id: DealId) -> Result<DealReceipts, ClientError> {
        self.get(&format!("/v1/deals/{id}/receipts"))
    }

    /// A proof, to be checked offline: see [`crate::audit`] for the kinds.
    pub fn proof(&self, kind: &str, id: &str) -> Result<ProofFile, ClientError> {
        self.get(&format!("/v1/proofs/{kind}/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_by_what_is_set() {
        assert_eq!(Page::default().query(), "");
        let page = Page {
            limit: Some(5),
            open: true,
            side: Some(Side::Bid),
            class: Some(Class::WASM),
            ..Page::default()
        };
        assert_eq!(page.query(), "?limit=5&state=open&class=giga-fuel/wasm&side=bid");
    }
}

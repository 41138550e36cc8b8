//! The renter as the witness of its own lease.

use std::collections::BTreeMap;

use anyhow::Context as _;
use gongsuan_market::{Deal, DealState, Order};
use gongsuan_types::lease::Witness;
use gongsuan_types::{DealId, SecretKey, TimeMs};

use super::Tokens;
use crate::client::{Client, ClientError};
use crate::envelope::{Content, Post};

/// Hands the token of every interval over when the interval has begun. Who wants to pay for no more stops it, and has lost one interval at most.
#[derive(Debug)]
pub struct Keeper {
    post: Post,
    tokens: Option<Tokens>,
    /// The last interval of each deal whose token was handed over.
    handed: BTreeMap<DealId, u32>,
}

impl Keeper {
    /// The keeper of one of the account's leases.
    ///
    /// # Errors
    /// If the order is not a lease, or no node answers.
    pub fn new(client: &Client, key: &SecretKey, order: &Order) -> anyhow::Result<Self> {
        let bid = order.bid().context("the order is an ask")?;
        let lease = bid.work.lease().context("the order is a job, not a lease")?;
        let tokens = match lease.witness {
            Witness::Chain => None,
            Witness::Renter(end) => {
                let tokens = Tokens::new(key, lease.setup, bid.segments_of(bid.units));
                anyhow::ensure!(
                    tokens.end() == end,
                    "the tokens of this lease do not follow from this key: it was ordered with another one"
                );
                Some(tokens)
            }
        };
        Ok(Self { post: Post::new(client, key)?, tokens, handed: BTreeMap::new() })
    }

    /// Whether tokens are wanted at all: where the chain is the witness nothing has to be handed over.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.tokens.is_some()
    }

    /// Hands over what the present state of a deal asks for; `Some` interval, if that was something new.
    ///
    /// # Errors
    /// [`ClientError`]: the next look tries again.
    pub fn look(&mut self, deal: &Deal, now: TimeMs) -> Result<Option<u32>, ClientError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let DealState::Leased { from, .. } = deal.state else { return Ok(None) };
        let next = deal.accepted + 1;
        if now < from || self.handed.get(&deal.id).is_some_and(|last| *last >= next) {
            return Ok(None);
        }
        let Some(token) = tokens.of(next) else { return Ok(None) };
        self.post.say(deal.id, deal.provider, Content::Token { interval: next, token })?;
        self.handed.insert(deal.id, next);
        Ok(Some(next))
    }
}

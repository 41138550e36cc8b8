//! What an agent does when a deal of its own is over: it moves the money to an address of its own, if it was told to, and promises deletion.

use gongsuan_ledger::Op;
use gongsuan_market::{Deal, DealState, Kind};
use gongsuan_types::{Amount, DealId};

use super::Agent;
use crate::envelope::{Content, Post};
use crate::keystore::payout_key;

/// Where what a deal brought goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Payout {
    /// It stays in the account that did the work.
    #[default]
    Same,
    /// To a new address for each deal, whose key follows from the account's: see [`payout_key`].
    Fresh,
}

/// What a deal has paid to its present provider.
#[must_use]
pub fn earned(deal: &Deal) -> Amount {
    if matches!(deal.terms.kind, Kind::Lease { .. }) {
        return deal.paid;
    }
    let own = deal.batches.iter().filter(|batch| batch.provider == deal.provider);
    let last = match &deal.state {
        DealState::Settled { paid, .. } => *paid,
        _ => Amount::ZERO,
    };
    Amount::checked_sum(own.map(|batch| batch.paid).chain([last])).unwrap_or_default()
}

impl Agent {
    /// Finishes a deal that was open and is not listed as such any more; whether there is nothing left to do. What fails is told and tried again.
    pub(super) fn finish(&self, id: DealId) -> bool {
        let finished = self.client.deal(id).map_err(anyhow::Error::from).and_then(|deal| {
            if deal.is_over() && deal.provider == self.key.address() {
                self.pay_out(&deal)?;
                self.promise(&deal)?;
            }
            anyhow::Ok(deal.is_over())
        });
        finished.unwrap_or_else(|error| {
            tracing::warn!(deal = %id, error = format!("{error:#}"), "the deal is not finished");
            false
        })
    }

    /// Sends what the deal brought to its own address, unless that was done.
    fn pay_out(&self, deal: &Deal) -> anyhow::Result<()> {
        let amount = earned(deal);
        if self.payout == Payout::Same || amount.is_zero() {
            return Ok(());
        }
        let chain_id = self.client.status()?.chain_id;
        let to = payout_key(&self.key, &chain_id, deal.id).address();
        let known = self.client.account(to)?;
        if !(known.balance.is_zero() && known.held.is_zero() && known.nonce == 0) {
            return Ok(());
        }
        self.execute_op(Op::Transfer { to, amount })?;
        tracing::info!(deal = %deal.id, %amount, %to, "paid out");
        Ok(())
    }

    /// Signs that nothing of a private deal is kept, unless that was done. It is true: the agent has it in memory only, and its work is done.
    fn promise(&self, deal: &Deal) -> anyhow::Result<()> {
        let order = self.client.order(deal.bid)?;
        if !order.bid().is_some_and(gongsuan_types::order::Bid::is_private) {
            return Ok(());
        }
        let post = Post::new(&self.client, &self.key)?;
        let is_promise = |content: &Content| matches!(content, Content::Deletion { .. });
        let letters = post.letters_between(deal.id, deal.provider, deal.renter)?;
        if !letters.iter().any(|letter| is_promise(&letter.body.content)) {
            post.promise_deletion(deal.id, deal.renter)?;
            tracing::info!(deal = %deal.id, "deletion is promised");
        }
        Ok(())
    }
}

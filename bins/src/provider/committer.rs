//! From receipts to a commitment on the chain: at once; sealed until all copies of a quorum are; or with the list held back until the auditors have sealed.

use anyhow::Context as _;
use gongsuan_market::{Command, Deal, DealState, Rules, Stage, seal};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Hash, codec};
use zeroize::Zeroizing;

use super::auditor::{CLOCKS_DIFFER, may_show};
use super::{Agent, LOOK_EVERY};

impl Agent {
    /// Commits what was executed of a deal.
    pub(super) fn commit(&self, deal: &Deal, receipts: &[Receipt]) -> anyhow::Result<()> {
        let commitment = Commitment::new(receipts).context("the fuel overflows")?;
        let list = codec::encode(receipts);
        if deal.group.is_some() {
            return self.seal_and_unseal(deal, commitment, &list);
        }
        let (id, hash) = (deal.id, Hash::of_content(&list));
        if self.client.genesis()?.params.market.seal_window.0 > 0 {
            // Shown when the auditors have sealed; once it is committed there is no other way back to it.
            let journals = self.journals.as_ref().context("no folder to keep the list in")?;
            journals.hold(id, &list)?;
        } else {
            self.client.put_blob(&list)?;
        }
        self.execute(Command::Commit { deal: id, commitment, receipts: hash })
            .context("cannot commit")?;
        tracing::info!(deal = %id, fuel = %commitment.fuel, "committed");
        Ok(())
    }

    /// Shows the list that was committed and held back, by this process or by one before it, if there is one.
    pub(super) fn start_showing(&self, deal: Deal, rules: Rules) {
        let Some((journals, (_, hash))) = self.journals.clone().zip(deal.results()) else { return };
        let Some(list) = journals.held_list(deal.id, hash) else { return };
        let agent = self.clone();
        std::thread::spawn(move || {
            while let Err(error) = agent.show_after_seals(&deal, &rules, &list) {
                tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "the list is not shown yet");
                std::thread::sleep(LOOK_EVERY);
            }
            journals.release(deal.id, hash);
        });
    }

    /// Auditors must have executed to have anything to seal, so the list is shown only when they have sealed, or had the time to.
    fn show_after_seals(&self, deal: &Deal, rules: &Rules, list: &[u8]) -> anyhow::Result<()> {
        while may_show(&self.client.deal(deal.id)?, rules, crate::node::clock()) == Some(false) {
            std::thread::sleep(LOOK_EVERY);
        }
        self.client.put_blob(list)?;
        tracing::info!(deal = %deal.id, "the list of receipts is shown");
        Ok(())
    }

    /// One of a quorum: binds itself, waits until nobody can copy any more, and shows.
    fn seal_and_unseal(
        &self,
        deal: &Deal,
        commitment: Commitment,
        list: &[u8],
    ) -> anyhow::Result<()> {
        let me = self.key.address();
        let salt = self.salt(deal, &commitment);
        // After a restart it may be sealed already.
        if !matches!(deal.state, DealState::Sealed { .. }) {
            let seal = seal(me, &commitment, salt);
            self.execute(Command::Seal { deal: deal.id, seal }).context("cannot seal")?;
            tracing::info!(deal = %deal.id, "sealed");
        }
        let sealed_by = deal.matched.plus(deal.terms.ack_within).plus(deal.terms.run_within);
        loop {
            let copies = crate::renter::deals_of(&self.client, deal.bid)?;
            let works = |copy: &Deal| {
                let stage = Stage::of(&copy.state);
                matches!(stage, Stage::Matched | Stage::Asked | Stage::Running)
            };
            let open = copies.iter().any(|copy| copy.group == deal.group && works(copy));
            if !open || crate::node::clock() > sealed_by.plus(CLOCKS_DIFFER) {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let receipts = self.client.put_blob(list)?;
        self.execute(Command::Unseal { deal: deal.id, commitment, receipts, salt })
            .context("cannot open the seal")?;
        tracing::info!(deal = %deal.id, fuel = %commitment.fuel, "shown");
        Ok(())
    }

    /// What nobody else can guess, and this account finds again after a restart.
    fn salt(&self, deal: &Deal, commitment: &Commitment) -> Hash {
        let mut seed = Zeroizing::new(self.key.to_bytes().to_vec());
        seed.extend(codec::encode(&(deal.id, commitment)));
        Hash::of("gongsuan/quorum-salt/v1", &seed)
    }
}

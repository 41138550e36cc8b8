//! What a renter does while its job runs, beside revealing secrets: it sends the keys of a private job to whoever has to execute something, executes
//! the samples that are its own to check, and helps the validators to read what they judge.

use std::collections::BTreeSet;

use gongsuan_market::{Deal, DealState};
use gongsuan_types::court::CaseId;
use gongsuan_types::{DealId, SecretKey};

use crate::client::Client;
use crate::envelope::{self, Sharer};
use crate::provider::Agent;

/// See the module's documentation.
#[derive(Debug)]
pub struct Duties {
    client: Client,
    key: SecretKey,
    /// Absent where everybody may read the job.
    sharer: Option<Sharer>,
    /// Started with the first sample that is the renter's own.
    auditor: Option<Agent>,
    audited: BTreeSet<(DealId, u16, u16)>,
    attended: BTreeSet<CaseId>,
}

impl Duties {
    /// The duties of the renter with this key; with a sharer, of a private job.
    #[must_use]
    pub fn new(client: &Client, key: &SecretKey, sharer: Option<Sharer>) -> Self {
        let (client, key) = (client.clone(), key.clone());
        let (audited, attended) = (BTreeSet::new(), BTreeSet::new());
        Self { client, key, sharer, auditor: None, audited, attended }
    }

    /// Does what the present state of the deals asks for. What takes time runs on threads of its own; what fails is logged.
    pub fn look(&mut self, deals: &[Deal]) {
        let me = self.key.address();
        if let Some(sharer) = &mut self.sharer {
            sharer.look(deals);
        }
        for deal in deals {
            let case = deal.case().filter(|_| self.sharer.is_some());
            if case.is_some_and(|case| self.attended.insert(case.id)) {
                let (client, key, deal) = (self.client.clone(), self.key.clone(), deal.clone());
                std::thread::spawn(move || {
                    if let Err(error) = envelope::attend(&client, &key, &deal) {
                        tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "cannot attend the case");
                    }
                });
            }
            let DealState::Drawn { samples, .. } = &deal.state else { continue };
            for (index, sample) in (0u16..).zip(samples) {
                let mine = sample.auditor == Some(me) && !sample.passed;
                if mine && self.audited.insert((deal.id, deal.commits, index)) {
                    self.audit(deal.clone(), index, sample.segment);
                }
            }
        }
    }

    fn audit(&mut self, deal: Deal, sample: u16, segment: u32) {
        if self.auditor.is_none() {
            match Agent::auditing(self.client.clone(), self.key.clone()) {
                Ok(agent) => self.auditor = Some(agent),
                Err(error) => {
                    return tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "cannot audit");
                }
            }
        }
        if let Some(auditor) = &self.auditor {
            auditor.start_audit(deal, sample, segment);
        }
    }
}

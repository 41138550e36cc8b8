//! Somebody who trusts nobody: looks at results while they can be challenged, executes segments that nobody drew, and challenges what is wrong.
//!
//! Anybody may; it needs a key, money for the stake, and no role. What a right challenge earns is a share of the provider's deposit.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::pool::Backend as _;
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Cancel, verify};
use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState};
use gongsuan_types::order::Bid;
use gongsuan_types::{Hash, SecretKey};

use crate::client::{Client, ClientError};
use crate::provider::{deals, fetch_job, opening};

/// Between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was found of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Looked {
    /// What was committed is what comes out.
    True,
    /// Something else comes out, and it was challenged.
    Challenged,
    /// The list of receipts is not to be had.
    NoList,
    /// The job is private, and nobody has sent its keys.
    Private,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    key: SecretKey,
    /// Segments executed again for each batch of results.
    segments: u32,
    seen: BTreeSet<Hash>,
}

impl Watcher {
    /// A watcher that looks at so many segments of each batch of results.
    #[must_use]
    pub fn new(client: Client, key: SecretKey, segments: u32) -> Self {
        Self { client, key, segments, seen: BTreeSet::new() }
    }

    /// Watches until the process ends.
    pub fn run(&mut self, mut tell: impl FnMut(&Deal, u32, Looked)) {
        loop {
            if let Err(error) = self.look(&mut tell) {
                tracing::warn!(%error, "cannot read the deals");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Looks at all results that can be challenged now and were not looked at before.
    ///
    /// # Errors
    /// If the deals cannot be read. What goes wrong with one of them is logged, and tried again.
    pub fn look(&mut self, tell: &mut impl FnMut(&Deal, u32, Looked)) -> Result<(), ClientError> {
        let me = self.key.address();
        for deal in deals(&self.client, "state=open")? {
            let can = matches!(deal.state, DealState::Drawn { .. }) && deal.provider != me;
            let Some((commitment, _)) = deal.results().filter(|_| can) else { continue };
            if self.seen.contains(&commitment.root) {
                continue;
            }
            let seed = own_seed(&self.key, commitment.root);
            let picks = verify::draw(&seed, commitment.count, self.segments);
            let looked =
                picks.into_iter().map(|pick| deal.batch_first() + pick).try_for_each(|segment| {
                    let looked = self.inspect(&deal, segment)?;
                    tell(&deal, segment, looked);
                    anyhow::Ok(())
                });
            match looked {
                Ok(()) => drop(self.seen.insert(commitment.root)),
                Err(error) => {
                    tracing::warn!(deal = %deal.id, error = format!("{error:#}"), "cannot look at the results");
                }
            }
        }
        Ok(())
    }

    fn inspect(&self, deal: &Deal, segment: u32) -> anyhow::Result<Looked> {
        let Ok((committed, proof)) = opening(&self.client, deal, segment) else {
            return Ok(Looked::NoList);
        };
        let job = match fetch_job(&self.client, &self.key, deal, vec![segment]) {
            Ok(assignment) => assignment.job,
            Err(_) if is_private(&self.client, deal)? => return Ok(Looked::Private),
            Err(error) => return Err(error),
        };
        let pool = Pool::new(PoolConfig::new(std::env::current_exe()?, ["worker"]));
        let found = pool.run(&job, &Cancel::new(), &mut |_| {})?;
        let found = *found.first().context("no receipt")?;
        if verify::difference(&committed, &found).is_none() {
            return Ok(Looked::True);
        }
        let challenge = Command::Challenge { deal: deal.id, committed, proof, found };
        self.client.execute(&self.key, &[Op::Market(challenge)]).context("cannot challenge")?;
        Ok(Looked::Challenged)
    }
}

/// Whether a deal's order keeps its job to those who have to execute it.
fn is_private(client: &Client, deal: &Deal) -> Result<bool, ClientError> {
    Ok(client.order(deal.bid)?.bid().is_some_and(Bid::is_private))
}

/// Which segments a watcher looks at: nobody without its key can tell.
fn own_seed(key: &SecretKey, root: Hash) -> Hash {
    Hash::of("gongsuan/watch/v1", &[key.to_bytes(), root.0].concat())
}

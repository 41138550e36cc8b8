//! Payers who pay without a pause, and what they were told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gongsuan::api::wire::TxState;
use gongsuan::client::{Client, ClientError, sign};
use gongsuan::cluster::faucet_key;
use gongsuan_ledger::{Op, TxStatus, fee_min};
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey};

use super::{Error, Network};

const PAYERS: usize = 16;
/// Between two tries of the same bytes.
const AGAIN: Duration = Duration::from_millis(50);
/// A network that commits nothing for so long stands still.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one payer did.
#[derive(Debug)]
pub(super) struct Paid {
    /// Who was paid, by nobody else.
    payee: Address,
    /// Transfers that a node said were committed.
    pub(super) acknowledged: Vec<Hash>,
}

/// Payers at work.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    /// When a transfer was last acknowledged that had been sent at a moment; see [`Load::wait_for_commit`].
    newest: Arc<Mutex<Option<Instant>>>,
    /// The latest moment at which one was sent for the first time that was acknowledged since; see [`Load::acknowledged_after`].
    begun: Arc<Mutex<Option<Instant>>>,
    payers: Vec<JoinHandle<Result<Paid, Error>>>,
}

impl Load {
    /// Funds the payers and sets them to work.
    pub(super) fn start(network: &Network) -> Result<Self, Error> {
        let faucet = faucet_key("local");
        let keys: Vec<SecretKey> =
            (0..PAYERS).map(|n| SecretKey::from_seed(format!("payer {n}").as_bytes())).collect();
        let client = network.client(0);
        let amount = Amount::from_tokens(10_000).ok_or_else(|| Error("10,000 tokens".into()))?;
        let fund: Vec<Op> =
            keys.iter().map(|key| Op::Transfer { to: key.address(), amount }).collect();
        client.execute(&faucet, &fund)?;
        let genesis = client.genesis()?;
        let (chain, fee) = (genesis.chain_id(), fee_min(&genesis.params, 1));
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (newest, begun) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let payers = keys.into_iter().enumerate().map(|(n, key)| {
            let payee = SecretKey::from_seed(format!("payee {n}").as_bytes()).address();
            let payer = Payer { client: network.client(n), key, payee, chain, fee };
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            let (newest, begun) = (Arc::clone(&newest), Arc::clone(&begun));
            std::thread::spawn(move || payer.pay(&stop, &count, [&newest, &begun]))
        });
        let payers = payers.collect();
        Ok(Self { stop, count, newest, begun, payers })
    }

    /// Transfers acknowledged so far.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until a transfer is acknowledged that was sent after now; how long that took.
    pub(super) fn wait_for_commit(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        loop {
            let sent = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if sent.is_some_and(|sent| sent >= start) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > PATIENCE {
                return Err(Error(format!("nothing was committed for {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a transfer was acknowledged that nobody had seen before a moment. One that was sent before it may have been committed before it too, and the
    /// payer hears of it only when another node is asked.
    pub(super) fn acknowledged_after(&self, moment: Instant) -> bool {
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.is_some_and(|begun| begun >= moment)
    }

    /// Ends the work and collects what the payers were told.
    pub(super) fn stop(self) -> Result<Vec<Paid>, Error> {
        self.stop.store(true, Ordering::Relaxed);
        let join = |payer: JoinHandle<Result<Paid, Error>>| {
            payer.join().map_err(|_| Error("a payer panicked".into()))?
        };
        self.payers.into_iter().map(join).collect()
    }
}

struct Payer {
    client: Client,
    key: SecretKey,
    payee: Address,
    chain: Hash,
    fee: Amount,
}

impl Payer {
    /// One micro-token after another. What is not answered is sent again, the same bytes, until it is: only then the next.
    fn pay(
        &self,
        stop: &AtomicBool,
        count: &AtomicUsize,
        [newest, begun]: [&Mutex<Option<Instant>>; 2],
    ) -> Result<Paid, Error> {
        let mut acknowledged = Vec::new();
        let mut nonce = 0;
        while !stop.load(Ordering::Relaxed) {
            let op = Op::Transfer { to: self.payee, amount: Amount::new(1) };
            let tx = sign(&self.key, self.chain, nonce, self.fee, vec![op]);
            let first = Instant::now();
            let mut sent = first;
            loop {
                match self.client.submit(&tx) {
                    Ok(TxState::Committed { id, .. }) => {
                        acknowledged.push(id);
                        break;
                    }
                    Ok(TxState::Pending { .. } | TxState::Unknown { .. })
                    | Err(ClientError::Unreachable { .. } | ClientError::TimedOut(_)) => {}
                    Err(error) => {
                        return Err(Error(format!("transfer {nonce} is refused: {error}")));
                    }
                }
                std::thread::sleep(AGAIN);
                sent = Instant::now();
            }
            nonce += 1;
            count.fetch_add(1, Ordering::Relaxed);
            for (latest, moment) in [(newest, sent), (begun, first)] {
                let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                *latest = Some(latest.map_or(moment, |latest| latest.max(moment)));
            }
        }
        Ok(Paid { payee: self.payee, acknowledged })
    }
}

/// Transactions that were carried out, in all blocks up to one, each exactly once.
fn carried_out(node: &Client, top: Height) -> Result<BTreeSet<Hash>, Error> {
    let mut all = BTreeSet::new();
    for height in 1..=top.0 {
        for receipt in node.block(Height(height))?.receipts {
            if receipt.status == TxStatus::Applied && !all.insert(receipt.id) {
                return Err(Error(format!("block {height} carries {} out again", receipt.id)));
            }
        }
    }
    Ok(all)
}

/// Every transfer acknowledged is in the chain, once; every payee has at every node what was sent to it, no more and no less; all nodes have one root.
pub(super) fn judge(network: &Network, paid: &[Paid]) -> Result<(), Error> {
    let heights =
        (0..network.count()).map(|id| network.only(id).status().map(|status| status.height));
    let top = heights.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or_default();
    for id in 0..network.count() {
        let node = network.only(id);
        node.wait_for("the last block everywhere", Duration::from_secs(60), |node| {
            Ok((node.status()?.height >= top).then_some(()))
        })?;
        for Paid { payee, acknowledged } in paid {
            let (has, sent) = (node.account(*payee)?.balance.micro(), acknowledged.len());
            if has != sent as u128 {
                return Err(Error(format!(
                    "at v{id} {payee} has {has} micro-tokens, {sent} were sent"
                )));
            }
        }
        if !node.supply()?.equal {
            return Err(Error(format!("at v{id} the supply does not add up")));
        }
    }
    let all = carried_out(&network.client(0), top)?;
    let lost = paid.iter().flat_map(|payer| &payer.acknowledged).find(|id| !all.contains(id));
    if let Some(id) = lost {
        return Err(Error(format!("{id} was acknowledged and is in no block")));
    }
    network.check()
}

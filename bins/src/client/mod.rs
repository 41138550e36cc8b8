//! A blocking client of several nodes: what one does not answer, the next is asked.
//!
//! [`Client`] has a method for everything that the API answers ([`Client::status`], [`Client::orders`], [`Client::why`], …), signs and submits
//! ([`Client::execute`]), moves blobs ([`Client::put_blob`], [`Client::blob`]: checked against their hash, and continued after a break), and
//! listens without a gap ([`Client::events`]). `examples/client.rs` uses them all on a network of its own.
//!
//! ```no_run
//! use gongsuan::client::{Client, Page};
//! let client = Client::new(["http://127.0.0.1:8080".to_owned()]);
//! println!("block {}", client.status()?.height);
//! for order in client.orders(&Page { open: true, ..Page::default() })?.orders {
//!     println!("{}: {} open at {}; {}", order.id, order.open, order.price(), client.why(order.id)?.summary);
//! }
//! # Ok::<(), gongsuan::client::ClientError>(())
//! ```

mod events;
mod letters;
mod read;
mod upload;

use std::time::{Duration, Instant};

use gongsuan_ledger::{Op, SignedTransaction, Transaction, TxStatus};
use gongsuan_types::{Address, Amount, Hash, Refusal, SecretKey, TimeMs, Verified, codec};
use serde::de::DeserializeOwned;

use crate::api::wire::{AccountView, ErrorBody, TxState};

pub use events::Events;
pub use read::{Of, Page};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node answered.
    #[error("no node answers ({tried}): {last}")]
    Unreachable {
        /// Whom we asked.
        tried: String,
        /// What the last one's connection said.
        last: String,
    },
    /// A node refused.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(Box<Refusal>),
    /// A node answered something else than it should.
    #[error("{node} answers something unexpected: {reason}")]
    Malformed {
        /// Which.
        node: String,
        /// What.
        reason: String,
    },
    /// It did not happen in time.
    #[error("{0} did not happen in time")]
    TimedOut(String),
}

impl ClientError {
    pub(crate) fn missing(refusal: Refusal) -> Self {
        Self::NotFound(Box::new(refusal))
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Client {
    nodes: Vec<String>,
    agent: ureq::Agent,
    /// One blob from one node takes no longer than that, however often it breaks off.
    patience: Option<Duration>,
}

/// A request of a client without patience of its own.
const REQUEST_WITHIN: Duration = Duration::from_secs(40);

/// A download that breaks off with less of it than that is given up.
const PROGRESS_BYTES: usize = 4 << 10;

enum Failure {
    /// Ask the next node.
    Next(String),
    /// This is the answer.
    Final(Box<ClientError>),
}

impl Client {
    /// A client of these nodes, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = String>) -> Self {
        let nodes = nodes.into_iter().map(|node| node.trim_end_matches('/').to_owned());
        Self { nodes: nodes.collect(), agent: agent(REQUEST_WITHIN), patience: None }
    }

    /// The same client, which waits no longer than that for any answer, nor for a blob.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { agent: agent(patience), patience: Some(patience), ..self }
    }

    /// The same client, of one of its nodes only.
    #[must_use]
    pub fn only(&self, index: usize) -> Self {
        let nodes = self.nodes.get(index).cloned().into_iter().collect();
        Self { nodes, ..self.clone() }
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    fn first<T>(&self, ask: impl Fn(&str) -> Result<T, Failure>) -> Result<T, ClientError> {
        let mut last = "no node is configured; use --node URL or GONGSUAN_NODE".to_owned();
        for node in &self.nodes {
            match ask(node) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(*error),
                Err(Failure::Next(reason)) => last = reason,
            }
        }
        Err(ClientError::Unreachable { tried: self.nodes.join(", "), last })
    }

    /// A JSON answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.first(|node| {
            let answer = self.agent.get(format!("{node}{path}")).call();
            read(node, answer)
        })
    }

    /// A blob, checked against its hash. What breaks off is continued, from the next node if need be: bytes under a hash are the same
    /// everywhere.
    ///
    /// # Errors
    /// [`ClientError`]; `NotFound` if no node has it.
    pub fn blob(&self, hash: Hash) -> Result<Vec<u8>, ClientError> {
        let kept = std::cell::RefCell::new(Vec::new());
        let until = self.patience.map(|patience| Instant::now() + patience);
        let found = loop {
            let before = kept.borrow().len();
            let found = self.first(|node| {
                let mut bytes = kept.borrow_mut();
                self.continue_blob(node, hash, &mut bytes)?;
                if Hash::of_content(&bytes) == hash {
                    return Ok(std::mem::take(&mut *bytes));
                }
                // Nobody knows whose part was wrong: the next node is asked for everything.
                bytes.clear();
                Err(Failure::Next("it sends other bytes".into()))
            });
            // All have broken off, and some of it came: they are asked once more for the rest.
            let is_late = until.is_some_and(|until| Instant::now() >= until);
            if found.is_ok() || is_late || kept.borrow().len() < before + PROGRESS_BYTES {
                break found;
            }
        };
        found.map_err(|error| {
            let message = error.to_string();
            ClientError::missing(Refusal::new(
                "not-found",
                "blob",
                "a node that has it",
                hash,
                message,
            ))
        })
    }

    /// Appends what is missing of a blob; what came before a break is kept.
    fn continue_blob(&self, node: &str, hash: Hash, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        use std::io::Read as _;
        let url = format!("{node}/v1/blobs/{hash}");
        let answer = self.agent.get(url).header("range", format!("bytes={}-", bytes.len())).call();
        let answer = answer.map_err(|error| Failure::Next(error.to_string()))?;
        match answer.status().as_u16() {
            200 => bytes.clear(),
            206 => {}
            // Nothing is missing, or the blob is empty: the hash tells.
            416 => return Ok(()),
            _ => return Err(Failure::Next("not there".into())),
        }
        let room = (crate::node::blobs::BLOB_BYTES_MAX + 1).saturating_sub(bytes.len());
        let mut rest = answer.into_body().into_reader().take(room as u64);
        rest.read_to_end(bytes).map_err(|error| Failure::Next(error.to_string())).map(drop)
    }

    /// Hands in a transaction and waits until it is durably committed. The same bytes may go to several nodes: they count once.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` also where the chain refused an operation.
    pub fn submit(&self, tx: &SignedTransaction) -> Result<TxState, ClientError> {
        let bytes = codec::encode(tx);
        let state: TxState = self.first(|node| {
            let url = format!("{node}/v1/tx?wait=commit");
            let answer = self.agent.post(url).content_type("application/octet-stream").send(&bytes);
            match read(node, answer) {
                Err(Failure::Final(error)) => Err(match *error {
                    // Another node may have room; the same bytes count once.
                    ClientError::Refused(refusal)
                        if ["busy", "timeout", "stopped"].contains(&refusal.code.as_ref()) =>
                    {
                        Failure::Next(refusal.to_string())
                    }
                    other => Failure::Final(Box::new(other)),
                }),
                other => other,
            }
        })?;
        if let TxState::Committed { receipt, .. } = &state {
            match &receipt.status {
                TxStatus::Applied => {}
                TxStatus::Failed { refusal, .. } | TxStatus::Skipped { refusal } => {
                    return Err(refusal.clone().into());
                }
            }
        }
        Ok(state)
    }

    /// Signs operations with the account's next nonce and submits them. A nonce that somebody else used meanwhile is tried again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn execute(&self, key: &SecretKey, ops: &[Op]) -> Result<TxState, ClientError> {
        let genesis: gongsuan_ledger::Genesis = self.get("/v1/genesis")?;
        let fee = gongsuan_ledger::fee_min(&genesis.params, ops.len());
        let mut tries = 0;
        loop {
            let account: AccountView = self.get(&format!("/v1/accounts/{}", key.address()))?;
            let nonce = account.nonce_next;
            let tx = sign(key, genesis.chain_id(), nonce, fee, ops.to_vec());
            match self.submit(&tx) {
                Err(ClientError::Refused(refusal)) if refusal.code == "bad-nonce" && tries < 5 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => return other,
            }
        }
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`], or what `ask` fails with.
    pub fn wait_for<T>(
        &self,
        what: &str,
        patience: Duration,
        mut ask: impl FnMut(&Self) -> Result<Option<T>, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + patience;
        loop {
            match ask(self) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) | Err(ClientError::Unreachable { .. }) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(ClientError::TimedOut(what.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }
}

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(2).min(patience)))
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .build();
    config.into()
}

/// Signs a transaction that expires in ten minutes.
#[must_use]
pub fn sign(
    key: &SecretKey,
    chain_id: Hash,
    nonce: u64,
    fee: Amount,
    ops: Vec<Op>,
) -> SignedTransaction {
    let sender: Address = key.address();
    let expires_at = TimeMs(crate::node::clock().0 + 600_000);
    let version = gongsuan_ledger::tx::TX_VERSION;
    let body = Transaction { version, chain_id, sender, nonce, fee, expires_at, ops };
    Verified::sign(body, key).into_signed()
}

fn read<T: DeserializeOwned>(
    node: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T, Failure> {
    let mut answer = answer.map_err(|error| Failure::Next(error.to_string()))?;
    let ok = answer.status().is_success();
    let missing = answer.status() == 404;
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string();
    let text = text.map_err(|error| Failure::Next(error.to_string()))?;
    let malformed = |error: serde_json::Error| {
        let (node, reason) = (node.to_owned(), error.to_string());
        Failure::Final(Box::new(ClientError::Malformed { node, reason }))
    };
    if ok {
        return serde_json::from_str(&text).map_err(malformed);
    }
    let ErrorBody(refusal) = serde_json::from_str(&text).map_err(malformed)?;
    Err(Failure::Final(Box::new(if missing {
        ClientError::missing(refusal)
    } else {
        refusal.into()
    })))
}

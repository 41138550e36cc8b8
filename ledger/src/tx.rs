//! Transactions.

use std::sync::LazyLock;

use gongsuan_market::Command;
use gongsuan_types::court::Verdict;
use gongsuan_types::credential::Shown;
use gongsuan_types::signed::Signable;
use gongsuan_types::{
    Address, Amount, EncryptionKey, Hash, Hasher, PublicKey, Refusal, Signature, Signed, TimeMs,
    codec,
};
use serde::{Deserialize, Serialize};

use crate::identity::Role;

/// The only version.
pub const TX_VERSION: u16 = 1;
/// Operations in one transaction, at most.
pub const OPS_MAX: usize = 64;
/// Bytes of one signed transaction, at most.
pub const TX_BYTES_MAX: usize = 64 << 10;

/// One thing that a transaction does. Variants are appended, never reordered.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Pays somebody.
    Transfer {
        /// Whom.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// An issuer attests a role.
    Grant {
        /// Of whom.
        subject: Address,
        /// Which.
        role: Role,
        /// Until then; at most a year ahead.
        expires_at: TimeMs,
    },
    /// An issuer takes a role back, for new orders at once.
    Revoke {
        /// Of whom.
        subject: Address,
        /// Which.
        role: Role,
    },
    /// Something for the market.
    Market(Command),
    /// What validators found of cases: at most [`gongsuan_types::court::VERDICTS_MAX`], each signed by the validator that it names. Anybody may bring them.
    Judge(Vec<Signed<Verdict>>),
    /// A supervisor wants an account frozen: it can finish its deals, and do nothing else. Enough of them together freeze it.
    Freeze {
        /// Whom.
        subject: Address,
        /// Why, for everybody to read; at most [`crate::identity::REASON_BYTES_MAX`] bytes.
        reason: String,
    },
    /// An issuer attests a role together with attributes that the holder can show one by one.
    Attest {
        /// Of whom.
        subject: Address,
        /// Which.
        role: Role,
        /// Until then; at most a year ahead.
        expires_at: TimeMs,
        /// [`gongsuan_types::credential::root`] of the attributes.
        attributes: Hash,
    },
    /// A supervisor wants a frozen account freed, or takes back that it wants one frozen.
    Free {
        /// Whom.
        subject: Address,
    },
    /// An account shows who owns it: the attribute [`crate::identity::OWNER`], under the root that an issuer attested with one of its roles.
    ShowOwner {
        /// The role with whose attestation the attribute was attested.
        role: Role,
        /// The attribute and its path.
        shown: Box<Shown>,
    },
    /// The sender publishes the key to which others encrypt for it, instead of the one before.
    PublishKey {
        /// The key.
        key: EncryptionKey,
        /// How many it published before: nobody can replace a key that it has not seen.
        number: u32,
    },
}

/// What an account wants done. All operations happen, or none.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// [`TX_VERSION`].
    pub version: u16,
    /// The chain it is for.
    pub chain_id: Hash,
    /// Whose it is and who signs.
    pub sender: Address,
    /// How many transactions of the sender came before.
    pub nonce: u64,
    /// To the treasury, whether or not the operations succeed.
    pub fee: Amount,
    /// Void from this block time on.
    pub expires_at: TimeMs,
    /// 1 to [`OPS_MAX`] operations.
    pub ops: Vec<Op>,
}

/// A transaction with its signature.
pub type SignedTransaction = Signed<Transaction>;

impl Transaction {
    /// The transaction's id: it does not depend on the signature.
    #[must_use]
    pub fn id(&self) -> Hash {
        Self::id_of(&codec::encode(self))
    }

    /// The id of the transaction with these canonical bytes.
    pub(crate) fn id_of(bytes: &[u8]) -> Hash {
        static TAGGED: LazyLock<Hasher> = LazyLock::new(|| Hasher::new("gongsuan/tx/v1"));
        let mut hasher = TAGGED.clone();
        hasher.update(bytes);
        hasher.finish()
    }

    /// What can be checked without state: version, chain, number of operations.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self, chain_id: Hash) -> Result<(), Refusal> {
        let no = |code, field, limit: String, got: String, message: &str| {
            Err(Refusal::new(code, field, limit, got, message))
        };
        if self.version != TX_VERSION {
            let (limit, got) = (TX_VERSION.to_string(), self.version.to_string());
            return no("unknown-version", "version", limit, got, "the version is not known");
        }
        if self.chain_id != chain_id {
            let (limit, got) = (chain_id.to_string(), self.chain_id.to_string());
            return no(
                "wrong-chain",
                "chain_id",
                limit,
                got,
                "the transaction is for another chain",
            );
        }
        if self.ops.is_empty() || self.ops.len() > OPS_MAX {
            let (limit, got) = (format!("1..={OPS_MAX}"), self.ops.len().to_string());
            return no("out-of-range", "ops", limit, got, "too few or too many operations");
        }
        Ok(())
    }
}

/// Names a transaction together with its signature: what was verified, and nothing else. An id alone would let a payload carry a known transaction
/// under a signature that nobody has checked, good for those who know the transaction and bad for all others.
#[must_use]
pub fn witness_id(id: &Hash, signature: &Signature) -> Hash {
    static TAGGED: LazyLock<Hasher> = LazyLock::new(|| Hasher::new("gongsuan/witness/v1"));
    let mut hasher = TAGGED.clone();
    hasher.update(&id.0).update(&signature.0);
    hasher.finish()
}

impl Signable for Transaction {
    fn signer(&self) -> PublicKey {
        self.sender.public_key()
    }
    fn digest(&self) -> Hash {
        self.id()
    }
}

/// Reads a signed transaction from its canonical bytes.
///
/// # Errors
/// A [`Refusal`]: too long, malformed, trailing bytes, not canonical.
pub fn decode(bytes: &[u8]) -> Result<SignedTransaction, Refusal> {
    codec::decode("transaction", TX_BYTES_MAX, bytes).map_err(|error| {
        let limit = format!("canonical bytes, at most {TX_BYTES_MAX}");
        Refusal::new("malformed", "tx", limit, format!("{} bytes", bytes.len()), error.to_string())
    })
}

//! Who may do what.

use gongsuan_types::{Address, EncryptionKey, Hash, TimeMs};
use serde::{Deserialize, Serialize};

/// A year in milliseconds: no attestation lasts longer.
pub const ATTESTATION_MS_MAX: u64 = 366 * 86_400_000;

/// What an issuer can attest.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May order work.
    Renter,
    /// May offer machines.
    Provider,
    /// May be drawn to re-execute segments.
    Auditor,
    /// May grant and revoke.
    Issuer,
    /// Watches over the chain: enough of them together freeze an account, with a public reason.
    Supervisor,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Renter => "renter",
            Self::Provider => "provider",
            Self::Auditor => "auditor",
            Self::Issuer => "issuer",
            Self::Supervisor => "supervisor",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = gongsuan_types::Refusal;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Renter, Self::Provider, Self::Auditor, Self::Issuer, Self::Supervisor]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| {
                let limit = "renter, provider, auditor, issuer or supervisor";
                gongsuan_types::Refusal::new("bad-role", "role", limit, text, "not a role")
            })
    }
}

/// A role that somebody has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attestation {
    /// Who attested it.
    pub issuer: Address,
    /// It holds before this block time.
    pub expires_at: TimeMs,
    /// The root over attributes that the issuer vouches for: see [`gongsuan_types::credential`].
    pub attributes: Option<Hash>,
}

/// The attribute that names who owns an account. Issuers give one owner one value, whichever of its accounts they attest; it should be a name that
/// says nothing by itself, because it is shown to everybody.
pub const OWNER: &str = "owner";

/// An owner as the market knows it. Of two issuers that use one value both mean one owner: that excludes too much rather than too little.
#[must_use]
pub fn owner(value: &str) -> Hash {
    Hash::of("gongsuan/owner/v1", value.as_bytes())
}

/// The key to which others encrypt for an account. Those before it are in the blocks in which they were published.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedKey {
    /// The key.
    pub key: EncryptionKey,
    /// How many the account published before.
    pub number: u32,
    /// When.
    pub since: TimeMs,
}

/// Bytes of the reason for a freeze, at most.
pub const REASON_BYTES_MAX: usize = 280;

/// What supervisors say of an account. It is frozen from when enough of them say so until enough of them take it back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Freeze {
    /// Why, for everybody to read: what the first of them said.
    pub reason: String,
    /// Who wants it frozen (or, of a frozen one, freed), in rising order.
    pub votes: Vec<Address>,
    /// Since when it is frozen.
    pub since: Option<TimeMs>,
}

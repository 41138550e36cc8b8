//! Who may do what.

use gongsuan_types::{Address, TimeMs};
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
    /// Watches over the chain; no power of its own yet.
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
}

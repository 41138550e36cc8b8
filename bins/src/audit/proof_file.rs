//! A proof as a file: JSON around the canonical bytes.

use std::path::Path;

use gongsuan_consensus::ValidatorSet;
use gongsuan_ledger::proof::{PROOF_BYTES_MAX, Passed, Refuted};
use gongsuan_ledger::{Header, LightClient, Proof};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subject::{Subject, shown};
use super::{Check, Validators};
use crate::node::config::ConfigError;

/// The schema of a proof file.
pub const SCHEMA: &str = "gongsuan/proof/v1";
/// The schema of a checkpoint.
pub const CHECKPOINT: &str = "gongsuan/checkpoint/v1";

/// See the module's documentation. All but `proof` follows from `proof`, and is checked to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    /// [`SCHEMA`].
    pub schema: String,
    /// The kind of the subject, such as `account`.
    pub kind: String,
    /// Which.
    pub id: String,
    /// What the proof shows, for people and scripts.
    pub shows: Value,
    /// The canonical bytes of a [`Proof`], in hexadecimal.
    pub proof: String,
}

impl ProofFile {
    /// The file of a proof.
    #[must_use]
    pub fn new(proof: &Proof) -> Self {
        let (kind, id) = Subject::of(proof).name();
        let bytes = hex::encode(proof.encode());
        let (schema, kind) = (SCHEMA.to_owned(), kind.to_owned());
        Self { schema, kind, id, shows: shown(proof), proof: bytes }
    }

    /// The proof inside, and whether the rest of the file is what follows from it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(&self) -> Result<Proof, String> {
        if self.schema != SCHEMA {
            return Err(format!("the schema is `{}`, this program reads `{SCHEMA}`", self.schema));
        }
        if self.proof.len() > 2 * PROOF_BYTES_MAX {
            return Err(format!(
                "the proof has {} digits, the limit is {}",
                self.proof.len(),
                2 * PROOF_BYTES_MAX
            ));
        }
        let bytes = hex::decode(&self.proof).map_err(|error| format!("proof: {error}"))?;
        let proof = Proof::decode(&bytes).map_err(|error| error.to_string())?;
        let expected = Self::new(&proof);
        for (field, got, follows) in [
            ("kind", &self.kind, &expected.kind),
            ("id", &self.id, &expected.id),
            ("shows", &self.shows.to_string(), &expected.shows.to_string()),
            ("proof", &self.proof, &expected.proof),
        ] {
            if got != follows {
                return Err(format!("`{field}` is not what the proof is about: it says {follows}"));
            }
        }
        Ok(proof)
    }

    /// Checks everything, in order, up to the first check that fails.
    pub fn check(&self, client: &mut LightClient<Validators>) -> Vec<Check> {
        let ok = |passed: Passed| Check {
            name: passed.step.to_string(),
            ok: true,
            detail: passed.detail,
        };
        let proof = match self.read() {
            Ok(proof) => proof,
            Err(detail) => return vec![Check { name: "file".into(), ok: false, detail }],
        };
        let detail = format!("{} {}, {} bytes", self.kind, self.id, self.proof.len() / 2);
        let mut checks = vec![Check { name: "file".into(), ok: true, detail }];
        match client.verify(&proof) {
            Ok(passed) => checks.extend(passed.into_iter().map(ok)),
            Err(Refuted { step, reason, passed }) => {
                checks.extend(passed.into_iter().map(ok));
                checks.push(Check { name: step.to_string(), ok: false, detail: reason });
            }
        }
        checks
    }
}

/// A header that somebody trusts, and who votes after it: as good a beginning as a genesis.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// [`CHECKPOINT`].
    pub schema: String,
    /// The header.
    pub header: Header,
    /// The validators of its epoch.
    pub validators: ValidatorSet,
}

impl Checkpoint {
    /// What a client trusts after it has verified a proof.
    #[must_use]
    pub fn new(header: Header, validators: ValidatorSet) -> Self {
        Self { schema: CHECKPOINT.to_owned(), header, validators }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] that names it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let fault = |reason: String| ConfigError { path: path.to_owned(), reason };
        let text = crate::node::config::read_file(path)?;
        let read: Self = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        if read.schema != CHECKPOINT {
            return Err(fault(format!("the schema is `{}`, not `{CHECKPOINT}`", read.schema)));
        }
        Ok(read)
    }

    /// A client that trusts it.
    #[must_use]
    pub fn client(&self) -> LightClient<Validators> {
        let validators = Validators::new(self.header.chain_id, self.validators.clone());
        LightClient::from_checkpoint(self.header, validators)
    }
}

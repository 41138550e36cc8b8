//! Letters of deals: which blobs are letters, of which deal, from whom and to whom. Off the chain; a node keeps what the parties leave with it.
//!
//! ```text
//! letters/<deal>/<from>.<to>     the letters' content addresses, one a line; their bytes are among the blobs
//! ```

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gongsuan_market::{Deal, DealState};
use gongsuan_types::{Address, DealId, Hash, Refusal, codec};

use super::blobs::Blobs;
use crate::envelope::{LETTER_BYTES_MAX, SignedLetter};

/// Letters from one account to another in one deal, at most: openings of a million outputs are 512.
pub const LETTERS_MAX: usize = 1_024;

/// The letters of one node.
#[derive(Debug)]
pub struct Letters {
    dir: PathBuf,
    blobs: Arc<Blobs>,
    /// One writer at a time, so that a list is never read half written by another.
    writing: Mutex<()>,
}

/// Who may write and read letters of a deal, beside the validators: who has a part in it now or had one.
#[must_use]
pub fn is_concerned(deal: &Deal, who: &Address) -> bool {
    let samples = match &deal.state {
        DealState::Drawn { samples, .. }
        | DealState::Disputed { samples, .. }
        | DealState::Demanded { samples, .. }
        | DealState::Settled { samples, .. } => samples.as_slice(),
        _ => &[],
    };
    [deal.renter, deal.provider].contains(who)
        || deal.dropped().any(|(provider, _)| provider == *who)
        || samples.iter().any(|sample| sample.auditor == Some(*who))
        || deal.case().is_some_and(|case| case.by == *who)
}

impl Letters {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn open(dir: PathBuf, blobs: Arc<Blobs>) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir, blobs, writing: Mutex::new(()) })
    }

    /// The letter in these bytes, with its signature checked.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, malformed, of another deal or chain, not signed by its sender.
    pub fn check(bytes: &[u8], chain_id: Hash, deal: DealId) -> Result<SignedLetter, Refusal> {
        let letter: SignedLetter =
            codec::decode("letter", LETTER_BYTES_MAX, bytes).map_err(|error| {
                let (limit, got) =
                    (format!("canonical bytes, at most {LETTER_BYTES_MAX}"), bytes.len());
                Refusal::new(
                    "malformed",
                    "letter",
                    limit,
                    format!("{got} bytes"),
                    error.to_string(),
                )
            })?;
        let body = &letter.body;
        if (body.chain_id, body.deal) != (chain_id, deal) {
            let (limit, got) = (
                format!("deal {deal} of chain {chain_id}"),
                format!("deal {} of chain {}", body.deal, body.chain_id),
            );
            return Err(Refusal::new(
                "mismatch",
                "letter",
                limit,
                got,
                "the letter is of another deal",
            ));
        }
        let from = body.from;
        let checked = letter.verify().map_err(|error| {
            Refusal::new(
                "bad-signature",
                "signature",
                format!("one of {from}"),
                "another",
                error.to_string(),
            )
        })?;
        Ok(checked.into_signed())
    }

    /// Keeps a letter that was checked. Twice is the same as once. `by` is the address that it came from.
    ///
    /// # Errors
    /// A [`Refusal`]: too many of this sender, no room, or what the disk said.
    pub fn put(&self, letter: &SignedLetter, by: Option<IpAddr>) -> Result<Hash, Refusal> {
        let disk = |error: std::io::Error| {
            Refusal::new("disk", "letters", "a working disk", error.kind(), error.to_string())
        };
        let body = &letter.body;
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = self.dir.join(body.deal.to_string());
        let path = dir.join(format!("{}.{}", body.from, body.to));
        let bytes = codec::encode(letter);
        let hash = Hash::of_content(&bytes);
        let known = lines(&path);
        if known.contains(&hash) && self.blobs.renew(&hash) {
            return Ok(hash);
        }
        if !known.contains(&hash) && known.len() >= LETTERS_MAX {
            let message = "the sender has left as many letters for this account as a deal can have";
            return Err(Refusal::new("too-many", "letter", LETTERS_MAX, known.len(), message));
        }
        self.blobs.put(&bytes, Some(hash), by)?;
        if known.contains(&hash) {
            // Its bytes had made way for others; its line is there.
            return Ok(hash);
        }
        std::fs::create_dir_all(&dir).map_err(disk)?;
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(disk)?;
        // A line that a crash cut short must not swallow this one.
        write!(file, "\n{hash}\n").map_err(disk)?;
        file.sync_all().map_err(disk)?;
        for dir in [&dir, &self.dir] {
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk)?;
        }
        Ok(hash)
    }

    /// The content addresses of a deal's letters to an account, those of one sender in the order in which they came.
    #[must_use]
    pub fn of(&self, deal: DealId, to: &Address) -> Vec<Hash> {
        let Ok(entries) = std::fs::read_dir(self.dir.join(deal.to_string())) else {
            return Vec::new();
        };
        let end = format!(".{to}");
        let own = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut own: Vec<PathBuf> =
            own.filter(|path| path.to_string_lossy().ends_with(&end)).collect();
        own.sort();
        own.iter().flat_map(|path| lines(path)).collect()
    }
}

impl Letters {
    /// The content addresses of all letters of a deal.
    pub(super) fn all(&self, deal: DealId) -> Vec<Hash> {
        let entries = std::fs::read_dir(self.dir.join(deal.to_string()));
        entries.into_iter().flatten().flatten().flat_map(|entry| lines(&entry.path())).collect()
    }
}

fn lines(path: &std::path::Path) -> Vec<Hash> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use gongsuan_ledger::identity::PublishedKey;
    use gongsuan_types::{SecretKey, TimeMs};

    use super::*;
    use crate::envelope::{KeyPair, Letter};

    fn letter(from: &SecretKey, to: &SecretKey) -> SignedLetter {
        let key =
            PublishedKey { key: KeyPair::derive(to, 0).public(), number: 0, since: TimeMs(1) };
        let place = (Hash::of("chain", b""), DealId(7));
        Letter::with_openings(place, from, (to.address(), key), &[]).unwrap()
    }

    #[test]
    fn letters_are_found_by_their_receiver_after_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
            Letters::open(dir.path().join("letters"), blobs).unwrap()
        };
        let [a, b, c] = ["a", "b", "c"].map(|name| SecretKey::from_seed(name.as_bytes()));
        let (first, second, other) = (letter(&a, &b), letter(&a, &b), letter(&a, &c));
        let letters = open();
        let hash = letters.put(&first, None).unwrap();
        assert_eq!(letters.put(&first, None).unwrap(), hash, "twice is once");
        letters.put(&other, None).unwrap();
        let path = dir.path().join("letters/7").join(format!("{}.{}", a.address(), b.address()));
        let mut torn = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        torn.write_all(b"0123").unwrap();
        let letters = open();
        let next = letters.put(&second, None).unwrap();
        assert_eq!(letters.of(DealId(7), &b.address()), [hash, next]);
        assert_eq!(letters.of(DealId(7), &c.address()).len(), 1);
        assert!(letters.of(DealId(8), &b.address()).is_empty());
        assert_eq!(letters.all(DealId(7)).len(), 3);
    }

    #[test]
    fn a_letter_of_another_deal_chain_or_signer_is_refused() {
        let [a, b] = ["a", "b"].map(|name| SecretKey::from_seed(name.as_bytes()));
        let good = letter(&a, &b);
        let chain = good.body.chain_id;
        let code = |letter: &SignedLetter, chain, deal| {
            Letters::check(&codec::encode(letter), chain, DealId(deal))
                .map_err(|error| error.code.into_owned())
        };
        assert_eq!(code(&good, chain, 7).as_ref(), Ok(&good));
        assert_eq!(code(&good, chain, 8), Err("mismatch".into()));
        assert_eq!(code(&good, Hash::ZERO, 7), Err("mismatch".into()));
        let mut forged = good;
        forged.body.from = b.address();
        assert_eq!(code(&forged, chain, 7), Err("bad-signature".into()));
        let long = vec![0; LETTER_BYTES_MAX + 1];
        assert_eq!(Letters::check(&long, chain, DealId(7)).unwrap_err().code, "malformed");
    }
}

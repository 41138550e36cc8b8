//! The parties' side: keys on the chain, letters out and in, and blobs opened with what the letters say.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_ledger::identity::PublishedKey;
use gongsuan_types::{Address, DealId, Hash, Refusal, SecretKey, codec};

use super::{
    Content, EnvelopeError, KeyPair, LETTER_BYTES_MAX, Letter, Mailbox, OPENINGS_MAX, Opening,
    SignedLetter, seal,
};
use crate::client::{Client, ClientError};

impl From<EnvelopeError> for ClientError {
    fn from(error: EnvelopeError) -> Self {
        let message = error.to_string();
        Refusal::new("sealed", "envelope", "what can be sealed and opened", "another", message)
            .into()
    }
}

/// An account that sends and reads letters.
#[derive(Debug, Clone)]
pub struct Post {
    client: Client,
    key: SecretKey,
    chain_id: Hash,
}

impl Post {
    /// The post of the account with this key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(client: &Client, key: &SecretKey) -> Result<Self, ClientError> {
        let chain_id = client.status()?.chain_id;
        Ok(Self { client: client.clone(), key: key.clone(), chain_id })
    }

    /// The nodes.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whose it is.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The key that an account has published.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn key_of(&self, address: Address) -> Result<Option<PublishedKey>, ClientError> {
        Ok(self.client.account(address)?.encryption_key)
    }

    /// The account's published key; publishes the first one if there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn publish(&self) -> Result<PublishedKey, ClientError> {
        match self.key_of(self.address())? {
            Some(published) => Ok(published),
            None => self.put(0),
        }
    }

    /// Publishes the key after the present one. What was sealed to keys before still opens: they follow from the account's secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rotate(&self) -> Result<PublishedKey, ClientError> {
        let next = self.key_of(self.address())?.map_or(0, |known| known.number.saturating_add(1));
        self.put(next)
    }

    fn put(&self, number: u32) -> Result<PublishedKey, ClientError> {
        let key = KeyPair::derive(&self.key, number).public();
        self.client.execute(&self.key, &[Op::PublishKey { key, number }])?;
        self.key_of(self.address())?.ok_or_else(|| {
            let message = "the node has not yet what the chain has committed; try again";
            Refusal::new("not-found", "key", "the published key", "none", message).into()
        })
    }

    /// Encrypts a blob and stores the ciphertext.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put_blob(&self, plain: &[u8]) -> Result<Opening, ClientError> {
        let (opening, sealed) = seal(&self.key, plain);
        self.client.put_blob(&sealed)?;
        Ok(opening)
    }

    /// Sends openings to an account, in as many letters as they need. `false`, and nothing is sent, if it has not published a key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn send(
        &self,
        deal: DealId,
        to: Address,
        openings: &[Opening],
    ) -> Result<bool, ClientError> {
        let Some(key) = self.key_of(to)? else { return Ok(false) };
        for part in openings.chunks(OPENINGS_MAX) {
            let letter = Letter::with_openings((self.chain_id, deal), &self.key, (to, key), part)?;
            self.client.put_letter(&letter)?;
        }
        Ok(true)
    }

    /// Signs and sends what needs no sealing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn say(&self, deal: DealId, to: Address, content: Content) -> Result<(), ClientError> {
        self.client.put_letter(&Letter::saying((self.chain_id, deal), &self.key, to, content))
    }

    /// The letters of a deal to this account, each read once.
    #[must_use]
    pub fn mailbox(&self, deal: DealId) -> Mailbox {
        Mailbox::new(&self.client, (self.chain_id, deal, self.address()))
    }

    /// Signs and sends [`super::DELETION`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn promise_deletion(&self, deal: DealId, to: Address) -> Result<(), ClientError> {
        self.say(deal, to, Content::Deletion { at: crate::node::clock() })
    }

    /// The letters of a deal to this account whose signatures hold.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn letters(&self, deal: DealId) -> Result<Vec<SignedLetter>, ClientError> {
        letters(&self.client, (self.chain_id, deal, self.address()))
    }

    /// The letters of a deal from one account to another. What is sealed in them stays so.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn letters_between(
        &self,
        deal: DealId,
        from: Address,
        to: Address,
    ) -> Result<Vec<SignedLetter>, ClientError> {
        let mut all = letters(&self.client, (self.chain_id, deal, to))?;
        all.retain(|letter| letter.body.from == from);
        Ok(all)
    }

    /// What the letters of a deal to this account open.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn keyring(&self, deal: DealId) -> Result<Keyring, ClientError> {
        Ok(Keyring::new(&self.key, &self.letters(deal)?))
    }
}

/// The letters of a deal of a chain to an account whose signatures hold, whoever asks: what is sealed in them stays so.
///
/// # Errors
/// [`ClientError`].
pub fn letters(
    client: &Client,
    place: (Hash, DealId, Address),
) -> Result<Vec<SignedLetter>, ClientError> {
    let (_, deal, to) = place;
    let hashes = client.letters(deal, to)?;
    let read = hashes.into_iter().filter_map(|hash| read_letter(&client.blob(hash).ok()?, place));
    Ok(read.collect())
}

/// A letter out of its bytes, if it is one of this chain and deal to this account and its signature holds.
pub(super) fn read_letter(bytes: &[u8], place: (Hash, DealId, Address)) -> Option<SignedLetter> {
    let letter: SignedLetter = codec::decode("letter", LETTER_BYTES_MAX, bytes).ok()?;
    let body = &letter.body;
    let is_here = (body.chain_id, body.deal, body.to) == place;
    is_here.then(|| letter.verify().ok()).flatten().map(gongsuan_types::Verified::into_signed)
}

/// What letters open, by the hash of the plaintext. Several openings of one blob may be there, of which some may be wrong.
#[derive(Debug, Clone, Default)]
pub struct Keyring(BTreeMap<Hash, Vec<Opening>>);

impl Keyring {
    /// What these letters open for a receiver. Those that are not for it open nothing.
    #[must_use]
    pub fn new(receiver: &SecretKey, letters: &[SignedLetter]) -> Self {
        let mut found = Self::default();
        for opening in
            letters.iter().flat_map(|one| one.body.openings(receiver).unwrap_or_default())
        {
            let known = found.0.entry(opening.plain).or_default();
            if !known.contains(&opening) {
                known.push(opening);
            }
        }
        found
    }

    /// The openings of these blobs.
    pub fn of<'a>(
        &'a self,
        plains: impl IntoIterator<Item = Hash> + 'a,
    ) -> impl Iterator<Item = &'a Opening> {
        plains.into_iter().filter_map(|plain| self.0.get(&plain)).flatten()
    }

    /// The plaintext of a blob: the first opening with which `fetch` brings one.
    pub fn open(
        &self,
        plain: Hash,
        mut fetch: impl FnMut(Hash) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        self.of([plain]).find_map(|opening| opening.open(&fetch(opening.sealed)?).ok())
    }
}

/// Where the blobs of a deal come from: from the nodes as they are or, in a private job, opened with what came in letters.
#[derive(Debug)]
pub struct Source<'a> {
    client: &'a Client,
    keyring: Option<Keyring>,
}

impl<'a> Source<'a> {
    /// What everybody may read.
    #[must_use]
    pub fn open(client: &'a Client) -> Self {
        Self { client, keyring: None }
    }

    /// A private deal, as the account with this key can read it now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn private(client: &'a Client, key: &SecretKey, deal: DealId) -> Result<Self, ClientError> {
        Ok(Self { client, keyring: Some(Post::new(client, key)?.keyring(deal)?) })
    }

    /// A blob by the hash of its plaintext.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if no node has it, or no letter opens it.
    pub fn blob(&self, plain: Hash) -> Result<Vec<u8>, ClientError> {
        let Some(keyring) = &self.keyring else { return self.client.blob(plain) };
        keyring.open(plain, |sealed| self.client.blob(sealed).ok()).ok_or_else(|| {
            let message = "the job is private, and no letter to this account opens the blob";
            ClientError::missing(Refusal::new("not-found", "blob", "a letter", plain, message))
        })
    }
}

/// Where the outputs of a deal go: to the nodes as they are or, in a private job, encrypted.
#[derive(Debug)]
pub struct Outputs<'a> {
    client: &'a Client,
    sealed: Option<(Post, Vec<Opening>)>,
}

impl<'a> Outputs<'a> {
    /// The outputs of a provider with this key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(client: &'a Client, key: &SecretKey, private: bool) -> Result<Self, ClientError> {
        let post = private.then(|| Post::new(client, key)).transpose()?;
        Ok(Self { client, sealed: post.map(|post| (post, Vec::new())) })
    }

    /// Stores one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put(&mut self, output: &[u8]) -> Result<(), ClientError> {
        match &mut self.sealed {
            None => drop(self.client.put_blob(output)?),
            Some((post, openings)) => openings.push(post.put_blob(output)?),
        }
        Ok(())
    }

    /// Sends what opens them to the renter; and to the provider itself, for a case that asks for an output after a restart.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn deliver(self, deal: DealId, renter: Address) -> Result<(), ClientError> {
        let Some((post, openings)) = self.sealed else { return Ok(()) };
        for to in [renter, post.address()] {
            if !post.send(deal, to, &openings)? {
                let message =
                    "nothing can be sealed to an account that has not published an encryption key";
                return Err(Refusal::new("not-found", "key", "a published key", to, message).into());
            }
        }
        Ok(())
    }
}

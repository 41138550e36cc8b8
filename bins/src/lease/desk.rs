//! The renter's side of tasks: hands them in, and reads what came out.

use anyhow::Context as _;
use gongsuan_market::Deal;
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, DealId, Hash, SecretKey, codec};

use super::{Answer, TASK_BYTES_MAX, Task};
use crate::client::{Client, ClientError};
use crate::envelope::{Content, Keyring, Mailbox, Post, SignedLetter};

/// What the renter of one deal hands in and gets back.
#[derive(Debug)]
pub struct Desk {
    client: Client,
    key: SecretKey,
    post: Post,
    mailbox: Mailbox,
    letters: Vec<SignedLetter>,
}

impl Desk {
    /// The desk of a lease's renter. Publishes the account's encryption key, if it has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(client: &Client, key: &SecretKey, deal: DealId) -> Result<Self, ClientError> {
        let post = Post::new(client, key)?;
        post.publish()?;
        let (mailbox, letters) = (post.mailbox(deal), Vec::new());
        Ok(Self { client: client.clone(), key: key.clone(), post, mailbox, letters })
    }

    /// Hands a task in: seals it with its module and input to the provider, and says that it is there.
    ///
    /// # Errors
    /// [`ClientError`], or that the provider cannot be sent secrets.
    pub fn hand_in(
        &self,
        deal: &Deal,
        task: &Task,
        (module, input): (&[u8], &[u8]),
    ) -> anyhow::Result<()> {
        let blobs = [&codec::encode(task), module, input];
        let openings = blobs.map(|blob| self.post.put_blob(blob));
        let openings = openings.into_iter().collect::<Result<Vec<_>, _>>()?;
        let was_sent = self.post.send(deal.id, deal.provider, &openings)?;
        anyhow::ensure!(was_sent, "the provider has published no encryption key");
        let content = Content::Task { task: task.id() };
        Ok(self.post.say(deal.id, deal.provider, content)?)
    }

    /// What a provider says of a task, if it has and the letters that open it are here.
    ///
    /// # Errors
    /// [`ClientError`], or that what opens is no answer.
    pub fn answer(&mut self, provider: Address, task: Hash) -> anyhow::Result<Option<Answer>> {
        self.letters.extend(self.mailbox.look()?);
        let mut said = self.letters.iter().filter(|letter| letter.body.from == provider);
        let named = said.find_map(|letter| match &letter.body.content {
            Content::Done { task: of, answer } if *of == task => Some(*answer),
            _ => None,
        });
        let Some(bytes) = named.and_then(|answer| self.open(answer)) else { return Ok(None) };
        Ok(Some(codec::decode("answer", TASK_BYTES_MAX, &bytes)?))
    }

    /// The output that a receipt names.
    ///
    /// # Errors
    /// If it does not open.
    pub fn output(&self, receipt: &Receipt) -> anyhow::Result<Vec<u8>> {
        let missing = || format!("the output of segment {} does not open", receipt.segment);
        self.open(receipt.output).with_context(missing)
    }

    fn open(&self, plain: Hash) -> Option<Vec<u8>> {
        let keyring = Keyring::new(&self.key, &self.letters);
        keyring.open(plain, |sealed| self.client.blob(sealed).ok())
    }
}

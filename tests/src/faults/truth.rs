//! What must stand in every block, and the comparison of a folder with it.

use std::collections::BTreeSet;
use std::path::Path;

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{
    Body, Chain, Genesis, Location, Op, OrderedBlock, Retention, SignedTransaction, State, Subject,
    Transaction, apply_block,
};
use gongsuan_types::{Address, Amount, Hash, Height, PublicKey, SecretKey, Term, TimeMs, Verified};

use super::options;

/// Each of them sends one transaction in every block, so that its nonce is the height.
const SENDERS: u64 = 5;

/// The chain's beginning and the keys of those who use it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) genesis: Genesis,
    keys: Vec<SecretKey>,
    validator: PublicKey,
    chain_id: Hash,
}

/// A height's payload and what surrounds it.
pub(super) fn ordered<'a>(script: &Script, height: u64, body: &'a [u8]) -> OrderedBlock<'a> {
    OrderedBlock {
        height: Height(height),
        term: Term(1),
        time: TimeMs(height),
        proposer: script.validator,
        block: Hash::of_content(&height.to_le_bytes()),
        body,
    }
}

impl Script {
    pub(super) fn new() -> Self {
        let keys: Vec<SecretKey> =
            (0..SENDERS).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
        let account = |key: &SecretKey| GenesisAccount {
            address: key.address(),
            balance: Amount::new(1_000_000_000_000),
        };
        let validator = SecretKey::from_seed(b"validator").public_key();
        let genesis = Genesis {
            name: "faults".into(),
            time: TimeMs(0),
            params: Params { admission: Admission::Open, ..Params::default() },
            accounts: keys.iter().map(account).collect(),
            validators: vec![Validator { name: "v0".into(), key: validator }],
            issuers: vec![],
        };
        Self { chain_id: genesis.chain_id(), genesis, keys, validator }
    }

    /// Whom everybody pays in every block, besides somebody new.
    pub(super) fn payee() -> Address {
        Address(Hash::of_content(b"payee").0)
    }

    /// The signed transactions of a block.
    pub(super) fn body(&self, height: u64) -> Vec<u8> {
        let pay = |to| Op::Transfer { to, amount: Amount::new(1) };
        let sign = |(n, key): (u64, &SecretKey)| -> SignedTransaction {
            let somebody = Hash::of_content(&(height * SENDERS + n).to_le_bytes());
            let body = Transaction {
                version: 1,
                chain_id: self.chain_id,
                sender: key.address(),
                nonce: height - 1,
                fee: Amount::new(1_000),
                expires_at: TimeMs(u64::MAX),
                ops: vec![pay(Self::payee()), pay(Address(somebody.0))],
            };
            Verified::sign(body, key).into_signed()
        };
        Body { txs: (0..).zip(&self.keys).map(sign).collect() }.encode()
    }

    pub(super) fn check_body(&self, body: &[u8]) -> Result<(), String> {
        let checked = gongsuan_ledger::check_body(body, self.chain_id, &BTreeSet::new());
        checked.map(drop).map_err(|refusal| refusal.to_string())
    }
}

/// A state that the judge computes itself.
#[derive(Debug)]
pub(super) struct Truth {
    script: Script,
    state: State,
    /// By height, from 0 on.
    roots: Vec<Hash>,
}

impl Truth {
    pub(super) fn new() -> Self {
        let script = Script::new();
        let state = State::new(&script.genesis).expect("the genesis is sound");
        Self { roots: vec![state.root()], state, script }
    }

    fn follow(&mut self, height: u64) {
        while self.state.height().0 < height {
            let next = self.state.height().0 + 1;
            let body = self.script.body(next);
            apply_block(&mut self.state, &ordered(&self.script, next, &body));
            self.roots.push(self.state.root());
        }
    }

    /// Opens the folder and compares it with what must be there. `acknowledged` is the last block of the list, `began` the last that was there when the
    /// writer began: blocks before it were compared already, and are only sampled. The head that was found.
    pub(super) fn judge(
        &mut self,
        dir: &Path,
        retention: Retention,
        (began, acknowledged): (u64, u64),
    ) -> Result<u64, String> {
        let chain = Chain::open_with(dir, &self.script.genesis, options(retention))
            .map_err(|error| format!("the folder does not open: {error}"))?;
        let head = chain.state().height().0;
        // One block may be on the disk without its acknowledgement having been written.
        if head < acknowledged || head > acknowledged.max(began) + 1 {
            return Err(format!("block {acknowledged} was acknowledged, the chain ends at {head}"));
        }
        self.follow(head);
        if chain.state().root() != self.roots[usize::try_from(head).unwrap_or(0)] {
            return Err(format!("the state after block {head} is another one"));
        }
        for key in &self.script.keys {
            let nonce = chain.state().accounts().account(&key.address()).nonce;
            if nonce != head {
                return Err(format!("a sender's nonce is {nonce} after {head} transactions"));
            }
        }
        let mut paid = chain.history_page(Subject::Account(Script::payee()), None, 100_000);
        let rows = paid.as_mut().map(|page| &mut page.rows).map_err(|error| error.to_string())?;
        let kept = chain.first().0;
        let expected = (head + 1).saturating_sub(kept) * SENDERS;
        rows.dedup();
        if rows.len() as u64 != expected {
            return Err(format!(
                "{} payments are in the history, {expected} were made",
                rows.len()
            ));
        }
        let sampled = (1..=began).step_by(37).chain(began.saturating_sub(3).max(1)..=head);
        for height in sampled {
            self.block(&chain, height)?;
        }
        Ok(head)
    }

    fn block(&self, chain: &Chain, height: u64) -> Result<(), String> {
        let say = |what: String| format!("block {height}: {what}");
        let at = Height(height);
        let sealed = chain.sealed(at).map_err(|error| say(error.to_string()))?;
        let sealed = sealed.ok_or_else(|| say("its header is gone".into()))?;
        if sealed.header.state_root != self.roots[usize::try_from(height).unwrap_or(0)]
            || sealed.consensus != height.to_le_bytes()
        {
            return Err(say("its header is another one".into()));
        }
        if at < chain.first() {
            return Ok(());
        }
        let stored = chain.stored(at).map_err(|error| say(error.to_string()))?;
        let stored = stored.ok_or_else(|| say("it is gone".into()))?;
        if stored.body != self.script.body(height) {
            return Err(say("its transactions are others".into()));
        }
        for (index, receipt) in (0..).zip(&stored.receipts) {
            let found = chain.find(&receipt.id).map_err(|error| say(error.to_string()))?;
            if found != Some(Location { height: at, index }) {
                return Err(say(format!("transaction {index} is found at {found:?}")));
            }
        }
        Ok(())
    }
}

//! Accounts, signers and blocks of transfers.

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{Body, Genesis, Op, OrderedBlock, SignedTransaction, Transaction};
use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey, Signature, Term, TimeMs, Verified};

/// Who signs: more than transactions of a block, so that every one of a block has a signer of its own.
const SIGNERS: usize = 4_096;

/// A chain with money, and who can spend it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) genesis: Genesis,
    pub(super) chain_id: Hash,
    keys: Vec<SecretKey>,
    /// Each signer's next nonce.
    nonces: Vec<u64>,
    pub(super) height: u64,
}

/// A payload and what travels beside it.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) hints: Vec<Option<NonceHint>>,
}

fn stranger(n: usize) -> Address {
    Address(Hash::of("gongsuan/bench/stranger/v1", &n.to_le_bytes()).0)
}

impl World {
    pub(super) fn new() -> Self {
        let keys: Vec<SecretKey> =
            (0..SIGNERS).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
        let account = |key: &SecretKey| GenesisAccount {
            address: key.address(),
            balance: Amount::new(1_000_000_000_000),
        };
        let genesis = Genesis {
            name: "bench".into(),
            time: TimeMs(0),
            params: Params { admission: Admission::Open, ..Params::default() },
            accounts: keys.iter().map(account).collect(),
            validators: vec![Validator { name: "v0".into(), key: keys[0].public_key() }],
            issuers: vec![],
        };
        Self { chain_id: genesis.chain_id(), genesis, nonces: vec![0; keys.len()], keys, height: 0 }
    }

    /// The next transaction of a signer.
    fn tx(&mut self, signer: usize, ops: Vec<Op>) -> Transaction {
        self.nonces[signer] += 1;
        Transaction {
            version: 1,
            chain_id: self.chain_id,
            sender: self.keys[signer].address(),
            nonce: self.nonces[signer] - 1,
            fee: Amount::new(100_000),
            expires_at: TimeMs(u64::MAX),
            ops,
        }
    }

    /// Payloads that make accounts, 64 in a transaction; not signed, because nobody checks them here.
    pub(super) fn fill(&mut self, accounts: usize) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        let strangers: Vec<usize> = (0..accounts).collect();
        for block in strangers.chunks(64 * 512) {
            let mut txs = Vec::new();
            for (signer, some) in block.chunks(64).enumerate() {
                let pay = |n: &usize| Op::Transfer { to: stranger(*n), amount: Amount::new(5) };
                let body = self.tx(signer, some.iter().map(pay).collect());
                txs.push(SignedTransaction { body, signature: Signature([0; 64]) });
            }
            payloads.push(Body { txs }.encode());
        }
        payloads
    }

    /// A block of signed transfers, one for each of `count` signers, to accounts here and there.
    pub(super) fn transfers(&mut self, count: usize, accounts: usize) -> Block {
        let mut txs = Vec::with_capacity(count);
        for signer in 0..count {
            let to = stranger(
                (signer * 7_919 + usize::try_from(self.nonces[signer]).unwrap_or(0) * 104_729)
                    % accounts,
            );
            let body = self.tx(signer, vec![Op::Transfer { to, amount: Amount::new(1) }]);
            txs.push(Verified::sign(body, &self.keys[signer]).into_signed());
        }
        let hints = txs.iter().map(|tx| NonceHint::of(&tx.signature)).collect();
        Block { bytes: Body { txs }.encode(), hints }
    }

    pub(super) fn ordered<'a>(&mut self, body: &'a [u8]) -> OrderedBlock<'a> {
        self.height += 1;
        OrderedBlock {
            height: Height(self.height),
            term: Term(1),
            time: TimeMs(self.height),
            proposer: self.keys[0].public_key(),
            block: Hash::of_content(&self.height.to_le_bytes()),
            body,
        }
    }
}

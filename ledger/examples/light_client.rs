//! A light client follows a chain by headers and believes nothing without a proof.
//!
//! `cargo run -p gongsuan-ledger --example light_client`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]
#![expect(clippy::expect_used, reason = "an example stops where something is wrong")]

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::light::Authority;
use gongsuan_ledger::proof::{Fact, PROOF_VERSION, Past, receipt_of, transaction_of};
use gongsuan_ledger::{
    Body, Genesis, Header, HistoryTree, LightClient, Op, OrderedBlock, Proof, State, StateKey,
    StoredBlock, Transaction, apply_block,
};
use gongsuan_types::{
    Amount, Hash, Height, PublicKey, SecretKey, Signature, Term, TimeMs, Verified, codec,
};

/// One validator whose signature is the certificate. A real chain has a quorum of many: see `gongsuan::audit::Validators`.
struct One(PublicKey);

impl Authority for One {
    fn certifies(&mut self, header: &Header, certificate: &[u8]) -> Result<String, String> {
        let signature: Signature =
            codec::decode("signature", 64, certificate).map_err(|error| error.to_string())?;
        self.0.verify(&header.hash(), &signature).map_err(|error| error.to_string())?;
        Ok("signed".to_owned())
    }
}

fn main() {
    let (alice, bob) = (SecretKey::from_seed(b"alice"), SecretKey::from_seed(b"bob"));
    let genesis = Genesis {
        name: "light".into(),
        time: TimeMs(0),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: vec![GenesisAccount {
            address: alice.address(),
            balance: Amount::from_tokens(100).expect("fits"),
        }],
        validators: vec![Validator { name: "v0".into(), key: bob.public_key() }],
        issuers: vec![],
    };

    // A full node applies a thousand blocks and keeps all of it.
    let mut state = State::new(&genesis).expect("a good genesis");
    let (mut history, mut blocks) = (HistoryTree::default(), Vec::<StoredBlock>::new());
    for height in 1..=1_000_u64 {
        let transaction = Transaction {
            version: 1,
            chain_id: genesis.chain_id(),
            sender: alice.address(),
            nonce: height - 1,
            fee: Amount::new(200),
            expires_at: TimeMs(1_000_000),
            ops: vec![Op::Transfer { to: bob.address(), amount: Amount::new(1_000) }],
        };
        let body = Body { txs: vec![Verified::sign(transaction, &alice).into_signed()] }.encode();
        let ordered = OrderedBlock {
            height: Height(height),
            term: Term(1),
            time: TimeMs(height),
            proposer: bob.public_key(),
            block: Hash::of_content(&body),
            body: &body,
        };
        let applied = apply_block(&mut state, &ordered);
        history.push(applied.header.hash());
        blocks.push(StoredBlock {
            header: applied.header,
            body,
            receipts: applied.receipts,
            events: applied.events,
            consensus: vec![],
        });
    }

    // A light client trusts the genesis. The last header is certified; a header of long ago is in its past.
    let mut client = LightClient::from_genesis(genesis.chain_id(), One(bob.public_key()));
    let last = blocks[999].header;
    let certificate = codec::encode(&bob.sign(&last.hash()));
    let mut show = |what: &str, past: Option<Past>, fact: Fact| {
        let certificate = certificate.clone();
        let proof = Proof { version: PROOF_VERSION, anchor: last, certificate, past, fact };
        let passed = client.verify(&proof).expect("everything holds");
        println!("{what}, {} bytes", proof.encode().len());
        passed.iter().for_each(|step| println!("    {}: {}", step.step, step.detail));
        // One wrong bit and it is refused.
        let mut bytes = proof.encode();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let bent = Proof::decode(&bytes);
        assert!(bent.is_err() || bent.is_ok_and(|bent| client.verify(&bent).is_err()));
    };

    for (what, who) in [("bob's account", &bob), ("nobody has none", &SecretKey::from_seed(b"x"))] {
        let key = StateKey::Account(who.address());
        let (value, path) = (state.record(&key), state.prove(&key));
        show(what, None, Fact::Record { key, value, path });
    }
    let old = &blocks[122];
    let path = history.prove(122, 999).expect("999 headers stand under the last");
    let past = Some(Past { header: old.header, path });
    let id = old.receipts[0].id;
    show("a payment of long ago", past.clone(), transaction_of(old, &id).expect("it is there"));
    show("and what became of it", past, receipt_of(old, &id).expect("it is there"));
}

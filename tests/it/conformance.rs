//! Wire formats do not change by accident.

use std::path::Path;

use gongsuan_tests::conformance::Table;

fn table() -> Table {
    use gongsuan_types::{court, job, keys, merkle, order, receipt};
    let mut table = Table::default();
    table.add::<gongsuan_types::Hash>("types.Hash");
    table.add::<gongsuan_types::Address>("types.Address");
    table.add::<gongsuan_types::Amount>("types.Amount");
    table.add::<gongsuan_types::Refusal>("types.Refusal");
    table.add::<keys::Signature>("types.Signature");
    table.add::<merkle::Proof>("types.MerkleProof");
    table.add::<order::Ask>("types.Ask");
    table.add::<order::Bid>("types.Bid");
    table.add::<job::JobSpec>("types.JobSpec");
    table.add::<receipt::Receipt>("types.Receipt");
    table.add::<receipt::Commitment>("types.Commitment");
    table.add::<receipt::ReceiptProof>("types.ReceiptProof");
    table.add::<court::Verdict>("types.Verdict");
    table.add::<gongsuan_market::Command>("market.Command");
    table.add::<gongsuan_market::Settlement>("market.Settlement");
    table.add::<gongsuan_market::Event>("market.Event");
    table.add::<gongsuan_market::Order>("market.Order");
    table.add::<gongsuan_market::Deal>("market.Deal");
    table.add::<gongsuan_market::Certificate>("market.Certificate");
    table.add::<gongsuan_market::Pledge>("market.Pledge");
    table.add::<gongsuan_market::Standing>("market.Standing");
    table.add::<gongsuan_ledger::SignedTransaction>("ledger.SignedTransaction");
    table.add::<gongsuan_ledger::Header>("ledger.Header");
    table.add::<gongsuan_ledger::Event>("ledger.Event");
    table.add::<gongsuan_ledger::TxReceipt>("ledger.TxReceipt");
    table.add::<gongsuan_ledger::StoredBlock>("ledger.StoredBlock");
    table.add::<gongsuan_ledger::StateKey>("ledger.StateKey");
    table.add::<gongsuan_ledger::tree::StateProof>("ledger.StateProof");
    table.add::<gongsuan_ledger::HistoryProof>("ledger.HistoryProof");
    table.add::<gongsuan_ledger::Proof>("ledger.Proof");
    table.add::<gongsuan_ledger::Genesis>("ledger.Genesis");
    table.add::<gongsuan_consensus::Message>("consensus.Message");
    table.add::<gongsuan_consensus::Record>("consensus.Record");
    table.add::<gongsuan_consensus::CertifiedHeader>("consensus.CertifiedHeader");
    table.add::<gongsuan::audit::Certificate>("audit.Certificate");
    table
}

#[test]
fn seeded_encodings_hash_as_they_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance.toml");
    let text = table().to_text();
    if std::env::var_os("CONFORMANCE").is_some_and(|word| word == "write") {
        std::fs::write(&path, text).expect("the table can be written");
        return;
    }
    let stood = std::fs::read_to_string(&path).expect("tests/conformance.toml");
    assert_eq!(
        text, stood,
        "bytes on the wire or on disk have changed; see tests/src/conformance.rs"
    );
}

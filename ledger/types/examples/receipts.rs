//! What anybody can check with the vocabulary alone: an address with a typo, one receipt under a provider's commitment, and a thousand signatures of
//! which one is forged.
//!
//! `cargo run -p gongsuan-types --example receipts`

#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use gongsuan_types::batch::{BatchVerifier, Claim};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{Address, Fuel, Hash, SecretKey};

/// What running one segment could have produced.
fn receipt(segment: u32) -> Receipt {
    let output = format!("tile {segment}");
    Receipt {
        segment,
        input: Hash::of_content(b"scene"),
        output: Hash::of_content(output.as_bytes()),
        output_bytes: 7,
        fuel: Fuel(1_000_000 + u64::from(segment)),
        status: Status::Ok,
    }
}

fn main() -> Result<(), &'static str> {
    let provider = SecretKey::from_seed(b"provider").address();
    let written = provider.to_string();
    println!("address     {written}");
    let with_typo = written.replacen('q', "p", 1);
    match with_typo.parse::<Address>() {
        Ok(other) => println!("one letter changed: {other}"),
        Err(refusal) => println!("            one letter changed: {refusal}"),
    }

    // A provider posts 48 bytes for any number of receipts; they fix what it will be paid for.
    let receipts: Vec<Receipt> = (0..64).map(receipt).collect();
    let commitment = Commitment::new(&receipts).ok_or("the fuel of 64 receipts fits")?;
    println!(
        "commitment  {} over {} receipts, {}",
        commitment.root, commitment.count, commitment.fuel
    );
    let proof = ReceiptProof::new(&receipts, 41).ok_or("there is a receipt 41")?;
    let told = receipts.get(41).ok_or("there is a receipt 41")?;
    let more = Receipt { fuel: Fuel(told.fuel.0 + 1), ..*told };
    println!(
        "receipt 41  with its {} siblings: {}; with one unit of fuel more: {}",
        proof.siblings.len(),
        proof.verify(&commitment, told),
        proof.verify(&commitment, &more)
    );

    // Signatures by the batch: the verdict on each is what verifying it alone would give, several times cheaper.
    let signers: Vec<SecretKey> =
        (0..1_000u32).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
    let digest = Hash::of("example/receipts/v1", &commitment.root.0);
    let claim = |key: &SecretKey| (key.public_key(), key.sign(&digest));
    let signed: Vec<_> = signers.iter().map(claim).collect();
    let mut claims: Vec<Claim<'_>> = signed
        .iter()
        .map(|(key, signature)| Claim {
            key: *key,
            message: &digest.0,
            signature: *signature,
            hint: None,
        })
        .collect();
    let verifier = BatchVerifier::new();
    println!("signatures  {} in one batch: {:?}", claims.len(), verifier.verify_all(&claims));
    if let Some(forged) = claims.get_mut(617) {
        forged.message = b"something that nobody signed";
    }
    match verifier.verify_all(&claims) {
        Ok(()) => println!("            a forged one was not found"),
        Err(fault) => println!("            one forged: {fault}"),
    }
    Ok(())
}

//! Signature verification: ours by the batch, beside single verification and other libraries.

use std::hint::black_box;

use gongsuan_types::batch::{BatchVerifier, Claim, NonceHint};
use gongsuan_types::{Hash, PublicKey, SecretKey, Signature};
use serde_json::json;

use crate::measure::{Median, median, per_second};
use crate::table::Report;

const SIZES: [usize; 5] = [16, 64, 256, 1_024, 4_096];

struct Item {
    key: PublicKey,
    digest: Hash,
    signature: Signature,
    hint: Option<NonceHint>,
}

fn items(count: usize, signers: usize) -> Vec<Item> {
    let keys: Vec<SecretKey> =
        (0..signers).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
    (0..count)
        .map(|n| {
            let digest = Hash::of("gongsuan/bench/v1", &n.to_le_bytes());
            let key = &keys[n % signers];
            let signature = key.sign(&digest);
            let hint = NonceHint::of(&signature);
            Item { key: key.public_key(), digest, signature, hint }
        })
        .collect()
}

fn claims(items: &[Item], hinted: bool) -> Vec<Claim<'_>> {
    let claim = |item: &'_ Item| (item.key, item.signature, item.hint.filter(|_| hinted));
    items
        .iter()
        .map(|item| {
            let (key, signature, hint) = claim(item);
            Claim { key, message: &item.digest.0, signature, hint }
        })
        .collect()
}

fn row(report: &mut Report, name: &str, batch: usize, variant: &str, median: Median) {
    report.row(json!({
        "name": name,
        "batch": batch,
        "variant": variant,
        "per_second": per_second(median.cpu_ns),
        "cpu_ns": median.cpu_ns.round(),
        "wall_ns": median.wall_ns.round(),
        "cpu_ns_min": median.range.0.round(),
        "cpu_ns_max": median.range.1.round(),
    }));
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    let runs = if quick { 3 } else { 11 };
    report.note(
        "per_second is per core: 1 / CPU time of one thread, median of the runs; 32-byte messages",
    );
    report.note("hints: the y of R beside each signature saves a square root; without hints R comes from the signature alone");
    report.note("other libraries could use such hints too; they do not");
    let all = items(4_096, 4_096);
    single(report, &all[..256], runs);
    for size in SIZES {
        ours(report, &all[..size], "distinct keys", runs);
    }
    for size in [1_024, 4_096] {
        ours(report, &items(size, 32), "32 keys", runs);
    }
    first_sight(report, &all[..1_024], runs);
    one_bad(report, &all[..1_024], runs);
    #[cfg(feature = "peers")]
    peers::run(report, &all, runs);
}

fn single(report: &mut Report, items: &[Item], runs: usize) {
    let figure = median(items.len(), runs, || {
        assert!(items.iter().all(|item| item.key.verify(&item.digest, &item.signature).is_ok()));
    });
    row(report, "k256", 1, "key parsed each time", figure);
    let parsed: Vec<_> = items
        .iter()
        .map(|item| {
            let key = k256::schnorr::VerifyingKey::from_slice(&item.key.0).expect("a good key");
            let signature = k256::schnorr::Signature::try_from(item.signature.0.as_slice());
            (key, signature.expect("a good signature"), item.digest)
        })
        .collect();
    let figure = median(items.len(), runs, || {
        assert!(parsed.iter().all(|(key, s, digest)| key.verify_raw(&digest.0, s).is_ok()));
    });
    row(report, "k256", 1, "key parsed before", figure);
}

fn ours(report: &mut Report, items: &[Item], keys: &str, runs: usize) {
    for (hinted, hints) in [(true, "hints"), (false, "no hints")] {
        let claims = claims(items, hinted);
        let verifier = BatchVerifier::new();
        let figure = median(items.len(), runs, || {
            verifier.verify_all(black_box(&claims)).expect("all are good");
        });
        row(report, "gongsuan-batch", items.len(), &format!("{keys}, {hints}"), figure);
    }
}

/// Keys that were never seen: a square root for each.
fn first_sight(report: &mut Report, items: &[Item], runs: usize) {
    let claims = claims(items, false);
    let figure = median(items.len(), runs, || {
        let verifier = BatchVerifier::with_keys_max(0);
        verifier.verify_all(black_box(&claims)).expect("all are good");
    });
    row(report, "gongsuan-batch", items.len(), "keys never seen, no hints", figure);
}

/// The price of one bad signature, found and named.
fn one_bad(report: &mut Report, items: &[Item], runs: usize) {
    let verifier = BatchVerifier::new();
    let mut claims = claims(items, true);
    claims[items.len() / 3].signature = items[0].signature;
    claims[items.len() / 3].hint = items[0].hint;
    let figure = median(items.len(), runs, || {
        let verdicts = verifier.verify_each(black_box(&claims));
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), 1);
    });
    row(report, "gongsuan-batch", items.len(), "distinct keys, hints, one bad", figure);
}

#[cfg(feature = "peers")]
mod peers {
    use super::*;

    pub(super) fn run(report: &mut Report, items: &[Item], runs: usize) {
        libsecp256k1(report, &items[..256], runs);
        ed25519(report, items, runs);
    }

    fn libsecp256k1(report: &mut Report, items: &[Item], runs: usize) {
        let parsed: Vec<_> = items
            .iter()
            .map(|item| {
                let key = secp256k1::XOnlyPublicKey::from_byte_array(item.key.0).expect("a key");
                let signature = secp256k1::schnorr::Signature::from_byte_array(item.signature.0);
                (key, signature, item.digest)
            })
            .collect();
        let figure = median(items.len(), runs, || {
            let good = |(key, signature, digest): &(_, _, Hash)| {
                secp256k1::schnorr::verify(signature, &digest.0, key).is_ok()
            };
            assert!(parsed.iter().all(good));
        });
        row(report, "libsecp256k1", 1, "key parsed before", figure);
    }

    fn ed25519(report: &mut Report, items: &[Item], runs: usize) {
        use ed25519_dalek::{Signer, SigningKey, VerifyingKey, verify_batch};
        let keys: Vec<SigningKey> =
            items.iter().map(|item| SigningKey::from_bytes(&item.digest.0)).collect();
        let messages: Vec<&[u8]> = items.iter().map(|item| item.digest.0.as_slice()).collect();
        let signatures: Vec<_> = keys.iter().zip(&messages).map(|(k, m)| k.sign(m)).collect();
        let keys: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
        for size in SIZES {
            let figure = median(size, runs, || {
                let (messages, signatures) = (&messages[..size], &signatures[..size]);
                verify_batch(messages, signatures, &keys[..size]).expect("all are good");
            });
            row(report, "ed25519-dalek-batch", size, "keys parsed before", figure);
        }
    }
}

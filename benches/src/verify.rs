//! Signature verification: ours by the batch, beside single verification and other libraries.

use std::hint::black_box;

use gongsuan_types::batch::{BatchVerifier, Claim, NonceHint};
use gongsuan_types::{Hash, PublicKey, SecretKey, Signature};
use serde_json::json;

use crate::measure::{Contender, Median, medians, per_second};
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

/// A contender with what its row says.
struct Case<'a> {
    name: &'static str,
    batch: usize,
    variant: String,
    contender: Contender<'a>,
}

impl<'a> Case<'a> {
    /// `items` are done by one call of `work`, `batch` of them together.
    fn new(
        name: &'static str,
        (batch, items): (usize, usize),
        variant: impl Into<String>,
        work: impl FnMut() + 'a,
    ) -> Self {
        let contender = Contender { items, work: Box::new(work) };
        Self { name, batch, variant: variant.into(), contender }
    }
}

fn row(report: &mut Report, name: &str, batch: usize, variant: &str, median: Median) {
    report.row(json!({
        "name": name,
        "batch": batch,
        "variant": variant,
        "per_second": per_second(median.cpu_ns),
        "per_second_best": per_second(median.range.0),
        "cpu_ns": median.cpu_ns.round(),
        "wall_ns": median.wall_ns.round(),
        "cpu_ns_min": median.range.0.round(),
        "cpu_ns_max": median.range.1.round(),
    }));
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    let runs = if quick { 3 } else { 11 };
    report.note(
        "per_second is per core: 1 / CPU time of one thread, median of the runs; per_second_best is the best run; 32-byte messages",
    );
    report.note("all are measured in turns, so what else the machine does meets them alike; other threads still slow each by the caches and the clock they share");
    report.note("hints: the y of R beside each signature saves a square root; without hints R comes from the signature alone");
    report.note("other libraries could use such hints too; they do not, so compare them with `no hints` where senders send none");
    let all = items(4_096, 4_096);
    let few = items(4_096, 32);
    let mut cases = single(&all[..SINGLE]);
    for (keys, items) in [("distinct keys", &all), ("32 keys", &few)] {
        for size in SIZES {
            cases.extend(ours(&items[..size], keys));
        }
    }
    cases.push(first_sight(&all[..1_024]));
    cases.extend([64, 256, 1_024].map(|size| one_bad(&all[..size])));
    #[cfg(feature = "peers")]
    cases.extend(peers::cases(&all));
    let (labels, mut contenders): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .map(|case| ((case.name, case.batch, case.variant), case.contender))
        .unzip();
    for ((name, batch, variant), median) in labels.iter().zip(medians(&mut contenders, runs)) {
        row(report, name, *batch, variant, median);
    }
}

/// Signatures that are verified one by one in a turn.
const SINGLE: usize = 256;

fn single(items: &[Item]) -> Vec<Case<'_>> {
    let each = move || {
        assert!(items.iter().all(|item| item.key.verify(&item.digest, &item.signature).is_ok()));
    };
    let parsed: Vec<_> = items
        .iter()
        .map(|item| {
            let key = k256::schnorr::VerifyingKey::from_slice(&item.key.0).expect("a good key");
            let signature = k256::schnorr::Signature::try_from(item.signature.0.as_slice());
            (key, signature.expect("a good signature"), item.digest)
        })
        .collect();
    let before = move || {
        assert!(parsed.iter().all(|(key, s, digest)| key.verify_raw(&digest.0, s).is_ok()));
    };
    vec![
        Case::new("k256", (1, items.len()), "key parsed each time", each),
        Case::new("k256", (1, items.len()), "key parsed before", before),
    ]
}

fn ours<'a>(items: &'a [Item], keys: &str) -> [Case<'a>; 2] {
    [(true, "hints"), (false, "no hints")].map(|(hinted, hints)| {
        let (claims, verifier) = (claims(items, hinted), BatchVerifier::new());
        let verify = move || verifier.verify_all(black_box(&claims)).expect("all are good");
        let size = (items.len(), items.len());
        Case::new("gongsuan-batch", size, format!("{keys}, {hints}"), verify)
    })
}

/// Keys that were never seen: a square root for each.
fn first_sight(items: &[Item]) -> Case<'_> {
    let claims = claims(items, false);
    let verify = move || {
        let verifier = BatchVerifier::with_keys_max(0);
        verifier.verify_all(black_box(&claims)).expect("all are good");
    };
    let size = (items.len(), items.len());
    Case::new("gongsuan-batch", size, "keys never seen, no hints", verify)
}

/// The price of one bad signature, found and named.
fn one_bad(items: &[Item]) -> Case<'_> {
    let verifier = BatchVerifier::new();
    let mut claims = claims(items, true);
    claims[items.len() / 3].signature = items[0].signature;
    claims[items.len() / 3].hint = items[0].hint;
    let verify = move || {
        let verdicts = verifier.verify_each(black_box(&claims));
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), 1);
    };
    let size = (items.len(), items.len());
    Case::new("gongsuan-batch", size, "distinct keys, hints, one bad", verify)
}

#[cfg(feature = "peers")]
mod peers {
    use ed25519_dalek::{Signer, SigningKey, VerifyingKey, verify_batch};

    use super::*;

    pub(super) fn cases(items: &[Item]) -> Vec<Case<'_>> {
        let mut cases = ed25519(items);
        cases.push(libsecp256k1(&items[..SINGLE]));
        cases
    }

    fn libsecp256k1(items: &[Item]) -> Case<'_> {
        let parsed: Vec<_> = items
            .iter()
            .map(|item| {
                let key = secp256k1::XOnlyPublicKey::from_byte_array(item.key.0).expect("a key");
                let signature = secp256k1::schnorr::Signature::from_byte_array(item.signature.0);
                (key, signature, item.digest)
            })
            .collect();
        let verify = move || {
            let good = |(key, signature, digest): &(_, _, Hash)| {
                secp256k1::schnorr::verify(signature, &digest.0, key).is_ok()
            };
            assert!(parsed.iter().all(good));
        };
        Case::new("libsecp256k1", (1, items.len()), "key parsed before", verify)
    }

    fn ed25519(items: &[Item]) -> Vec<Case<'_>> {
        let keys: Vec<SigningKey> =
            items.iter().map(|item| SigningKey::from_bytes(&item.digest.0)).collect();
        let messages: Vec<&[u8]> = items.iter().map(|item| item.digest.0.as_slice()).collect();
        let signatures: Vec<_> = keys.iter().zip(&messages).map(|(k, m)| k.sign(m)).collect();
        let keys: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
        let case = |size: usize| {
            let messages = messages[..size].to_vec();
            let (signatures, keys) = (signatures[..size].to_vec(), keys[..size].to_vec());
            let verify = move || {
                verify_batch(&messages, &signatures, &keys).expect("all are good");
            };
            Case::new("ed25519-dalek-batch", (size, size), "keys parsed before", verify)
        };
        SIZES.map(case).into()
    }
}

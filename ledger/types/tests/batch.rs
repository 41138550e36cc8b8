//! The batch verifier against the one oracle there is: single verification, and BIP340's own vectors.

use gongsuan_types::batch::{BatchVerifier, Claim, NonceHint};
use gongsuan_types::keys::KeyError;
use gongsuan_types::{Hash, PublicKey, SecretKey, Signature};
use k256::elliptic_curve::ff::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::{ProjectivePoint, Scalar};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// A claim that owns its message.
#[derive(Clone, Debug)]
struct Owned {
    key: PublicKey,
    message: Vec<u8>,
    signature: Signature,
    hint: Option<NonceHint>,
}

impl Owned {
    fn signed(signer: u16, message: u64) -> Self {
        let key = SecretKey::from_seed(&signer.to_le_bytes());
        let digest = Hash::of("test", &message.to_le_bytes());
        let signature = key.sign(&digest);
        Self { key: key.public_key(), message: digest.0.to_vec(), signature, hint: None }
    }

    fn hinted(mut self) -> Self {
        self.hint = NonceHint::of(&self.signature);
        self
    }

    fn as_claim(&self) -> Claim<'_> {
        let Self { key, message, signature, hint } = self;
        Claim { key: *key, message, signature: *signature, hint: *hint }
    }

    /// The oracle: k256, which knows nothing of batches.
    fn single(&self) -> Result<(), KeyError> {
        let key = k256::schnorr::VerifyingKey::from_slice(&self.key.0)
            .map_err(|_| KeyError::NotOnCurve)?;
        let signature = k256::schnorr::Signature::try_from(self.signature.0.as_slice())
            .map_err(|_| KeyError::SignatureOutOfRange)?;
        key.verify_raw(&self.message, &signature).map_err(|_| KeyError::Mismatch)
    }
}

fn check(what: &str, verifier: &BatchVerifier, owned: &[Owned]) {
    let claims: Vec<Claim<'_>> = owned.iter().map(Owned::as_claim).collect();
    let expected: Vec<_> = owned.iter().map(Owned::single).collect();
    assert_eq!(verifier.verify_each(&claims), expected, "each, {what}");
    let first = expected.iter().position(Result::is_err);
    let all = verifier.verify_all(&claims);
    assert_eq!(all.err().map(|fault| fault.index), first, "the first fault, {what}");
    assert_eq!(all.err().map(|fault| Err(fault.error)), first.map(|at| expected[at]), "{what}");
}

#[test]
fn good_batches_of_every_size_hold() {
    let verifier = BatchVerifier::new();
    let all: Vec<Owned> = (0..700).map(|n| Owned::signed(n, n.into())).collect();
    for count in [0, 1, 2, 7, 8, 9, 10, 16, 33, 64, 99, 101, 150, 256, 700] {
        check(&format!("{count} claims"), &verifier, &all[..count]);
    }
    let hinted: Vec<Owned> = all.into_iter().map(Owned::hinted).collect();
    check("hinted", &verifier, &hinted);
}

#[test]
fn one_bad_claim_is_found_wherever_it_stands() {
    let verifier = BatchVerifier::new();
    let good: Vec<Owned> = (0..130).map(|n| Owned::signed(n % 40, n.into())).collect();
    for at in (0..130).step_by(7).chain([129]) {
        let mut bent = good.clone();
        bent[at].message[3] ^= 1;
        check(&format!("at {at}"), &verifier, &bent);
    }
}

#[test]
fn official_vectors_of_bip340_have_their_official_verdicts() {
    let text = include_str!("data/bip340.csv");
    let mut vectors = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let &[index, key, message, signature, verdict, comment] = fields.as_slice() else {
            panic!("six fields: {line}")
        };
        let owned = Owned {
            key: key.to_lowercase().parse().unwrap(),
            message: hex::decode(message).unwrap(),
            signature: signature.to_lowercase().parse().unwrap(),
            hint: None,
        };
        assert_eq!(owned.single().is_ok(), verdict == "TRUE", "vector {index}, alone: {comment}");
        vectors.push(owned);
    }
    assert_eq!(vectors.len(), 19);
    // In one batch; each among many good ones, so that it meets the equation and not single verification; and as a crowd.
    let verifier = BatchVerifier::new();
    check("all vectors", &verifier, &vectors);
    let good: Vec<Owned> = (0..40).map(|n| Owned::signed(n, n.into())).collect();
    for (index, vector) in vectors.iter().enumerate() {
        let mut among = good.clone();
        among.insert(index, vector.clone());
        check(&format!("vector {index} among good ones"), &verifier, &among);
        let crowd = vec![vector.clone(); 30];
        check(&format!("vector {index} thirty times"), &verifier, &crowd);
    }
}

/// The scalar of BIP340's challenge.
fn challenge(nonce: &[u8; 32], key: &PublicKey, message: &[u8]) -> Scalar {
    let tag = Sha256::digest(b"BIP0340/challenge");
    let hash = Sha256::new().chain_update(tag).chain_update(tag).chain_update(nonce);
    let hash = hash.chain_update(key.0).chain_update(message).finalize();
    <Scalar as Reduce<k256::FieldBytes>>::reduce(&hash)
}

/// Whoever knows two keys can make two signatures whose errors cancel in a plain sum: `s₁ + δ` and `s₂ − δ`. A batch without
/// random coefficients would accept them.
#[test]
fn errors_that_cancel_each_other_do_not_pass() {
    let verifier = BatchVerifier::new();
    let mut claims: Vec<Owned> = (0..60).map(|n| Owned::signed(n, n.into())).collect();
    let delta = Scalar::from(987_654_321_u64);
    for (at, delta) in [(20, delta), (41, -delta)] {
        let bytes = &mut claims[at].signature.0[32..];
        let s = Scalar::from_repr(k256::FieldBytes::try_from(&*bytes).unwrap()).unwrap();
        bytes.copy_from_slice(&(s + delta).to_bytes());
    }
    check("cancelling responses", &verifier, &claims);
    let verdicts: Vec<Claim<'_>> = claims.iter().map(Owned::as_claim).collect();
    let bad = verifier.verify_each(&verdicts).iter().filter(|verdict| verdict.is_err()).count();
    assert_eq!(bad, 2);
}

/// A signature whose R has an odd y satisfies `x(R) = r` and is still refused: only the even point is meant.
#[test]
fn a_nonce_with_an_odd_y_is_refused_whatever_its_hint_says() {
    let verifier = BatchVerifier::new();
    let secret = SecretKey::from_seed(b"odd");
    let key = secret.public_key();
    let d = Scalar::from_repr(secret.to_bytes().into()).unwrap();
    let point = (ProjectivePoint::GENERATOR * d).to_affine();
    let d = if bool::from(point.y_is_odd()) { -d } else { d };
    let message = Hash::of("test", b"odd");
    // The nonce whose point has an odd y; BIP340 would have the signer negate it.
    let nonce = (1u64..)
        .map(Scalar::from)
        .find(|k| bool::from((ProjectivePoint::GENERATOR * k).to_affine().y_is_odd()))
        .unwrap();
    let r = (ProjectivePoint::GENERATOR * nonce).to_affine();
    let x: [u8; 32] = r.x().into();
    let s = nonce + challenge(&x, &key, &message.0) * d;
    let mut signature = Signature([0; 64]);
    signature.0[..32].copy_from_slice(&x);
    signature.0[32..].copy_from_slice(&s.to_bytes());
    for hint in [None, NonceHint::of(&signature), Some(NonceHint(r.y().into()))] {
        let mut claims: Vec<Owned> = (0..30).map(|n| Owned::signed(n, n.into())).collect();
        claims.push(Owned { key, message: message.0.to_vec(), signature, hint });
        check("odd nonce", &verifier, &claims);
        assert!(
            verifier.verify_each(&claims.iter().map(Owned::as_claim).collect::<Vec<_>>())[30]
                .is_err()
        );
    }
}

/// A signature with a nonce of one's choice, which BIP340 negates if its point is odd.
fn sign_with(secret: &SecretKey, nonce: Scalar, message: u64) -> Owned {
    let key = secret.public_key();
    let even = |k: Scalar| {
        let point = (ProjectivePoint::GENERATOR * k).to_affine();
        let k = if bool::from(point.y_is_odd()) { -k } else { k };
        (k, <[u8; 32]>::from(point.x()))
    };
    let (d, _) = even(Scalar::from_repr(secret.to_bytes().into()).unwrap());
    let (k, x) = even(nonce);
    let message = Hash::of("test", &message.to_le_bytes()).0.to_vec();
    let s = k + challenge(&x, &key, &message) * d;
    let mut signature = Signature([0; 64]);
    signature.0[..32].copy_from_slice(&x);
    signature.0[32..].copy_from_slice(&s.to_bytes());
    Owned { key, message, signature, hint: NonceHint::of(&signature) }
}

/// Nonces that are keys, multiples of keys by the endomorphism, each other's opposites and each other: all points of a batch are the same few,
/// or opposites, or turned by the endomorphism. Every one is a right signature.
#[test]
fn nonces_related_to_keys_and_to_each_other_hold_and_fail_like_others() {
    let verifier = BatchVerifier::new();
    let lambda = "5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72";
    let lambda = Scalar::from_repr(lambda.parse::<Hash>().unwrap().0.into()).unwrap();
    let secret = SecretKey::from_seed(b"related");
    let d = Scalar::from_repr(secret.to_bytes().into()).unwrap();
    let nonces =
        [d, -d, d * lambda, -(d * lambda), d * lambda * lambda, lambda, Scalar::ONE, -Scalar::ONE];
    for count in [12, 40, 300] {
        let mut claims: Vec<Owned> = (0..count)
            .zip(nonces.iter().cycle())
            .map(|(n, nonce)| sign_with(&secret, *nonce, n))
            .collect();
        assert!(claims.iter().all(|claim| claim.single().is_ok()));
        check(&format!("{count} related nonces"), &verifier, &claims);
        // Two of them exchanged: the same nonce under two messages, each with the other's response.
        claims.swap(2, 10);
        let (a, b) = (claims[2].signature, claims[10].signature);
        (claims[2].signature, claims[10].signature) = (b, a);
        check(&format!("{count} related nonces, two exchanged"), &verifier, &claims);
    }
}

/// A key that is no point, a nonce that is none, and halves that are zero or out of range, many at a time and with every hint.
#[test]
fn what_is_not_even_a_point_is_named_as_single_verification_names_it() {
    let verifier = BatchVerifier::new();
    let off: Hash =
        "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34".parse().unwrap();
    let mut claims: Vec<Owned> = (0..90).map(|n| Owned::signed(n, n.into()).hinted()).collect();
    for at in (0..90).step_by(6) {
        let claim = &mut claims[at];
        match at / 6 % 6 {
            0 => claim.key.0 = off.0,
            1 => claim.signature.0[..32].copy_from_slice(&off.0),
            2 => claim.signature.0[..32].fill(0),
            3 => claim.signature.0[32..].fill(0),
            4 => claim.signature.0[32..].fill(0xff),
            _ => claim.key.0.fill(0xff),
        }
    }
    check("not even points", &verifier, &claims);
    let only: Vec<Owned> = claims.iter().step_by(6).cloned().collect();
    check("nothing but such", &verifier, &only);
}

#[test]
fn duplicates_and_single_signers_hold_and_fail_like_others() {
    let verifier = BatchVerifier::new();
    let same = vec![Owned::signed(1, 1); 400];
    check("one claim 400 times", &verifier, &same);
    let mut one_signer: Vec<Owned> = (0..400).map(|n| Owned::signed(1, n)).collect();
    check("one signer", &verifier, &one_signer);
    one_signer[17].signature = one_signer[18].signature;
    one_signer[300].key = Owned::signed(2, 0).key;
    check("one signer, swapped", &verifier, &one_signer);
    let all_bad: Vec<Owned> =
        (0..50).map(|n| Owned { message: vec![0; 32], ..Owned::signed(n, 0) }).collect();
    check("all bad", &verifier, &all_bad);
}

#[test]
fn hints_never_change_a_verdict() {
    let verifier = BatchVerifier::new();
    for hint in [[0; 32], [0xff; 32], [1; 32]] {
        let mut claims: Vec<Owned> = (0..20).map(|n| Owned::signed(n, n.into())).collect();
        for claim in &mut claims {
            claim.hint = Some(NonceHint(hint));
        }
        check("wrong hints on good claims", &verifier, &claims);
    }
    let mut claims: Vec<Owned> = (0..20).map(|n| Owned::signed(n, n.into()).hinted()).collect();
    claims[5].hint = claims[6].hint;
    claims[7].message[0] ^= 1;
    check("a neighbour's hint, and a bad claim with a good hint", &verifier, &claims);
}

#[test]
fn the_table_of_keys_is_bounded_and_changes_nothing() {
    let claims: Vec<Owned> = (0..80).map(|n| Owned::signed(n, n.into())).collect();
    for keys_max in [0, 1, 7, 1_000] {
        let verifier = BatchVerifier::with_keys_max(keys_max);
        for round in 0..3 {
            let mut claims = claims.clone();
            claims[round].message[0] ^= 1;
            check(&format!("{keys_max} keys, round {round}"), &verifier, &claims);
            assert!(verifier.keys_known() <= keys_max);
        }
    }
    let verifier = BatchVerifier::new();
    check("fresh", &verifier, &claims);
    assert_eq!(verifier.keys_known(), 80);
}

#[derive(Clone, Debug)]
enum Bend {
    Signature(u16),
    Message(u16),
    Key(u16),
    Hint(u16),
    NoHint,
    CopyOf(prop::sample::Index),
    ZeroNonce,
    ZeroResponse,
}

fn bend() -> impl Strategy<Value = Bend> {
    prop_oneof![
        (0u16..512).prop_map(Bend::Signature),
        (0u16..256).prop_map(Bend::Message),
        (0u16..256).prop_map(Bend::Key),
        (0u16..256).prop_map(Bend::Hint),
        Just(Bend::NoHint),
        any::<prop::sample::Index>().prop_map(Bend::CopyOf),
        Just(Bend::ZeroNonce),
        Just(Bend::ZeroResponse),
    ]
}

fn flip(bytes: &mut [u8], bit: u16) {
    bytes[usize::from(bit / 8)] ^= 1 << (bit % 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_verdict_is_that_of_single_verification(
        signers in prop::collection::vec(0u16..30, 9..140),
        bends in prop::collection::vec((any::<prop::sample::Index>(), bend()), 0..8),
    ) {
        let mut claims: Vec<Owned> =
            signers.iter().zip(0..).map(|(signer, n)| Owned::signed(*signer, n).hinted()).collect();
        for (at, bend) in &bends {
            let at = at.index(claims.len());
            match bend {
                Bend::Signature(bit) => flip(&mut claims[at].signature.0, *bit),
                Bend::Message(bit) => flip(&mut claims[at].message, *bit),
                Bend::Key(bit) => flip(&mut claims[at].key.0, *bit),
                Bend::Hint(bit) => if let Some(hint) = &mut claims[at].hint { flip(&mut hint.0, *bit) },
                Bend::NoHint => claims[at].hint = None,
                Bend::CopyOf(other) => claims[at] = claims[other.index(claims.len())].clone(),
                Bend::ZeroNonce => claims[at].signature.0[..32].fill(0),
                Bend::ZeroResponse => claims[at].signature.0[32..].fill(0),
            }
        }
        check("random", &BatchVerifier::with_keys_max(16), &claims);
    }
}

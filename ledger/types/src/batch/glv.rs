//! Halving scalars with secp256k1's endomorphism (Gallant, Lambert, Vanstone).
//!
//! `λ·(x, y) = (β·x, y)` costs one multiplication in the field, and every scalar is `k = k1 + λ·k2` with both halves below 2¹²⁸ in
//! absolute value. The constants are those of bitcoin-core/secp256k1 (`scalar_impl.h`), whose comment proves the bound.

use k256::Scalar;
use k256::elliptic_curve::ff::PrimeField;

use super::affine::Affine;
use super::field::Field;

/// `sign · magnitude · point` is one term of a sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) magnitude: u128,
    pub(super) negative: bool,
}

#[derive(Debug)]
pub(super) struct Splitter {
    g1: [u64; 4],
    g2: [u64; 4],
    minus_b1: Scalar,
    minus_b2: Scalar,
    minus_lambda: Scalar,
    beta: Field,
}

fn bytes(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).expect("a constant of 64 digits");
    bytes
}

fn scalar(text: &str) -> Scalar {
    Scalar::from_repr(bytes(text).into()).expect("a constant below the order")
}

/// Little-endian limbs.
fn limbs(scalar: &Scalar) -> [u64; 4] {
    let bytes: [u8; 32] = scalar.to_bytes().into();
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(chunk.try_into().expect("chunks of 8"));
    }
    limbs
}

fn low(limbs: [u64; 4]) -> u128 {
    u128::from(limbs[0]) | u128::from(limbs[1]) << 64
}

/// `(a · b) / 2³⁸⁴`, rounded to the nearest.
#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
fn multiply_and_shift(a: &[u64; 4], b: &[u64; 4]) -> u128 {
    let mut product = [0_u64; 8];
    for (i, a) in a.iter().enumerate() {
        let mut carry = 0_u128;
        for (j, b) in b.iter().enumerate() {
            let sum = u128::from(*a) * u128::from(*b) + u128::from(product[i + j]) + carry;
            product[i + j] = sum as u64;
            carry = sum >> 64;
        }
        product[i + 4] = carry as u64;
    }
    let high = u128::from(product[6]) | u128::from(product[7]) << 64;
    high + u128::from(product[5] >> 63)
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self {
            g1: limbs(&scalar("3086d221a7d46bcde86c90e49284eb153daa8a1471e8ca7fe893209a45dbb031")),
            g2: limbs(&scalar("e4437ed6010e88286f547fa90abfe4c4221208ac9df506c61571b4ae8ac47f71")),
            minus_b1: scalar("00000000000000000000000000000000e4437ed6010e88286f547fa90abfe4c3"),
            minus_b2: scalar("fffffffffffffffffffffffffffffffe8a280ac50774346dd765cda83db1562c"),
            minus_lambda: scalar(
                "ac9c52b33fa3cf1f5ad9e3fd77ed9ba4a880b9fc8ec739c2e0cfc810b51283cf",
            ),
            beta: Field::parse(&bytes(
                "7ae96a2b657c07106e64479eac3434e99cf0497512f58995c1396c28719501ee",
            ))
            .expect("a constant below the prime"),
        }
    }

    /// `[k1, k2]` with `k = k1 + λ·k2`.
    pub(super) fn split(&self, k: &Scalar) -> [Half; 2] {
        let of = limbs(k);
        let c1 = Scalar::from(multiply_and_shift(&of, &self.g1));
        let c2 = Scalar::from(multiply_and_shift(&of, &self.g2));
        let second = c1 * self.minus_b1 + c2 * self.minus_b2;
        let first = *k + second * self.minus_lambda;
        [first, second].map(|half| {
            let plus = limbs(&half);
            if plus[2] == 0 && plus[3] == 0 {
                return Half { magnitude: low(plus), negative: false };
            }
            let minus = limbs(&-half);
            assert_eq!(minus[2], 0, "halves are below 2^128");
            assert_eq!(minus[3], 0, "halves are below 2^128");
            Half { magnitude: low(minus), negative: true }
        })
    }

    /// `λ · point`.
    pub(super) fn endomorphism(&self, point: &Affine) -> Affine {
        Affine { x: point.x * self.beta, y: point.y }
    }
}

#[cfg(test)]
mod tests {
    use k256::elliptic_curve::ops::Reduce;
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: [u8; 32]) {
        let splitter = Splitter::new();
        let k = <Scalar as Reduce<k256::FieldBytes>>::reduce(&bytes.into());
        let [first, second] = splitter.split(&k).map(|half| {
            let plus = Scalar::from(half.magnitude);
            if half.negative { -plus } else { plus }
        });
        assert_eq!(first - second * splitter.minus_lambda, k, "{bytes:?}");
    }

    proptest! {
        #[test]
        fn halves_make_the_whole_again(bytes: [u8; 32]) {
            check(bytes);
        }
    }

    #[test]
    fn the_ends_of_the_range_split_too() {
        check([0; 32]);
        check([0xff; 32]);
        let mut one = [0; 32];
        one[31] = 1;
        check(one);
        let minus_one: [u8; 32] = (-Scalar::ONE).to_bytes().into();
        check(minus_one);
        check(bytes("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72"));
        check(bytes("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"));
    }
}

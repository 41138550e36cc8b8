//! The field of secp256k1, for public data: integers modulo `p = 2²⁵⁶ − 2³² − 977`.
//!
//! Four saturated 64-bit limbs, held below 2²⁵⁶ but not always below p: a number below `2²⁵⁶ − p` has two forms, and only
//! [`Field::is_zero`], [`Field::is_odd`] and [`Field::to_bytes`] ask which. Why not k256's own element, which the library publishes: with five
//! limbs of 52 bits it costs 25 wide products and a normalisation after most sums, here it is 16 and none, and a point fits one cache line. A
//! product takes 0.5 to 0.6 of the time (docs/benchmarks-ledger.md). Nothing secret comes near this file: it is not constant-time. Inversion is
//! k256's. The tests compare every operation with k256's on random numbers and on those at every edge.

use std::ops::{Add, Mul, Neg, Sub};

use k256::Secp256k1;
use k256::elliptic_curve::hazmat::FieldArithmetic;

/// k256's element.
type Theirs = <Secp256k1 as FieldArithmetic>::FieldElement;

/// `2²⁵⁶ − p`.
const FOLD: u64 = 0x1_0000_03d1;
/// p, little-endian.
const PRIME: [u64; 4] = [0_u64.wrapping_sub(FOLD), u64::MAX, u64::MAX, u64::MAX];

/// An element. Little-endian limbs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field([u64; 4]);

/// `t + a·b + carry`, which never overflows: the low half and the carry.
#[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
#[inline(always)]
fn mac(t: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    let sum = product.wrapping_add(u128::from(t)).wrapping_add(u128::from(carry));
    (sum as u64, (sum >> 64) as u64)
}

#[inline(always)]
fn adc(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, over) = a.overflowing_add(b);
    let (sum, again) = sum.overflowing_add(u64::from(carry));
    (sum, over | again)
}

#[inline(always)]
fn sbb(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (rest, under) = a.overflowing_sub(b);
    let (rest, again) = rest.overflowing_sub(u64::from(borrow));
    (rest, under | again)
}

#[inline(always)]
fn fold_if(condition: bool) -> u64 {
    if condition { FOLD } else { 0 }
}

/// 512 bits to 256: twice the upper part times `2²⁵⁶ mod p`.
#[inline(always)]
fn reduce(t: [u64; 8]) -> Field {
    let (r0, c) = mac(t[0], t[4], FOLD, 0);
    let (r1, c) = mac(t[1], t[5], FOLD, c);
    let (r2, c) = mac(t[2], t[6], FOLD, c);
    let (r3, c) = mac(t[3], t[7], FOLD, c);
    // The carry is below 2³⁴, so its fold is below 2⁶⁸; if that wraps once more, what is left is below 2⁶⁸ too.
    let (low, high) = mac(0, c, FOLD, 0);
    let (r0, k) = r0.overflowing_add(low);
    let (r1, k) = adc(r1, high, k);
    let (r2, k) = adc(r2, 0, k);
    let (r3, k) = adc(r3, 0, k);
    let (r0, k) = r0.overflowing_add(fold_if(k));
    Field([r0, r1.wrapping_add(u64::from(k)), r2, r3])
}

impl Mul for Field {
    type Output = Self;

    #[inline]
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let (t0, c) = mac(0, a[0], b[0], 0);
        let (t1, c) = mac(0, a[0], b[1], c);
        let (t2, c) = mac(0, a[0], b[2], c);
        let (t3, t4) = mac(0, a[0], b[3], c);
        let (t1, c) = mac(t1, a[1], b[0], 0);
        let (t2, c) = mac(t2, a[1], b[1], c);
        let (t3, c) = mac(t3, a[1], b[2], c);
        let (t4, t5) = mac(t4, a[1], b[3], c);
        let (t2, c) = mac(t2, a[2], b[0], 0);
        let (t3, c) = mac(t3, a[2], b[1], c);
        let (t4, c) = mac(t4, a[2], b[2], c);
        let (t5, t6) = mac(t5, a[2], b[3], c);
        let (t3, c) = mac(t3, a[3], b[0], 0);
        let (t4, c) = mac(t4, a[3], b[1], c);
        let (t5, c) = mac(t5, a[3], b[2], c);
        let (t6, t7) = mac(t6, a[3], b[3], c);
        reduce([t0, t1, t2, t3, t4, t5, t6, t7])
    }
}

impl Add for Field {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let (r0, k) = a[0].overflowing_add(b[0]);
        let (r1, k) = adc(a[1], b[1], k);
        let (r2, k) = adc(a[2], b[2], k);
        let (r3, k) = adc(a[3], b[3], k);
        let (r0, k) = r0.overflowing_add(fold_if(k));
        let (r1, k) = adc(r1, 0, k);
        let (r2, k) = adc(r2, 0, k);
        let (r3, k) = adc(r3, 0, k);
        // A second wrap leaves less than the fold, so this one ends in the lowest limb.
        Self([r0.wrapping_add(fold_if(k)), r1, r2, r3])
    }
}

impl Sub for Field {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let (r0, k) = a[0].overflowing_sub(b[0]);
        let (r1, k) = sbb(a[1], b[1], k);
        let (r2, k) = sbb(a[2], b[2], k);
        let (r3, k) = sbb(a[3], b[3], k);
        let (r0, k) = r0.overflowing_sub(fold_if(k));
        let (r1, k) = sbb(r1, 0, k);
        let (r2, k) = sbb(r2, 0, k);
        let (r3, k) = sbb(r3, 0, k);
        // A second wrap leaves at least 2²⁵⁶ minus the fold, so this one ends in the lowest limb.
        Self([r0.wrapping_sub(fold_if(k)), r1, r2, r3])
    }
}

impl Neg for Field {
    type Output = Self;

    #[inline]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl Field {
    pub(super) const ZERO: Self = Self([0; 4]);
    pub(super) const ONE: Self = Self::small(1);

    pub(super) const fn small(number: u64) -> Self {
        Self([number, 0, 0, 0])
    }

    /// The number that 32 bytes are, big-endian; `None` from p on.
    pub(super) fn parse(bytes: &[u8; 32]) -> Option<Self> {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_be_bytes(chunk.try_into().expect("chunks of 8"));
        }
        let number = Self(limbs);
        (number.canonical() == limbs).then_some(number)
    }

    /// Big-endian.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (limb, chunk) in self.canonical().iter().rev().zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// The form below p.
    #[inline]
    fn canonical(self) -> [u64; 4] {
        let [r0, r1, r2, r3] = self.0;
        let upper_full = r1 & r2 & r3 == u64::MAX;
        if upper_full && r0 >= PRIME[0] { [r0 - PRIME[0], 0, 0, 0] } else { self.0 }
    }

    #[inline]
    pub(super) fn is_zero(self) -> bool {
        self.canonical() == [0; 4]
    }

    pub(super) fn is_odd(self) -> bool {
        self.canonical()[0] & 1 == 1
    }

    #[inline]
    pub(super) fn double(self) -> Self {
        self + self
    }

    #[inline]
    pub(super) fn square(self) -> Self {
        let a = self.0;
        // The products of different limbs, once.
        let (t1, c) = mac(0, a[0], a[1], 0);
        let (t2, c) = mac(0, a[0], a[2], c);
        let (t3, t4) = mac(0, a[0], a[3], c);
        let (t3, c) = mac(t3, a[1], a[2], 0);
        let (t4, t5) = mac(t4, a[1], a[3], c);
        let (t5, t6) = mac(t5, a[2], a[3], 0);
        // Twice, and the squares of the limbs.
        let t7 = t6 >> 63;
        let [t6, t5, t4] = [t6 << 1 | t5 >> 63, t5 << 1 | t4 >> 63, t4 << 1 | t3 >> 63];
        let [t3, t2, t1] = [t3 << 1 | t2 >> 63, t2 << 1 | t1 >> 63, t1 << 1];
        let (t0, high) = mac(0, a[0], a[0], 0);
        let (t1, k) = t1.overflowing_add(high);
        let (low, high) = mac(0, a[1], a[1], 0);
        let (t2, k) = adc(t2, low, k);
        let (t3, k) = adc(t3, high, k);
        let (low, high) = mac(0, a[2], a[2], 0);
        let (t4, k) = adc(t4, low, k);
        let (t5, k) = adc(t5, high, k);
        let (low, high) = mac(0, a[3], a[3], 0);
        let (t6, k) = adc(t6, low, k);
        let (t7, _) = adc(t7, high, k);
        reduce([t0, t1, t2, t3, t4, t5, t6, t7])
    }

    /// Squared `times` times.
    fn square_times(self, times: u32) -> Self {
        (0..times).fold(self, |power, _| power.square())
    }

    /// A square root if there is one: `self^((p+1)/4)`, checked. The exponent is 223 ones, a zero, 22 ones, four zeros, two ones and two zeros;
    /// `xn` has n ones. About 4 µs.
    pub(super) fn sqrt(self) -> Option<Self> {
        let x2 = self.square() * self;
        let x3 = x2.square() * self;
        let x6 = x3.square_times(3) * x3;
        let x9 = x6.square_times(3) * x3;
        let x11 = x9.square_times(2) * x2;
        let x22 = x11.square_times(11) * x11;
        let x44 = x22.square_times(22) * x22;
        let x88 = x44.square_times(44) * x44;
        let x176 = x88.square_times(88) * x88;
        let x220 = x176.square_times(44) * x44;
        let x223 = x220.square_times(3) * x3;
        let power = x223.square_times(23) * x22;
        let root = (power.square_times(6) * x2).square_times(2);
        (root.square() - self).is_zero().then_some(root)
    }

    /// The inverse, by k256; `None` of zero.
    pub(super) fn invert(self) -> Option<Self> {
        let theirs = Theirs::from_bytes(&self.to_bytes().into()).into_option()?;
        let inverse = theirs.invert_vartime().into_option()?.normalize();
        Self::parse(&inverse.to_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn theirs(field: Field) -> Theirs {
        Theirs::from_bytes(&field.to_bytes().into()).unwrap()
    }

    #[track_caller]
    fn equal(ours: Field, expected: Theirs) {
        assert_eq!(ours.to_bytes(), <[u8; 32]>::from(expected.normalize().to_bytes()));
    }

    /// Every operation on limbs of any form, beside k256's on the same numbers.
    fn check(a: Field, b: Field) {
        let (ta, tb) = (theirs(a), theirs(b));
        equal(a + b, ta + tb);
        equal(a - b, ta + tb.negate(1));
        equal(-a, ta.negate(1));
        equal(a * b, ta.mul(&tb));
        equal(a.square(), ta.square());
        equal(a.double(), ta.double());
        assert_eq!(a.is_zero(), bool::from(ta.normalize().is_zero()));
        assert_eq!(a.is_odd(), bool::from(ta.normalize().is_odd()));
        assert_eq!((a - b).is_zero(), a.to_bytes() == b.to_bytes());
        // Results that are not canonical are arguments again.
        equal((a - b) * (a + b), (ta + tb.negate(1)).mul(&(ta + tb)));
        equal(
            (a - b).square() + (-b) - a,
            (ta + tb.negate(1)).square() + tb.negate(1) + ta.negate(1),
        );
    }

    /// Slower ones.
    fn check_roots(a: Field) {
        let ta = theirs(a);
        match (a.invert(), Option::from(ta.normalize().invert())) {
            (Some(ours), Some(inverse)) => {
                equal(ours, inverse);
                equal(a * ours, Theirs::ONE);
            }
            (ours, inverse) => assert!(ours.is_none() && Option::<Theirs>::is_none(&inverse)),
        }
        match (a.sqrt(), Option::<Theirs>::from(ta.sqrt())) {
            (Some(ours), Some(root)) => {
                equal(ours.square(), ta);
                let (plus, minus) = (root.normalize(), root.normalize().negate(1).normalize());
                let ours = ours.to_bytes();
                assert!(
                    ours == <[u8; 32]>::from(plus.to_bytes())
                        || ours == <[u8; 32]>::from(minus.to_bytes())
                );
            }
            (ours, root) => assert!(ours.is_none() && root.is_none(), "{a:?}"),
        }
    }

    /// Zero, one, the fold, p, 2²⁵⁶ − 1 and their neighbours, and limbs that are empty or full in every combination.
    fn edges() -> Vec<Field> {
        let mut edges = Vec::new();
        for mask in 0..16_u32 {
            edges.push(Field(std::array::from_fn(|limb| {
                if mask >> limb & 1 == 1 { u64::MAX } else { 0 }
            })));
        }
        for low in [
            1,
            2,
            FOLD - 1,
            FOLD,
            FOLD + 1,
            1 << 63,
            PRIME[0] - 1,
            PRIME[0],
            PRIME[0] + 1,
            u64::MAX - 1,
        ] {
            edges.push(Field([low, 0, 0, 0]));
            edges.push(Field([low, u64::MAX, u64::MAX, u64::MAX]));
            edges.push(Field([low, 0, 0, 1 << 63]));
            edges.push(Field([u64::MAX, u64::MAX, u64::MAX, low]));
        }
        edges
    }

    #[test]
    fn every_operation_agrees_with_k256_at_every_edge() {
        for a in edges() {
            for b in edges() {
                check(a, b);
            }
            check_roots(a);
        }
    }

    #[test]
    fn bytes_from_p_on_are_refused() {
        let number = |limbs| {
            let mut bytes = [0; 32];
            for (limb, chunk) in <[u64; 4]>::into_iter(limbs).rev().zip(bytes.chunks_exact_mut(8)) {
                chunk.copy_from_slice(&limb.to_be_bytes());
            }
            bytes
        };
        assert!(Field::parse(&number(PRIME)).is_none());
        assert!(Field::parse(&[0xff; 32]).is_none());
        let [low, ..] = PRIME;
        let below = number([low - 1, u64::MAX, u64::MAX, u64::MAX]);
        assert_eq!(Field::parse(&below).unwrap().to_bytes(), below);
        // p itself, as limbs, is zero, whatever its bytes would say.
        assert!(Field(PRIME).is_zero() && !Field(PRIME).is_odd());
    }

    proptest! {
        #[test]
        fn every_operation_agrees_with_k256_on_random_limbs(a: [u64; 4], b: [u64; 4]) {
            check(Field(a), Field(b));
        }

        #[test]
        fn a_long_chain_of_operations_ends_where_k256_ends(a: [u64; 4], b: [u64; 4]) {
            let (mut x, mut y) = (Field(a), Field(b));
            let (mut tx, mut ty) = (theirs(x), theirs(y));
            for _ in 0..200 {
                (x, y) = (x * y - x, x.square() + y);
                (tx, ty) = ((tx.mul(&ty) + tx.negate(1)).normalize(), (tx.square() + ty).normalize());
            }
            equal(x, tx);
            equal(y, ty);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn roots_and_inverses_agree_with_k256(a: [u64; 4]) {
            check_roots(Field(a));
            check_roots(Field(a).square());
        }
    }
}

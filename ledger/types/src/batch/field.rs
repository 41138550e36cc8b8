//! Points of secp256k1 over k256's public field type.
//!
//! k256 publishes its field element through `elliptic_curve::hazmat`. It is lazily normalised: a sum of elements has the sum of their
//! *magnitudes*, and a product wants magnitudes of at most 8. In debug builds k256 checks every one of them. In this folder both
//! coordinates of a stored [`Affine`] have magnitude 1.

use k256::elliptic_curve::hazmat::FieldArithmetic;
use k256::{FieldBytes, Secp256k1};

/// An element of the field of secp256k1.
pub(super) type Field = <Secp256k1 as FieldArithmetic>::FieldElement;

/// A point that is not the identity. The curve equation holds for every one that is made outside the tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) x: Field,
    pub(super) y: Field,
}

/// The opposite of an element of magnitude 1, of magnitude 1.
#[inline]
pub(super) fn negate(a: &Field) -> Field {
    a.negate(1).normalize_weak()
}

#[inline]
pub(super) fn is_zero(a: &Field) -> bool {
    bool::from(a.normalizes_to_zero())
}

pub(super) fn parse(bytes: &[u8; 32]) -> Option<Field> {
    Field::from_bytes(&FieldBytes::from(*bytes)).into_option()
}

/// `x³ + 7`, of magnitude 2.
fn curve_side(x: &Field) -> Field {
    x.square().mul(x) + Field::from_u64(7)
}

impl Affine {
    /// BIP340's `lift_x`: the point with this x and an even y. One square root, about 6 µs.
    pub(super) fn lift(x: &[u8; 32]) -> Option<Self> {
        let x = parse(x)?;
        let y = curve_side(&x).sqrt().into_option()?.normalize();
        Some(Self { x, y: if bool::from(y.is_odd()) { y.negate(1).normalize() } else { y } })
    }

    /// The same point when somebody says what y is: three multiplications. `None` if they are wrong, or there is no such point.
    pub(super) fn lift_hinted(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let (x, y) = (parse(x)?, parse(y)?);
        let on_curve = is_zero(&(y.square() + curve_side(&x).negate(2)));
        (on_curve && bool::from(y.is_even())).then_some(Self { x, y })
    }

    #[inline]
    pub(super) fn negated_if(self, condition: bool) -> Self {
        if condition { Self { x: self.x, y: negate(&self.y) } } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_hint_is_believed_only_if_it_is_the_even_root() {
        let x = SecretKey::from_seed(b"hint").public_key().0;
        let point = Affine::lift(&x).unwrap();
        let y: [u8; 32] = point.y.to_bytes().into();
        assert!(Affine::lift_hinted(&x, &y).is_some());
        let odd: [u8; 32] = point.y.negate(1).normalize().to_bytes().into();
        assert!(Affine::lift_hinted(&x, &odd).is_none(), "the other root");
        for bit in 0..256 {
            let mut bent = y;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Affine::lift_hinted(&x, &bent).is_none(), "bit {bit}");
        }
        assert!(Affine::lift_hinted(&x, &[0xff; 32]).is_none(), "not below the prime");
        assert!(Affine::lift(&[0xff; 32]).is_none(), "not below the prime");
        // BIP340 test vector 5: not on the curve.
        let off = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34";
        assert!(Affine::lift(&off.parse::<crate::Hash>().unwrap().0).is_none());
    }
}

//! Points of secp256k1 that are not the identity.

use super::field::Field;

/// A point that is not the identity. The curve equation holds for every one that is made outside the tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) x: Field,
    pub(super) y: Field,
}

/// `x³ + 7`.
fn curve_side(x: Field) -> Field {
    x.square() * x + Field::small(7)
}

impl Affine {
    /// BIP340's `lift_x`: the point with this x and an even y. One square root.
    pub(super) fn lift(x: &[u8; 32]) -> Option<Self> {
        let x = Field::parse(x)?;
        let y = curve_side(x).sqrt()?;
        Some(Self { x, y: if y.is_odd() { -y } else { y } })
    }

    /// The same point when somebody says what y is: three multiplications. `None` if they are wrong, or there is no such point.
    pub(super) fn lift_hinted(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let (x, y) = (Field::parse(x)?, Field::parse(y)?);
        let on_curve = (y.square() - curve_side(x)).is_zero();
        (on_curve && !y.is_odd()).then_some(Self { x, y })
    }

    #[inline]
    pub(super) fn negated_if(self, condition: bool) -> Self {
        if condition { Self { x: self.x, y: -self.y } } else { self }
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
        let y = point.y.to_bytes();
        assert!(Affine::lift_hinted(&x, &y).is_some());
        let odd = (-point.y).to_bytes();
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

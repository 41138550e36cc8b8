//! Jacobian points: additions without an inversion, variable time.

use k256::ProjectivePoint;
use k256::elliptic_curve::point::AffineCoordinates;

use super::affine::Affine;
use super::field::Field;

/// `(x/z², y/z³)`, or the identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jacobian {
    x: Field,
    y: Field,
    z: Field,
    identity: bool,
}

impl Jacobian {
    pub(super) const IDENTITY: Self =
        Self { x: Field::ONE, y: Field::ONE, z: Field::ZERO, identity: true };

    pub(super) fn from_affine(point: &Affine) -> Self {
        Self { x: point.x, y: point.y, z: Field::ONE, identity: false }
    }

    /// Formula dbl-2009-l. No point of secp256k1 has y = 0, so only the identity doubles to the identity.
    pub(super) fn double(&self) -> Self {
        if self.identity {
            return *self;
        }
        let a = self.x.square();
        let b = self.y.square();
        let c = b.square();
        let d = ((self.x + b).square() - a - c).double();
        let e = a + a.double();
        let x = e.square() - d.double();
        let y = e * (d - x) - c.double().double().double();
        Self { x, y, z: self.y.double() * self.z, identity: false }
    }

    pub(super) fn add_affine(&self, other: &Affine) -> Self {
        if self.identity {
            return Self::from_affine(other);
        }
        let zz = self.z.square();
        let u2 = other.x * zz;
        let s2 = other.y * zz * self.z;
        self.finish((self.x, self.y), (u2, s2), self.z)
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        if self.identity {
            return *other;
        }
        if other.identity {
            return *self;
        }
        let zz1 = self.z.square();
        let zz2 = other.z.square();
        let one = (self.x * zz2, self.y * zz2 * other.z);
        let two = (other.x * zz1, other.y * zz1 * self.z);
        self.finish(one, two, self.z * other.z)
    }

    /// The second half of an addition: `u`, `s` are the coordinates over the common denominator `z`.
    fn finish(&self, (u1, s1): (Field, Field), (u2, s2): (Field, Field), z: Field) -> Self {
        let h = u2 - u1;
        let r = s2 - s1;
        if h.is_zero() {
            return if r.is_zero() { self.double() } else { Self::IDENTITY };
        }
        let hh = h.square();
        let hhh = hh * h;
        let v = u1 * hh;
        let x = r.square() - hhh - v.double();
        let y = r * (v - x) - s1 * hhh;
        Self { x, y, z: z * h, identity: false }
    }

    /// Whether this is the same point as one of k256.
    pub(super) fn is(&self, other: &ProjectivePoint) -> bool {
        if self.identity || *other == ProjectivePoint::IDENTITY {
            return self.identity && *other == ProjectivePoint::IDENTITY;
        }
        let affine = other.to_affine();
        let coordinates = (Field::parse(&affine.x().into()), Field::parse(&affine.y().into()));
        let (Some(x), Some(y)) = coordinates else { return false };
        let zz = self.z.square();
        let same_x = (x * zz - self.x).is_zero();
        let same_y = (y * zz * self.z - self.y).is_zero();
        same_x && same_y
    }
}

#[cfg(test)]
mod tests {
    use k256::Scalar;

    use super::*;

    /// `k·G` as ours and as k256's.
    fn pair(k: u64) -> (Affine, ProjectivePoint) {
        let theirs = ProjectivePoint::GENERATOR * Scalar::from(k);
        let affine = theirs.to_affine();
        let [x, y] = [affine.x(), affine.y()].map(|c| Field::parse(&c.into()).unwrap());
        (Affine { x, y }, theirs)
    }

    #[test]
    fn sums_agree_with_k256_in_every_special_case() {
        for (a, b) in [(1, 2), (5, 5), (7, 9), (1000, 1)] {
            let ((ours_a, theirs_a), (ours_b, theirs_b)) = (pair(a), pair(b));
            let one = Jacobian::from_affine(&ours_a);
            let sum = one.add_affine(&ours_b);
            assert!(sum.is(&(theirs_a + theirs_b)));
            assert!(!sum.is(&(theirs_a + theirs_b + theirs_b)));
            // With denominators other than one.
            let twice = sum.double();
            assert!(twice.add(&sum).is(&((theirs_a + theirs_b) * Scalar::from(3u64))));
            assert!(twice.add(&twice).is(&((theirs_a + theirs_b) * Scalar::from(4u64))));
            let minus = ours_a.negated_if(true);
            assert!(one.add_affine(&minus).is(&ProjectivePoint::IDENTITY));
            assert!(one.add(&Jacobian::IDENTITY).is(&theirs_a));
            assert!(Jacobian::IDENTITY.add(&one).is(&theirs_a));
            assert!(Jacobian::IDENTITY.double().is(&ProjectivePoint::IDENTITY));
            assert!(!one.is(&ProjectivePoint::IDENTITY));
            assert!(!Jacobian::IDENTITY.is(&theirs_a));
        }
    }
}

//! Many short lists of points, each summed, with one inversion shared by all additions of a round.
//!
//! An affine addition costs `λ = Δy/Δx` and three more multiplications. Montgomery's trick replaces all inversions of a round by one
//! and three multiplications each, which makes an addition about six multiplications against eleven in Jacobian coordinates. A round
//! adds neighbours pairwise, so a list of n points takes ⌈log₂ n⌉ rounds.

use super::field::{Affine, Field, is_zero};

/// The lists. Points of one list stand together.
#[derive(Debug, Default)]
pub(super) struct Segments {
    points: Vec<Affine>,
    starts: Vec<usize>,
    counts: Vec<usize>,
    /// While filling: the next free place of each list.
    next: Vec<usize>,
    // Of one round.
    differences: Vec<Field>,
    products: Vec<Field>,
    kinds: Vec<Kind>,
}

/// What a pair of neighbours adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Double,
    Nothing,
}

impl Segments {
    /// Begins `lists` empty lists whose lengths are counted first with [`Segments::announce`].
    pub(super) fn begin(&mut self, lists: usize) {
        self.counts.clear();
        self.counts.resize(lists, 0);
    }

    pub(super) fn announce(&mut self, list: usize) {
        self.counts[list] += 1;
    }

    /// After all points have been announced: makes the room for them.
    pub(super) fn lay_out(&mut self) {
        self.starts.clear();
        let mut total = 0;
        for count in &self.counts {
            self.starts.push(total);
            total += count;
        }
        self.next.clone_from(&self.starts);
        if self.points.len() < total {
            self.points.resize(total, Affine::UNSET);
        }
    }

    pub(super) fn put(&mut self, list: usize, point: Affine) {
        self.points[self.next[list]] = point;
        self.next[list] += 1;
    }

    /// The sum of a list after [`Segments::reduce`]; `None` for the identity.
    pub(super) fn sum(&self, list: usize) -> Option<&Affine> {
        (self.counts[list] == 1).then(|| &self.points[self.starts[list]])
    }

    /// Sums every list.
    pub(super) fn reduce(&mut self) {
        while self.prepare_round() {
            self.finish_round();
        }
    }

    /// Collects what is to be inverted, the running products, and inverts. `false` if no list has two points.
    fn prepare_round(&mut self) -> bool {
        self.differences.clear();
        self.products.clear();
        self.kinds.clear();
        let mut product = Field::ONE;
        for (start, count) in self.starts.iter().zip(&self.counts) {
            for pair in self.points[*start..start + count].chunks_exact(2) {
                let (difference, kind) = difference(&pair[0], &pair[1]);
                self.kinds.push(kind);
                self.products.push(product);
                self.differences.push(difference);
                product = product.mul(&difference);
            }
        }
        if self.differences.is_empty() {
            return false;
        }
        let inverse = product.invert_vartime().into_option();
        let mut inverse = inverse.expect("no factor is zero");
        for (difference, product) in self.differences.iter_mut().zip(&self.products).rev() {
            let of_this = inverse.mul(product);
            inverse = inverse.mul(difference);
            *difference = of_this;
        }
        true
    }

    /// Replaces each pair of neighbours by its sum, moving the results together.
    fn finish_round(&mut self) {
        let mut done = self.differences.iter().zip(&self.kinds);
        for (start, count) in self.starts.iter().zip(&mut self.counts) {
            if *count < 2 {
                continue;
            }
            let list = &mut self.points[*start..start + *count];
            let mut out = 0;
            for pair in 0..*count / 2 {
                let (a, b) = (list[2 * pair], list[2 * pair + 1]);
                let (inverse, kind) = done.next().expect("one for each pair");
                if let Some(sum) = add(&a, &b, inverse, *kind) {
                    list[out] = sum;
                    out += 1;
                }
            }
            if *count % 2 == 1 {
                list[out] = list[*count - 1];
                out += 1;
            }
            *count = out;
        }
    }
}

/// The denominator of the slope through two points, never zero.
#[inline]
fn difference(a: &Affine, b: &Affine) -> (Field, Kind) {
    let dx = (b.x + a.x.negate(1)).normalize_weak();
    if !is_zero(&dx) {
        return (dx, Kind::Sum);
    }
    // Equal points double, opposite ones cancel.
    if is_zero(&(a.y + b.y.negate(1))) {
        (a.y.double().normalize_weak(), Kind::Double)
    } else {
        (Field::ONE, Kind::Nothing)
    }
}

#[inline]
fn add(a: &Affine, b: &Affine, inverse: &Field, kind: Kind) -> Option<Affine> {
    let numerator = match kind {
        Kind::Sum => b.y + a.y.negate(1),
        Kind::Double => {
            let xx = a.x.square();
            xx + xx.double()
        }
        Kind::Nothing => return None,
    };
    let slope = numerator.mul(inverse);
    let x = (slope.square() + a.x.negate(1) + b.x.negate(1)).normalize_weak();
    let y = (slope.mul(&(a.x + x.negate(1))) + a.y.negate(1)).normalize_weak();
    Some(Affine { x, y })
}

//! Many short lists of points, each summed, with one inversion shared by all additions of a round.
//!
//! An affine addition costs `λ = Δy/Δx` and three more multiplications. Montgomery's trick replaces all inversions of a round by one
//! and three multiplications each, which makes an addition about six multiplications against eleven in Jacobian coordinates. A round
//! adds neighbours pairwise, so a list of n points takes ⌈log₂ n⌉ rounds.

use super::affine::Affine;
use super::field::Field;

/// The lists. Points of one list stand together.
#[derive(Debug, Default)]
pub(super) struct Segments {
    points: Vec<Affine>,
    starts: Vec<usize>,
    counts: Vec<usize>,
    /// While filling: the next free place of each list, and what comes into each place.
    next: Vec<usize>,
    order: Vec<u32>,
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
    /// Fills `lists` lists. `each` calls its argument with (list, reference) for every point, in the same order whenever it is called;
    /// `point` turns a reference into its point. The points are fetched in the order in which they will be added, because reading memory
    /// here and there is cheaper than writing it.
    pub(super) fn fill(
        &mut self,
        lists: usize,
        each: impl Fn(&mut dyn FnMut(usize, u32)),
        point: impl Fn(u32) -> Affine,
    ) {
        self.counts.clear();
        self.counts.resize(lists, 0);
        each(&mut |list, _| self.counts[list] += 1);
        self.starts.clear();
        let mut total = 0;
        for count in &self.counts {
            self.starts.push(total);
            total += count;
        }
        self.next.clone_from(&self.starts);
        self.order.clear();
        self.order.resize(total, 0);
        each(&mut |list, reference| {
            self.order[self.next[list]] = reference;
            self.next[list] += 1;
        });
        self.points.clear();
        self.points.extend(self.order.iter().map(|reference| point(*reference)));
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
        let mut products = self.multiply_up(false);
        if self.differences.is_empty() {
            return false;
        }
        let mut product = products[0] * products[1];
        if product.is_zero() {
            // Equal or opposite neighbours, whose difference is zero: they are rare, so they are looked for only now.
            products = self.multiply_up(true);
            product = products[0] * products[1];
        }
        let inverse = product.invert().expect("no factor is zero");
        let mut inverses = [inverse * products[1], inverse * products[0]];
        let all = self.differences.iter_mut().zip(&self.products).enumerate().rev();
        for (at, (difference, product)) in all {
            let inverse = &mut inverses[at % 2];
            let of_this = *inverse * *product;
            *inverse = *inverse * *difference;
            *difference = of_this;
        }
        true
    }

    /// The product of every second difference, and of the others; zero if one of them is, which cannot be if it is `careful`. Two chains, because a
    /// product that waits for the one before it leaves the multiplier idle.
    fn multiply_up(&mut self, careful: bool) -> [Field; 2] {
        self.differences.clear();
        self.products.clear();
        self.kinds.clear();
        let mut products = [Field::ONE; 2];
        for (start, count) in self.starts.iter().zip(&self.counts) {
            for pair in self.points[*start..start + count].chunks_exact(2) {
                let (mut difference, mut kind) = (pair[1].x - pair[0].x, Kind::Sum);
                if careful && difference.is_zero() {
                    (difference, kind) = twins(&pair[0], &pair[1]);
                }
                self.kinds.push(kind);
                let product = &mut products[self.differences.len() % 2];
                self.products.push(*product);
                self.differences.push(difference);
                *product = *product * difference;
            }
        }
        products
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

/// What two points with the same x add up to, and a denominator that is not zero. Equal points double, opposite ones cancel.
fn twins(a: &Affine, b: &Affine) -> (Field, Kind) {
    if (a.y - b.y).is_zero() { (a.y.double(), Kind::Double) } else { (Field::ONE, Kind::Nothing) }
}

#[inline]
fn add(a: &Affine, b: &Affine, inverse: &Field, kind: Kind) -> Option<Affine> {
    let numerator = match kind {
        Kind::Sum => b.y - a.y,
        Kind::Double => {
            let xx = a.x.square();
            xx + xx.double()
        }
        Kind::Nothing => return None,
    };
    let slope = numerator * *inverse;
    let x = slope.square() - a.x - b.x;
    let y = slope * (a.x - x) - a.y;
    Some(Affine { x, y })
}

//! `Σ kᵢ·Pᵢ` with 128-bit `kᵢ`, by Pippenger's method with signed digits.
//!
//! The scalars are cut into windows of `width` bits. In one window, points with the same digit fall into one bucket; the sum over buckets
//! `Σ d·B_d` is then cheap. Above [`AFFINE_FROM`] terms buckets are summed with shared inversions ([`Segments`]); below, the inversions
//! cost more than they save, and buckets are Jacobian.

use super::affine::Affine;
use super::jacobian::Jacobian;
use super::segments::Segments;

/// Terms from which on affine buckets win (measured; see docs/benchmarks-ledger.md).
pub(super) const AFFINE_FROM: usize = 100;
/// Points in flight in one affine round. Kept at 8 Ki: 640 KB of them stay near the core, and an inversion
/// (250 multiplications) is shared by thousands.
const POINTS_IN_FLIGHT: usize = 8 << 10;

/// One term. The sign is in the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) point: Affine,
    pub(super) magnitude: u128,
}

/// Memory that is used again from sum to sum.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    segments: Segments,
    digits: Vec<Digit>,
    /// The terms of the equation; the caller takes them out, fills them and puts them back.
    pub(super) terms: Vec<Term>,
}

/// A signed digit: `magnitude << 1 | negative`.
#[derive(Clone, Copy, Debug)]
struct Digit(u16);

impl Digit {
    fn bucket(self) -> usize {
        usize::from(self.0 >> 1)
    }

    fn negative(self) -> bool {
        self.0 & 1 == 1
    }
}

/// How scalars are cut.
#[derive(Clone, Copy, Debug)]
struct Windows {
    width: u32,
    count: usize,
}

impl Windows {
    /// The cheapest width, in field multiplications.
    fn cheapest(terms: usize, per_term: usize, per_bucket: usize) -> Self {
        let all = (4..=13).map(|width| {
            let windows = Self { width, count: 128 / width as usize + 1 };
            (windows.count * (terms * per_term + windows.buckets() * per_bucket), windows)
        });
        all.min_by_key(|(cost, _)| *cost).expect("there are widths").1
    }

    /// Digits are in `-2^(width-1) ..= 2^(width-1)`.
    fn buckets(self) -> usize {
        1 << (self.width - 1)
    }

    /// The digits of a scalar, the lowest window first. There is a window more than the bits need, for the last carry.
    #[expect(clippy::cast_possible_truncation, reason = "masked to at most 13 bits")]
    fn digits(self, scalar: u128, out: &mut Vec<Digit>) {
        let (mask, half) = ((1_u128 << self.width) - 1, 1_u16 << (self.width - 1));
        let (mut rest, mut carry) = (scalar, 0);
        for _ in 0..self.count {
            let digit = (rest & mask) as u16 + carry;
            rest >>= self.width;
            let negative = digit > half;
            carry = u16::from(negative);
            let magnitude = if negative { (half << 1) - digit } else { digit };
            out.push(Digit(magnitude << 1 | u16::from(negative)));
        }
        debug_assert_eq!(carry, 0, "the last window takes the carry");
    }
}

/// The sum of all terms.
pub(super) fn sum(terms: &[Term], scratch: &mut Scratch) -> Jacobian {
    if terms.len() >= AFFINE_FROM { affine(terms, scratch) } else { jacobian(terms, scratch) }
}

fn cut(terms: &[Term], windows: Windows, digits: &mut Vec<Digit>) {
    digits.clear();
    for term in terms {
        windows.digits(term.magnitude, digits);
    }
}

pub(super) fn jacobian(terms: &[Term], scratch: &mut Scratch) -> Jacobian {
    let windows = Windows::cheapest(terms.len(), 11, 32);
    cut(terms, windows, &mut scratch.digits);
    let mut buckets = vec![Jacobian::IDENTITY; windows.buckets() + 1];
    let mut total = Jacobian::IDENTITY;
    for window in (0..windows.count).rev() {
        for _ in 0..windows.width {
            total = total.double();
        }
        buckets.fill(Jacobian::IDENTITY);
        for (term, digits) in terms.iter().zip(scratch.digits.chunks_exact(windows.count)) {
            let digit = digits[window];
            if digit.bucket() != 0 {
                let bucket = &mut buckets[digit.bucket()];
                *bucket = bucket.add_affine(&term.point.negated_if(digit.negative()));
            }
        }
        let (mut running, mut of_window) = (Jacobian::IDENTITY, Jacobian::IDENTITY);
        for bucket in buckets[1..].iter().rev() {
            running = running.add(bucket);
            of_window = of_window.add(&running);
        }
        total = total.add(&of_window);
    }
    total
}

pub(super) fn affine(terms: &[Term], scratch: &mut Scratch) -> Jacobian {
    let windows = Windows::cheapest(terms.len(), 6, 10);
    cut(terms, windows, &mut scratch.digits);
    let at_once = (POINTS_IN_FLIGHT / terms.len()).clamp(1, windows.count);
    let mut total = Jacobian::IDENTITY;
    let mut above = windows.count;
    while above > 0 {
        let below = above.saturating_sub(at_once);
        fill_buckets(terms, windows, below..above, scratch);
        scratch.segments.reduce();
        let sums = bucket_sums(windows, above - below, &mut scratch.segments);
        for of_window in sums.iter().rev() {
            for _ in 0..windows.width {
                total = total.double();
            }
            total = total.add(of_window);
        }
        above = below;
    }
    total
}

/// List `w·buckets + d - 1` gets the points whose digit in the w-th window of the range is d.
fn fill_buckets(
    terms: &[Term],
    windows: Windows,
    range: std::ops::Range<usize>,
    scratch: &mut Scratch,
) {
    let Scratch { segments, digits, .. } = scratch;
    let buckets = windows.buckets();
    // A reference is `term << 1 | negative`.
    let each = |put: &mut dyn FnMut(usize, u32)| {
        for (term, digits) in (0_u32..).zip(digits.chunks_exact(windows.count)) {
            for (base, digit) in (0..).step_by(buckets).zip(&digits[range.clone()]) {
                if digit.bucket() != 0 {
                    put(base + digit.bucket() - 1, term << 1 | u32::from(digit.negative()));
                }
            }
        }
    };
    let point =
        |reference: u32| terms[(reference >> 1) as usize].point.negated_if(reference & 1 == 1);
    segments.fill(range.len() * buckets, each, point);
}

/// `Σ d·B_d` of each window. A bucket's number is `d = row·2^shift + column`, so `Σ d·B_d = 2^shift·Σ row·R_row + Σ column·C_column`
/// where `R` and `C` are sums over rows and columns: affine additions again, and only two short chains of Jacobian ones.
fn bucket_sums(windows: Windows, count: usize, segments: &mut Segments) -> Vec<Jacobian> {
    let buckets = windows.buckets();
    let shift = (windows.width - 1) / 2;
    let columns = 1_usize << shift;
    let rows = (buckets >> shift) + 1;
    let mut filled = Vec::with_capacity(count * buckets);
    for window in 0..count {
        for digit in 1..=buckets {
            if let Some(point) = segments.sum(window * buckets + digit - 1) {
                filled.push((window * (rows + columns), digit, *point));
            }
        }
    }
    let each = |put: &mut dyn FnMut(usize, u32)| {
        for (reference, (base, digit, _)) in (0_u32..).zip(&filled) {
            let (row, column) = (digit >> shift, digit & (columns - 1));
            if row != 0 {
                put(base + row, reference);
            }
            if column != 0 {
                put(base + rows + column, reference);
            }
        }
    };
    segments.fill(count * (rows + columns), each, |reference| filled[reference as usize].2);
    segments.reduce();
    let weighted = |lists: std::ops::Range<usize>| {
        let (mut running, mut total) = (Jacobian::IDENTITY, Jacobian::IDENTITY);
        for list in lists.rev() {
            if let Some(point) = segments.sum(list) {
                running = running.add_affine(point);
            }
            total = total.add(&running);
        }
        total
    };
    let of_window = |window: usize| {
        let base = window * (rows + columns);
        let mut total = weighted(base + 1..base + rows);
        for _ in 0..shift {
            total = total.double();
        }
        total.add(&weighted(base + rows + 1..base + rows + columns))
    };
    (0..count).map(of_window).collect()
}

#[cfg(test)]
mod tests {
    use k256::elliptic_curve::point::AffineCoordinates;
    use k256::{ProjectivePoint, Scalar};

    use super::super::field::Field;
    use super::*;
    use crate::Hash;

    fn draw(seed: u64) -> u128 {
        let hash = Hash::of_content(&seed.to_le_bytes());
        u128::from(hash.to_u64()) << 64 | u128::from(Hash::of_content(&hash.0).to_u64())
    }

    fn term(factor: u64, negative: bool, magnitude: u128) -> (Term, ProjectivePoint) {
        let point = ProjectivePoint::GENERATOR * Scalar::from(factor);
        let point = if negative { -point } else { point };
        let affine = point.to_affine();
        let [x, y] = [affine.x(), affine.y()].map(|c| Field::parse(&c.into()).unwrap());
        (Term { point: Affine { x, y }, magnitude }, point * Scalar::from(magnitude))
    }

    fn check(what: &str, terms: &[(Term, ProjectivePoint)]) {
        let expected = terms.iter().fold(ProjectivePoint::IDENTITY, |sum, (_, part)| sum + part);
        let terms: Vec<Term> = terms.iter().map(|(term, _)| *term).collect();
        let mut scratch = Scratch::default();
        assert!(jacobian(&terms, &mut scratch).is(&expected), "jacobian, {what}");
        assert!(affine(&terms, &mut scratch).is(&expected), "affine, {what}");
        assert!(sum(&terms, &mut scratch).is(&expected), "the chosen one, {what}");
    }

    #[test]
    fn both_ways_give_the_sum_of_single_multiplications() {
        for count in [1, 2, 3, 17, 64, 350, 900] {
            let terms: Vec<_> = (0..count).map(|n| term(n + 1, n % 3 == 0, draw(n))).collect();
            check(&format!("{count} random terms"), &terms);
        }
    }

    /// Random points never meet; an attacker's do. Equal points double in the buckets, opposite points cancel.
    #[test]
    fn equal_and_opposite_points_and_extreme_scalars_add_up_too() {
        let same: Vec<_> = (0..400).map(|_| term(7, false, 5)).collect();
        check("the same term", &same);
        let cancelling: Vec<_> = (0..400).map(|n| term(7, n % 2 == 0, 12_345)).collect();
        check("opposite terms, whose sum is the identity", &cancelling);
        let mixed: Vec<_> =
            (0..401).map(|n| term(1 + n % 3, n % 2 == 0, draw(n % 5) | 1 << 127)).collect();
        check("few points, few scalars", &mixed);
        for magnitude in [0, 1, 2, u128::MAX, u128::MAX - 1, 1 << 127, (1 << 127) - 1] {
            let terms: Vec<_> = (0..310).map(|n| term(n + 2, n % 2 == 0, magnitude)).collect();
            check(&format!("scalars {magnitude}"), &terms);
        }
    }
}

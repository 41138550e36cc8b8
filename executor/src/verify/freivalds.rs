//! Is *C* = *A*·*B*? Freivalds' check: for a random vector *r*, compare *C·r* with *A·(B·r)*. Three matrix-vector products
//! instead of one matrix product, so the advantage grows with the size.
//!
//! Entries of *A* and *B* are 16-bit, those of *C* 64-bit integers, little-endian, row by row: products of integers are exact, so
//! there is one right *C*. Arithmetic is modulo the prime 2⁶¹ − 1 and *r* is drawn uniformly from its residues by hashing *all three*
//! matrices: whoever chooses them cannot choose *r*. A wrong *C* passes with probability at most 2⁻⁶⁰ for each hash that its
//! author tries.

use gongsuan_types::{Hash, Hasher};

/// Rows or columns, at most: sums stay far from overflowing.
pub const SIZE_MAX: u32 = 1 << 15;
/// The prime 2⁶¹ − 1.
const P: u64 = (1 << 61) - 1;
/// Products of two residues that fit into 128 bits together.
const PRODUCTS: usize = 32;

/// Rows of *A* and *C*; columns of *A*, rows of *B*; columns of *B* and *C*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Rows of *A* and *C*.
    pub rows: u32,
    /// Columns of *A* and rows of *B*.
    pub inner: u32,
    /// Columns of *B* and *C*.
    pub columns: u32,
}

impl Sizes {
    /// Bytes of *A*, *B* and *C*; `None` if a size is zero or above [`SIZE_MAX`].
    #[must_use]
    pub fn bytes(&self) -> Option<[usize; 3]> {
        let Self { rows, inner, columns } = *self;
        let admitted = [rows, inner, columns].iter().all(|size| (1..=SIZE_MAX).contains(size));
        let area = |height: u32, width: u32| height as usize * width as usize;
        admitted.then(|| [area(rows, inner) * 2, area(inner, columns) * 2, area(rows, columns) * 8])
    }
}

/// Whether *C* = *A*·*B*. False also if a matrix has not the length that its sizes give.
#[must_use]
pub fn check(sizes: Sizes, a: &[u8], b: &[u8], c: &[u8]) -> bool {
    if sizes.bytes() != Some([a.len(), b.len(), c.len()]) {
        return false;
    }
    let r = vector(sizes, a, b, c);
    let (inner, columns) = (sizes.inner as usize, sizes.columns as usize);
    let (a, _) = a.as_chunks::<2>();
    let (b, _) = b.as_chunks::<2>();
    let (c, _) = c.as_chunks::<8>();
    let br: Vec<u64> = b.chunks_exact(columns).map(|row| short_dot(row, &r)).collect();
    let mut rows = a.chunks_exact(inner).zip(c.chunks_exact(columns));
    rows.all(|(a, c)| short_dot(a, &br) == long_dot(c, &r))
}

/// The random vector, one residue for each column of *C*.
fn vector(sizes: Sizes, a: &[u8], b: &[u8], c: &[u8]) -> Vec<u64> {
    let mut hasher = Hasher::new("gongsuan/freivalds/v1");
    for size in [sizes.rows, sizes.inner, sizes.columns] {
        hasher.update(&size.to_le_bytes());
    }
    // Lengths follow from the sizes, so nothing needs to separate the matrices.
    hasher.update(a).update(b).update(c);
    let seed = hasher.finish();
    let mut residues = Vec::with_capacity(sizes.columns as usize + 4);
    let mut block = 0u64;
    while residues.len() < sizes.columns as usize {
        let mut hasher = Hasher::new("gongsuan/freivalds-vector/v1");
        hasher.update(&seed.0).update(&block.to_le_bytes());
        block += 1;
        let Hash(bytes) = hasher.finish();
        let (words, _) = bytes.as_chunks::<8>();
        // 61 bits; the one value that is no residue is drawn again.
        residues.extend(words.iter().map(|word| u64::from_le_bytes(*word) & P).filter(|r| *r != P));
    }
    residues.truncate(sizes.columns as usize);
    residues
}

/// A row of 16-bit numbers times a vector of residues.
fn short_dot(row: &[[u8; 2]], vector: &[u64]) -> u64 {
    // In halves of the residue, so that products fit into 64 bits, and sums of up to SIZE_MAX of them, too.
    let (mut low, mut high) = (0i64, 0i64);
    for (entry, &residue) in row.iter().zip(vector) {
        let entry = i64::from(i16::from_le_bytes(*entry));
        low += entry * (residue & 0x7fff_ffff).cast_signed();
        high += entry * (residue >> 31).cast_signed();
    }
    residue_of(i128::from(low) + (i128::from(high) << 31))
}

/// A row of 64-bit numbers times a vector of residues.
fn long_dot(row: &[[u8; 8]], vector: &[u64]) -> u64 {
    let mut sum = 0;
    for (entries, residues) in row.chunks(PRODUCTS).zip(vector.chunks(PRODUCTS)) {
        let mut part = 0u128;
        for (entry, &residue) in entries.iter().zip(residues) {
            let entry = residue_of(i128::from(i64::from_le_bytes(*entry)));
            part += u128::from(entry) * u128::from(residue);
        }
        sum = fold(u128::from(sum) + u128::from(fold(part)));
    }
    sum
}

fn residue_of(value: i128) -> u64 {
    let magnitude = fold(value.unsigned_abs());
    if value < 0 && magnitude != 0 { P - magnitude } else { magnitude }
}

/// The residue of any 128-bit number: 2⁶¹ is 1 here.
fn fold(value: u128) -> u64 {
    let p = u128::from(P);
    let once = (value & p) + (value >> 61);
    let twice = (once & p) + (once >> 61);
    let residue = u64::try_from(twice).expect("below 2⁶² after two folds");
    if residue >= P { residue - P } else { residue }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<const N: usize, T: Copy>(list: &[T], to: fn(T) -> [u8; N]) -> Vec<u8> {
        list.iter().flat_map(|item| to(*item)).collect()
    }

    /// The product by its definition.
    fn multiply(sizes: Sizes, a: &[i16], b: &[i16]) -> Vec<i64> {
        let (inner, columns) = (sizes.inner as usize, sizes.columns as usize);
        let entry = |at: usize| {
            let (row, column) = (at / columns, at % columns);
            (0..inner)
                .map(|k| i64::from(a[row * inner + k]) * i64::from(b[k * columns + column]))
                .sum()
        };
        (0..sizes.rows as usize * columns).map(entry).collect()
    }

    fn matrices() -> impl Strategy<Value = (Sizes, Vec<i16>, Vec<i16>)> {
        (1u32..40, 1u32..40, 1u32..40).prop_flat_map(|(rows, inner, columns)| {
            let entries = |count: u32| {
                let any = prop_oneof![any::<i16>(), Just(i16::MIN), Just(i16::MAX)];
                prop::collection::vec(any, count as usize)
            };
            let sizes = Sizes { rows, inner, columns };
            (Just(sizes), entries(rows * inner), entries(inner * columns))
        })
    }

    proptest! {
        #[test]
        fn a_product_passes_and_any_other_matrix_does_not(
            (sizes, a, b) in matrices(),
            at: prop::sample::Index,
            off in prop_oneof![any::<i64>(), Just(1), Just(-1), Just(1 << 61), Just(i64::MIN)],
        ) {
            let mut c = multiply(sizes, &a, &b);
            let (a, b) = (bytes(&a, i16::to_le_bytes), bytes(&b, i16::to_le_bytes));
            prop_assert!(check(sizes, &a, &b, &bytes(&c, i64::to_le_bytes)));
            let at = at.index(c.len());
            c[at] = c[at].wrapping_add(off);
            let wrong = bytes(&c, i64::to_le_bytes);
            // Off by a multiple of the prime is the same residue; entries of a true product are far below it.
            let congruent = i128::from(off).rem_euclid(i128::from(P)) == 0;
            prop_assert_eq!(check(sizes, &a, &b, &wrong), congruent);
        }

        #[test]
        fn residues_are_what_division_gives(value: i128) {
            let value = value / 2;
            prop_assert_eq!(i128::from(residue_of(value)), value.rem_euclid(i128::from(P)));
        }
    }

    #[test]
    fn the_largest_sums_do_not_overflow() {
        let inner = SIZE_MAX;
        let sizes = Sizes { rows: 1, inner, columns: 1 };
        let a = vec![i16::MIN; inner as usize];
        let c = multiply(sizes, &a, &a);
        let a = bytes(&a, i16::to_le_bytes);
        assert!(check(sizes, &a, &a, &bytes(&c, i64::to_le_bytes)));
    }

    #[test]
    fn wrong_lengths_and_sizes_are_no_product() {
        let sizes = Sizes { rows: 1, inner: 1, columns: 1 };
        assert!(check(sizes, &[2, 0], &[3, 0], &6i64.to_le_bytes()));
        assert!(!check(sizes, &[2, 0], &[3, 0], &6i64.to_le_bytes()[..7]));
        assert!(!check(Sizes { rows: 0, ..sizes }, &[], &[3, 0], &[]));
        assert_eq!(Sizes { columns: SIZE_MAX + 1, ..sizes }.bytes(), None);
    }
}

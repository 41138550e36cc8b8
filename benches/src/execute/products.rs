//! Checking a product of matrices against computing it.

use gongsuan_executor::verify::freivalds::{self, Sizes};
use serde_json::json;

use super::rounded;
use crate::measure::{Contender, medians};
use crate::table::Report;

pub(super) fn run(report: &mut Report, quick: bool) -> Result<(), String> {
    for size in if quick { vec![256_u32, 512] } else { vec![256, 512, 1024] } {
        let (a, b) = (matrix(size, 1), matrix(size, 2));
        let c = multiply(&a, &b, size as usize);
        let short = |matrix: &[i16]| -> Vec<u8> {
            matrix.iter().flat_map(|entry| entry.to_le_bytes()).collect()
        };
        let (a_bytes, b_bytes) = (short(&a), short(&b));
        let c_bytes: Vec<u8> = c.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let sizes = Sizes { rows: size, inner: size, columns: size };
        if !freivalds::check(sizes, &a_bytes, &b_bytes, &c_bytes) {
            return Err("a true product was not recognised".to_owned());
        }
        let mut contenders = [
            Contender {
                items: 1,
                work: Box::new(|| {
                    std::hint::black_box(freivalds::check(sizes, &a_bytes, &b_bytes, &c_bytes));
                }),
            },
            Contender {
                items: 1,
                work: Box::new(|| {
                    std::hint::black_box(multiply(&a, &b, size as usize));
                }),
            },
        ];
        let times = medians(&mut contenders, if quick { 1 } else { 5 });
        let (check, compute) = (times[0].cpu_ns, times[1].cpu_ns);
        report.row(json!({
            "name": "product",
            "variant": format!("{size} x {size}"),
            "check_ms": rounded(check / 1e6, 2),
            "compute_ms": rounded(compute / 1e6, 2),
            "ratio": rounded(compute / check, 1),
        }));
    }
    Ok(())
}

/// Entries of all sizes, the same in every run.
fn matrix(size: u32, salt: u64) -> Vec<i16> {
    let mix = |at: u64| {
        (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let entries = u64::from(size) * u64::from(size);
    (0..entries)
        .map(|at| i16::from_le_bytes([mix(at).to_le_bytes()[6], mix(at).to_le_bytes()[7]]))
        .collect()
}

/// By rows, so that the compiler has vectors to work with.
fn multiply(a: &[i16], b: &[i16], n: usize) -> Vec<i64> {
    let mut c = vec![0i64; n * n];
    for (a, c) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
        for (&left, b) in a.iter().zip(b.chunks_exact(n)) {
            for (sum, &right) in c.iter_mut().zip(b) {
                *sum += i64::from(i32::from(left) * i32::from(right));
            }
        }
    }
    c
}

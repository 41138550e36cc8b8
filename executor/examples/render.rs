//! Renders the ray-traced scene in this process and writes it as a PPM file.
//!
//! ```sh
//! cargo run --release -p gongsuan-executor --example render -- picture.ppm [width height seed samples]
//! ```
#![expect(clippy::print_stderr, reason = "an example talks to people")]

use std::error::Error;
use std::time::Instant;

use gongsuan_executor::{Backend, Cancel, Event, InProcess, Inputs, Job, default_engine, guests};
use gongsuan_types::Hash;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: render PATH [width height seed samples]")?;
    let numbers = args.map(|arg| arg.parse()).collect::<Result<Vec<u32>, _>>()?;
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let scene = guests::RaytraceScene {
        width: number(0, 320),
        height: number(1, 200),
        seed: number(2, 7).into(),
        samples: number(3, 4),
        ..guests::RaytraceScene::default()
    };
    let spec = scene.to_job(Hash::ZERO);
    let job = Job {
        module: guests::RAYTRACE.into(),
        segments: (0..spec.segment_count()).collect(),
        inputs: Inputs::Shared(scene.to_input().into()),
        spec,
    };
    let mut picture = vec![0; scene.width as usize * scene.height as usize * 3];
    let begun = Instant::now();
    let backend = InProcess { engine: default_engine(), threads: 0 };
    let receipts = backend.run(&job, &Cancel::new(), &mut |event| {
        if let Event::Done(done) = event {
            scene.place(&mut picture, done.receipt.segment, &done.output);
        }
    })?;
    let fuel: u64 = receipts.iter().map(|receipt| receipt.fuel.0).sum();
    let most = receipts.iter().map(|receipt| receipt.fuel.0).max().unwrap_or(0);
    eprintln!(
        "{} tiles, {} Mf in all, {} Mf at most, {:?} on {}, {:?}",
        receipts.len(),
        fuel / 1_000_000,
        most / 1_000_000,
        begun.elapsed(),
        default_engine(),
        receipts.first().map(|receipt| receipt.status),
    );
    let header = format!("P6\n{} {}\n255\n", scene.width, scene.height);
    std::fs::write(&path, [header.as_bytes(), &picture].concat())?;
    Ok(())
}

//! The guest that comes with the project.

use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_types::Hash;
use gongsuan_types::receipt::Status;

use crate::support::run_with;

fn scene() -> RaytraceScene {
    RaytraceScene { width: 48, height: 30, columns: 2, rows: 2, seed: 2025, samples: 4 }
}

#[test]
fn a_tile_is_the_same_picture_everywhere() {
    let (scene, spec) = (scene(), scene().to_job(Hash::ZERO));
    let tile = run_with(RAYTRACE, &spec, 3, &scene.to_input());
    assert_eq!(tile.receipt.status, Status::Ok);
    assert_eq!(tile.output.len(), scene.tile(3).bytes());
    // Changes with the guest's source and with the meter's version only.
    assert_eq!(tile.receipt.output.short(), "e0fb7e09");
}

#[test]
fn bad_input_is_an_exit_code_and_a_word_in_the_log() {
    let (scene, mut spec) = (scene(), scene().to_job(Hash::ZERO));
    let input = b"48 30 0 2 1 4\n";
    let gongsuan_types::job::Shape::Map { input: named, .. } = &mut spec.shape;
    *named = gongsuan_types::job::MapInput::Shared(Hash::of_content(input));
    let output = run_with(RAYTRACE, &spec, 0, input);
    assert_eq!(output.receipt.status, Status::Exit(2));
    assert!(String::from_utf8_lossy(&output.log).starts_with("columns and rows"));
    assert_eq!(scene.tiles(), 4);
}

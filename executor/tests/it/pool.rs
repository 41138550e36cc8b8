//! Segments on threads of this process.

use gongsuan_executor::jobs::UNREAD_MAX;
use gongsuan_executor::{
    Backend, Cancel, Event, InProcess, Inputs, Job, PoolError, RunError, default_engine,
};
use gongsuan_types::Hash;
use gongsuan_types::job::{MapInput, Shape};
use gongsuan_types::receipt::{Commitment, Status};

use crate::support::{job, start, wasm};

fn backend() -> InProcess {
    InProcess { engine: default_engine(), threads: 2 }
}

/// A job that writes back what it reads.
fn echo(segments: u32, inputs: Inputs, named: MapInput) -> Job {
    let module = wasm(&start(
        "(i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 100))
         (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $put (i32.const 100) (i32.load (i32.const 8)))",
    ));
    let mut spec = job(&module, b"");
    spec.shape = Shape::Map { segments, input: named };
    Job { module: module.into(), spec, segments: (0..segments).collect(), inputs }
}

#[test]
fn receipts_come_in_the_order_asked_for_and_commit() {
    let shared = b"hello".as_slice();
    let mut job =
        echo(9, Inputs::Shared(shared.into()), MapInput::Shared(Hash::of_content(shared)));
    job.segments = vec![8, 1, 5];
    let mut done = Vec::new();
    let receipts = backend()
        .run(&job, &Cancel::new(), &mut |event| {
            if let Event::Done(output) = event {
                assert_eq!(output.output, b"hello");
                done.push(output.receipt.segment);
            }
        })
        .unwrap();
    assert_eq!(receipts.iter().map(|r| r.segment).collect::<Vec<_>>(), [8, 1, 5]);
    done.sort_unstable();
    assert_eq!(done, [1, 5, 8]);
    let (commitment, proof) = gongsuan_executor::run::prove(&receipts, 2).unwrap();
    assert_eq!(Some(commitment), Commitment::new(&receipts));
    assert!(proof.verify(&commitment, &receipts[2]));
}

#[test]
fn each_segment_may_read_its_own_input() {
    let blobs = [b"a".as_slice(), b"bb", b"ccc"];
    let index: Vec<u8> = blobs.iter().flat_map(|blob| Hash::of_content(blob).0).collect();
    let hashes = Inputs::index(&index, 3).unwrap();
    assert_eq!(hashes[2], Hash::of_content(b"ccc"));
    assert_eq!(Inputs::index(&index, 4).unwrap_err().code, "bad-input-index");
    let inputs = (0..3).map(|segment| (segment, blobs[segment as usize].into())).collect();
    let job = echo(3, Inputs::Each(inputs), MapInput::Each(Hash::of_content(&index)));
    let receipts = backend().run(&job, &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!(receipts.iter().map(|r| r.output_bytes).collect::<Vec<_>>(), [1, 2, 3]);
    let job = Job { inputs: Inputs::Each(Default::default()), ..job };
    let error = backend().run(&job, &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, PoolError::Run(RunError::MissingInput { .. })), "{error}");
}

#[test]
fn a_cancelled_job_says_how_far_it_came() {
    let shared = b"hello".as_slice();
    // More than may be unread, so that it cannot be over before the first is read.
    let many = 2 * u32::try_from(UNREAD_MAX).unwrap();
    let job = echo(many, Inputs::Shared(shared.into()), MapInput::Shared(Hash::of_content(shared)));
    let cancel = Cancel::new();
    let error = backend()
        .run(&job, &cancel, &mut |event| {
            if matches!(event, Event::Done(_)) {
                cancel.cancel();
            }
        })
        .unwrap_err();
    let PoolError::Cancelled { done, total } = error else { panic!("{error}") };
    assert_eq!(total, many as usize);
    assert!((1..total).contains(&done), "{done}");
}

#[test]
fn a_refused_module_is_told_once_and_receipted() {
    let spec = job(b"garbage", b"");
    let job = Job {
        module: b"garbage".as_slice().into(),
        spec,
        segments: vec![0, 1, 2, 3],
        inputs: Inputs::Shared(b"".as_slice().into()),
    };
    let mut refusals = 0;
    let receipts = backend()
        .run(&job, &Cancel::new(), &mut |event| {
            refusals += u32::from(matches!(event, Event::Refused(_)));
        })
        .unwrap();
    assert_eq!(refusals, 1);
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Refused));
}

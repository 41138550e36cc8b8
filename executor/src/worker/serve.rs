//! The child's side: cage first, then jobs until the pipe ends.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use gongsuan_types::job::JobSpec;

use super::cage;
use super::frame::{self, Down, PROTOCOL, Up};
use crate::engine::STACK_BYTES;
use crate::lane::Programs;
use crate::run::admit;
use crate::{Program, run_segment};

/// The main loop of a worker process, over standard input and output: what the hidden subcommand or helper binary that a
/// [`super::PoolConfig`] names must call, first thing, from a process without other threads.
///
/// Returns when its input ends; fails with a word on standard error if the parent speaks another protocol.
#[must_use]
pub fn serve() -> ExitCode {
    crate::engine::expect_one_thread();
    let mut protections = cage::enter_process();
    // The engine's native stack needs room; the thread must exist before the last door closes.
    let body = move || {
        cage::close(&mut protections);
        let (input, output) = (io::stdin().lock(), io::stdout().lock());
        talk(&mut BufReader::new(input), &mut BufWriter::new(output), protections)
    };
    let thread = std::thread::Builder::new().name("worker".to_owned()).stack_size(STACK_BYTES);
    let result = match thread.spawn(move || crate::engine::on_big_stack(body)) {
        Ok(handle) => handle.join().unwrap_or_else(|_| Err(io::Error::other("panicked"))),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The parent went away in the middle: nobody to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "worker: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Loaded {
    program: Program,
    spec: JobSpec,
    shared: Option<Vec<u8>>,
}

fn talk(
    from: &mut impl Read,
    to: &mut impl Write,
    protections: cage::Protections,
) -> io::Result<()> {
    frame::write(to, &Up::Hello { protocol: PROTOCOL, protections }, &[])?;
    let mut programs = Programs::default();
    let mut loaded: Option<Loaded> = None;
    while let Some((message, blob)) = frame::read::<Down>(from, frame::DOWN_BYTES_MAX)? {
        match message {
            Down::Job { engine, spec, shared_input } => {
                let program = match programs.get(engine, spec.module) {
                    Some(program) => Ok(program),
                    None => {
                        let module = ask_module(from, to)?;
                        programs.load(engine, &module)
                    }
                };
                match program {
                    Ok(program) => {
                        let answer = match admit(&program, &spec) {
                            Ok(()) => Up::Ready,
                            Err(refusal) => Up::Refused(refusal),
                        };
                        let shared = shared_input.then_some(blob);
                        loaded = Some(Loaded { program, spec, shared });
                        frame::write(to, &answer, &[])?;
                    }
                    Err(error) => frame::write(to, &Up::Failed(error), &[])?,
                }
            }
            Down::Module => return Err(io::Error::other("a module that nobody asked for")),
            Down::Run { segment } => {
                let Some(loaded) = &loaded else {
                    return Err(io::Error::other("a segment without a job"));
                };
                run(to, loaded, segment, &blob)?;
            }
        }
    }
    Ok(())
}

fn ask_module(from: &mut impl Read, to: &mut impl Write) -> io::Result<Vec<u8>> {
    frame::write::<Up>(to, &Up::Missing, &[])?;
    match frame::read::<Down>(from, frame::DOWN_BYTES_MAX)? {
        Some((Down::Module, module)) => Ok(module),
        Some(_) | None => Err(io::Error::other("something else than the module asked for")),
    }
}

fn run(to: &mut impl Write, loaded: &Loaded, segment: u32, own: &[u8]) -> io::Result<()> {
    let input = loaded.shared.as_deref().unwrap_or(own);
    match run_segment(&loaded.program, &loaded.spec, segment, input) {
        Ok(done) => {
            let up = Up::Done { receipt: done.receipt, output_bytes: done.receipt.output_bytes };
            frame::write(to, &up, &[&done.output, &done.log])
        }
        Err(error) => frame::write::<Up>(to, &Up::Failed(error), &[]),
    }
}

//! The smallest program around [`gongsuan_executor::worker::serve`]: what a pool starts in this crate's tests.

fn main() -> std::process::ExitCode {
    gongsuan_executor::worker::serve()
}

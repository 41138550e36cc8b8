//! The smallest program around [`gongsuan_executor::worker::serve`]: what a pool starts in this crate's tests.
//!
//! With the argument `probe` it enters the cage instead and tries to get out, one line for each way.
#![expect(clippy::print_stdout, reason = "the probe's answer is its output")]

use std::fs::File;
use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use gongsuan_executor::worker::{enter_cage, serve};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("probe") => probe(),
        _ => serve(),
    }
}

fn probe() -> ExitCode {
    let before = File::open("/proc/self/stat").is_ok();
    println!("before: {before}");
    println!("missing: {}", enter_cage().missing());
    let escapes = [
        ("read", File::open("/proc/self/stat").is_ok()),
        ("write", File::create("/tmp/gongsuan-escaped").is_ok()),
        ("list", std::fs::read_dir("/").is_ok()),
        (
            "tcp",
            !TcpStream::connect("127.0.0.1:9")
                .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied),
        ),
        ("udp", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("unix", UnixStream::pair().is_ok()),
        ("program", Command::new("/bin/true").status().is_ok()),
        ("thread", std::thread::Builder::new().spawn(|| ()).is_ok()),
        ("computing", vec![1u8; 64 << 20].iter().map(|n| u64::from(*n)).sum::<u64>() == 64 << 20),
    ];
    for (way, open) in escapes {
        println!("{way}: {open}");
    }
    ExitCode::SUCCESS
}

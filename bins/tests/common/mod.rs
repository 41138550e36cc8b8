//! Processes that tests start, and that end with them.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of this")]

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that ends with the test. What it started sees its standard input closed and ends as well.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An interrupt, so that a demo ends its own processes and removes its folder.
        let pid = self.0.id().to_string();
        drop(Command::new("kill").args(["-INT", &pid]).status());
        drop(self.0.wait());
    }
}

/// The first line that contains a word, and what comes after it. The rest of the stream is read and dropped.
pub(crate) fn after(stream: impl Read + Send + 'static, word: &str) -> String {
    let mut lines = BufReader::new(stream).lines();
    let found = lines.find_map(|line| {
        let line = line.unwrap();
        line.split_once(word).map(|(_, rest)| rest.trim().to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("the process ended without saying {word:?}"))
}

/// A demo that goes on serving, and the address of its first node.
pub(crate) fn demo(out: &Path) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gongsuan"))
        .args(["demo", "--serve", "--seed", "7", "--tiles", "4", "--width", "320", "--out"])
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let running = Running(child);
    let urls = after(stderr, " serve ");
    (running, urls.split_whitespace().next().unwrap().to_owned())
}

//! The `gongsuan-bench` command.
fn main() {}

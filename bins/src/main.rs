//! The `gongsuan` command.
fn main() {}

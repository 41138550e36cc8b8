//! Tables that tests compute and pages show.

/// Compares `table` with what stands in a page of `docs` between the marks of this test, or, with `TABLE=write`, puts it there.
pub(crate) fn check(page: &str, test: &str, table: &str) {
    let begin = format!(
        "<!-- table: written by `TABLE=write cargo test -p gongsuan-market --test {test}` -->\n"
    );
    let end = "<!-- end of the table -->";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).expect(page);
    let (before, rest) = text.split_once(&begin).expect("the table's beginning is marked");
    let (stands, after) = rest.split_once(end).expect("the table's end is marked");
    if std::env::var_os("TABLE").is_some_and(|word| word == "write") {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).expect("written");
        return;
    }
    assert_eq!(stands, table, "run with TABLE=write");
}

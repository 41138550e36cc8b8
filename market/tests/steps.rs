//! The table in `docs/deals.md` is the table in the code.

use gongsuan_market::Step;

const BEGIN: &str =
    "<!-- table: written by `TABLE=write cargo test -p gongsuan-market --test steps` -->\n";
const END: &str = "<!-- end of the table -->";

#[test]
fn the_documented_table_is_the_one_that_is_enforced() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deals.md");
    let page = std::fs::read_to_string(&path).expect("docs/deals.md");
    let (before, rest) = page.split_once(BEGIN).expect("the table's beginning is marked");
    let (table, after) = rest.split_once(END).expect("the table's end is marked");
    if std::env::var_os("TABLE").is_some_and(|word| word == "write") {
        let page = format!("{before}{BEGIN}{}{END}{after}", Step::to_markdown());
        std::fs::write(&path, page).expect("docs/deals.md is written");
        return;
    }
    assert_eq!(table, Step::to_markdown(), "run with TABLE=write");
}

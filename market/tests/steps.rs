//! The table in `docs/deals.md` is the table in the code.

#[path = "support/table.rs"]
mod table;

use gongsuan_market::Step;

#[test]
fn the_documented_table_is_the_one_that_is_enforced() {
    table::check("deals.md", "steps", &Step::to_markdown());
}

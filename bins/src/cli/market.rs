//! `gongsuan market`.

use gongsuan_market::{BookView, Explanation};
use gongsuan_types::order::Class;
use gongsuan_types::{OrderId, Price};
use serde_json::Value;

use super::{Context, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The book of a class, by price.
    Book {
        /// The class.
        #[arg(default_value = "giga-fuel/wasm")]
        class: Class,
    },
    /// All orders, newest first.
    Orders,
    /// Why an order does not match, and what would make it match.
    Why {
        /// The order's number, as `gongsuan market orders` shows it.
        order: OrderId,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<u8> {
    let client = context.client();
    match command {
        Command::Book { class } => {
            let book: BookView = client.get(&format!("/v1/book/{class}"))?;
            output::show(context.json, "gongsuan/book/v1", &serde_json::to_value(&book)?, || {
                let asks = book.asks.iter().rev().map(|level| ("ask", level));
                let bids = book.bids.iter().map(|level| ("bid", level));
                let rows = asks.chain(bids).map(|(side, level)| {
                    vec![
                        side.to_owned(),
                        level.price.to_string(),
                        level.units.to_string(),
                        level.orders.to_string(),
                    ]
                });
                output::table(&["side", "price", "units", "orders"], rows)
            });
        }
        Command::Orders => {
            let orders: Value = client.get("/v1/orders?limit=1000")?;
            output::show(context.json, "gongsuan/orders/v1", &orders, || {
                let rows =
                    orders["orders"].as_array().cloned().unwrap_or_default().into_iter().map(
                        |order| {
                            let side =
                                if order["terms"].get("ask").is_some() { "ask" } else { "bid" };
                            let price = &order["terms"][side]
                                [if side == "ask" { "price" } else { "price_max" }];
                            vec![
                                order["id"].to_string(),
                                side.to_owned(),
                                order["state"].as_str().unwrap_or("?").to_owned(),
                                order["open"].to_string(),
                                price.as_u64().map_or_else(String::new, |p| Price(p).to_string()),
                                order["owner"].as_str().unwrap_or("?").to_owned(),
                            ]
                        },
                    );
                output::table(&["order", "side", "state", "open", "price", "owner"], rows)
            });
        }
        Command::Why { order } => {
            let why: Explanation = client.get(&format!("/v1/orders/{order}/why"))?;
            output::show(context.json, "gongsuan/why/v1", &serde_json::to_value(&why)?, || {
                let mut text = why.summary.clone();
                if let Some(price) = why.price_that_matches {
                    text.push_str(&format!("\nit would match at {price} per unit"));
                }
                text
            });
        }
    }
    Ok(0)
}

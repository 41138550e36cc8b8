//! A block of orders cleared at one price: `cargo run -p gongsuan-market --example clear`.
//!
//! Six orders wait; their order of arrival buys nothing. Clearing finds the price at which most is traded, fills, and says what rests.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use gongsuan_market::book::{
    Book, Event, Lots, Mode, NewOrder, OrderId, Owner, Pricing, Refused, Side, Tick,
};

fn main() -> Result<(), Refused> {
    let mut book = Book::new(Mode::Batch(Pricing::Uniform));
    let mut events = Vec::new();
    let orders = [
        (Side::Ask, 1, 98, 40),
        (Side::Ask, 2, 100, 30),
        (Side::Ask, 3, 104, 50),
        (Side::Bid, 4, 105, 20),
        (Side::Bid, 5, 102, 35),
        (Side::Bid, 6, 97, 60),
    ];
    for (number, (side, owner, price, quantity)) in (1u64..).zip(orders) {
        let order = NewOrder::limit(side, Owner(owner), Tick(price), Lots(quantity));
        // On a chain this number is made of the block's hash, which no sender can choose.
        let tie = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        book.queue(OrderId(number), &order, tie, &mut events)?;
    }
    let cleared = book.clear(&mut events)?;
    for event in &events {
        match event {
            Event::Filled { taker, maker, price, quantity, .. } => {
                println!("bid {taker} takes {} of ask {maker} at {}", quantity.0, price.0);
            }
            Event::Rested { id, price, quantity } => {
                println!("order {id} rests with {} at {}", quantity.0, price.0);
            }
            Event::Accepted { .. }
            | Event::Cancelled { .. }
            | Event::Amended { .. }
            | Event::Cleared { .. } => {}
        }
    }
    let price = cleared.price.map_or(0, |price| price.0);
    println!("{} units at {price} in {} fills", cleared.volume, cleared.fills);
    println!("best bid {:?}, best ask {:?}", book.best(Side::Bid), book.best(Side::Ask));
    Ok(())
}

//! The standard book against the naive one, event for event, under random commands; with a snapshot taken and restored at every third step.
//!
//! Prices are few, so that queues form, and a stride spreads them over levels, pages and shelves of the ladder.

#![expect(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod support;

use gongsuan_market::book::naive::NaiveBook;
use gongsuan_market::book::{
    Book, Event, FillRule, Ignore, Kind, Lots, Mode, NewOrder, OrderId, Owner, Pricing, Refused,
    SelfMatch, Side, Snapshot, Tick, Upcoming, Why,
};
use gongsuan_types::{TimeMs, codec};
use proptest::prelude::*;
use support::cases;

#[derive(Clone, Debug)]
enum Command {
    Submit { order: NewOrder, tie: u64 },
    Cancel { id: u64, owner: u32 },
    CancelAll { owner: u32 },
    Amend { id: u64, owner: u32, quantity: u32, price: u32 },
    Advance { ms: u64, limit: usize },
    Clear,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        10 => (1u32..9).prop_map(|price| Kind::Limit(Tick(price))),
        1 => Just(Kind::Market),
        1 => Just(Kind::MarketLimit),
        1 => prop_oneof![Just(0), Just(u32::MAX), Just(u32::MAX - 1)].prop_map(|p| Kind::Limit(Tick(p))),
    ]
}

fn rule() -> impl Strategy<Value = FillRule> {
    prop_oneof![
        6 => Just(FillRule::Rest),
        1 => Just(FillRule::ImmediateOrCancel),
        1 => Just(FillRule::FillOrKill),
        1 => Just(FillRule::AllOrNone),
    ]
}

fn policy() -> impl Strategy<Value = SelfMatch> {
    prop_oneof![
        Just(SelfMatch::Skip),
        Just(SelfMatch::CancelResting),
        Just(SelfMatch::CancelIncoming)
    ]
}

fn order() -> impl Strategy<Value = NewOrder> {
    let base = (any::<bool>(), 0u32..4, kind(), 0u32..12, rule(), policy());
    let rare = (
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(0u32), 1 => 1u32..8],
        prop_oneof![3 => Just(0u32), 1 => 1u32..3],
        prop::option::weighted(0.2, 1u64..60),
    );
    (base, rare).prop_map(|((bid, owner, kind, quantity, fill_rule, self_match), rare)| {
        let (post_only, fill_min, counterparties_max, expires_at) = rare;
        NewOrder {
            side: if bid { Side::Bid } else { Side::Ask },
            owner: Owner(owner),
            kind,
            quantity: Lots(quantity),
            fill_rule,
            self_match,
            post_only,
            fill_min: Lots(fill_min),
            counterparties_max,
            expires_at: expires_at.map(TimeMs),
        }
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        20 => (order(), 0u64..6).prop_map(|(order, tie)| Command::Submit { order, tie }),
        4 => (1u64..60, 0u32..4).prop_map(|(id, owner)| Command::Cancel { id, owner }),
        1 => (0u32..4).prop_map(|owner| Command::CancelAll { owner }),
        4 => (1u64..60, 0u32..4, 0u32..12, 0u32..9)
            .prop_map(|(id, owner, quantity, price)| Command::Amend { id, owner, quantity, price }),
        2 => (1u64..6, 0usize..3).prop_map(|(ms, limit)| Command::Advance { ms, limit }),
        4 => Just(Command::Clear),
    ]
}

/// Owners are told by id, so that most cancels and amendments hit.
struct Both {
    book: Book,
    naive: NaiveBook,
    time: u64,
    stride: u32,
    owners: Vec<u32>,
}

impl Both {
    fn new(mode: Mode, stride: u32) -> Self {
        Self {
            book: Book::new(mode),
            naive: NaiveBook::new(mode),
            time: 0,
            stride,
            owners: vec![0],
        }
    }

    fn spread(&self, price: u32) -> u32 {
        if price < 16 { price.saturating_mul(self.stride) } else { price }
    }

    fn owner(&self, id: u64, guess: u32) -> Owner {
        let known = usize::try_from(id).ok().and_then(|id| self.owners.get(id));
        // One of four guesses stands, to meet the refusals.
        Owner(if guess == 3 { guess } else { known.copied().unwrap_or(guess) })
    }

    /// What the command touches, and places that are not there.
    fn upcoming(&self, command: &Command) -> Vec<Upcoming> {
        let mut upcoming = vec![
            Upcoming::Change(OrderId(u64::MAX)),
            Upcoming::Order(Side::Ask, Tick(u32::MAX)),
            Upcoming::Order(Side::Bid, Tick(0)),
        ];
        match command {
            Command::Submit { order, .. } => {
                if let Kind::Limit(price) = order.kind {
                    upcoming.push(Upcoming::Order(order.side, Tick(self.spread(price.0))));
                }
            }
            Command::Cancel { id, .. } | Command::Amend { id, .. } => {
                // More than one group.
                upcoming.extend((*id..*id + 40).map(|id| Upcoming::Change(OrderId(id))));
            }
            Command::CancelAll { .. } | Command::Advance { .. } | Command::Clear => {}
        }
        upcoming
    }

    fn run(&mut self, command: &Command) {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        let batch = self.book.mode() != Mode::Continuous;
        self.book.read_ahead(self.upcoming(command));
        match command.clone() {
            Command::Submit { mut order, tie } => {
                if let Kind::Limit(price) = order.kind {
                    order.kind = Kind::Limit(Tick(self.spread(price.0)));
                }
                if batch {
                    let id = OrderId(self.book.snapshot().next_id);
                    let left = self.book.queue(id, &order, tie, &mut fast);
                    let right = self.naive.queue_up(&order, tie, &mut slow);
                    assert_eq!(left.map(|()| id), right);
                    if left.is_ok() {
                        self.owners.push(order.owner.0);
                    }
                } else {
                    let left = self.book.submit(&order, &mut fast);
                    assert_eq!(left, self.naive.submit(&order, &mut slow));
                    if left.is_ok() {
                        self.owners.push(order.owner.0);
                    }
                }
            }
            Command::Cancel { id, owner } => {
                let owner = self.owner(id, owner);
                let left = self.book.cancel(OrderId(id), owner, &mut fast);
                assert_eq!(left, self.naive.cancel(OrderId(id), owner, &mut slow));
            }
            Command::CancelAll { owner } => {
                let left = self.book.cancel_all(Owner(owner), &mut fast);
                assert_eq!(left, self.naive.cancel_all(Owner(owner), &mut slow));
            }
            Command::Amend { id, owner, quantity, price } => {
                let (owner, id) = (self.owner(id, owner), OrderId(id));
                // Often the price stays, so that a decrease can keep its place.
                let price = match self.book.order(id) {
                    Some(order) if price % 2 == 0 && price > 0 => order.price,
                    _ => Tick(self.spread(price)),
                };
                let change = (Lots(quantity), price);
                let left = self.book.amend(id, owner, change, &mut fast);
                assert_eq!(left, self.naive.amend(id, owner, change, &mut slow));
            }
            Command::Advance { ms, limit } => {
                self.time += ms;
                let left = self.book.advance(TimeMs(self.time), limit, &mut fast);
                assert_eq!(left, self.naive.advance(TimeMs(self.time), limit, &mut slow));
            }
            Command::Clear => {
                let left = self.book.clear(&mut fast);
                assert_eq!(left.map(|_| ()), self.naive.clear(&mut slow));
            }
        }
        assert_eq!(fast, slow, "after {command:?}");
        for side in [Side::Bid, Side::Ask] {
            assert_eq!(self.book.orders(side).collect::<Vec<_>>(), self.naive.orders(side));
        }
        self.book.check();
    }

    fn through_a_snapshot(&mut self) {
        let before = self.book.snapshot();
        let bytes = codec::encode(&before);
        let decoded: Snapshot = codec::decode("book", usize::MAX, &bytes).unwrap();
        assert_eq!(decoded, before);
        self.book = Book::restore(&decoded).unwrap();
        assert_eq!(self.book.snapshot(), before);
        self.book.check();
    }
}

fn stride() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1u32), Just(64), Just(5_000), Just(5_000_000), Just(400_000_000)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        2 => Just(Mode::Continuous),
        1 => Just(Mode::Batch(Pricing::Quoted)),
        1 => Just(Mode::Batch(Pricing::Uniform)),
    ]
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn invariants_1_2_9_the_book_does_what_the_naive_book_does(
        mode in mode(), stride in stride(), commands in prop::collection::vec(command(), 1..90)
    ) {
        let mut both = Both::new(mode, stride);
        for (step, command) in commands.iter().enumerate() {
            both.run(command);
            if step % 3 == 0 {
                both.through_a_snapshot();
            }
        }
    }

    /// Every price is tried: the one price trades the most, and among those that do, leaves the least over.
    #[test]
    fn invariant_11_the_one_price_trades_the_most(
        orders in prop::collection::vec((any::<bool>(), 1u32..20, 1u32..10), 1..30)
    ) {
        let mut book = Book::new(Mode::Batch(Pricing::Uniform));
        for (owner, (bid, price, quantity)) in (0u32..).zip(&orders) {
            let side = if *bid { Side::Bid } else { Side::Ask };
            let order = NewOrder::limit(side, Owner(owner), Tick(*price), Lots(*quantity));
            book.submit(&order, &mut Ignore).unwrap();
        }
        let sum = |of: &dyn Fn(bool, u32) -> bool| -> u64 {
            orders.iter().filter(|(bid, price, _)| of(*bid, *price)).map(|(_, _, q)| u64::from(*q)).sum()
        };
        let at = |price: u32| {
            let demand = sum(&|bid, limit| bid && limit >= price);
            let supply = sum(&|bid, limit| !bid && limit <= price);
            (demand.min(supply), demand.abs_diff(supply))
        };
        let most = (1..20).map(|price| at(price).0).max().unwrap();
        let least = (1..20).filter(|p| at(*p).0 == most).map(|p| at(p).1).min().unwrap();
        let cleared = book.clear(&mut Ignore).unwrap();
        prop_assert_eq!(cleared.volume, most);
        prop_assert_eq!(cleared.price.is_some(), most > 0);
        if let Some(price) = cleared.price {
            prop_assert_eq!(at(price.0), (most, least), "at {}", price.0);
        }
    }

    /// The same orders with the same ties in another order of arrival: the same fills, up to the numbers of the orders.
    #[test]
    fn invariant_8_the_order_inside_a_block_buys_nothing(
        orders in prop::collection::vec((any::<bool>(), 1u32..8, 1u32..10), 1..30),
        turn in 0usize..30, uniform in any::<bool>()
    ) {
        let pricing = if uniform { Pricing::Uniform } else { Pricing::Quoted };
        let run = |turn: usize| {
            let mut book = Book::new(Mode::Batch(pricing));
            let mut events = Vec::new();
            let mut owners = vec![0];
            for step in 0..orders.len() {
                let owner = (step + turn) % orders.len();
                let (bid, price, quantity) = orders[owner];
                let side = if bid { Side::Bid } else { Side::Ask };
                // Everybody is somebody else, so that owners name the orders.
                let owner = u32::try_from(owner).unwrap();
                let order = NewOrder::limit(side, Owner(owner), Tick(price), Lots(quantity));
                let tie = u64::from(owner).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let id = OrderId(u64::try_from(step).unwrap() + 1);
                book.queue(id, &order, tie, &mut Ignore).unwrap();
                owners.push(owner);
            }
            book.clear(&mut events).unwrap();
            let name = |id: OrderId| owners[usize::try_from(id.0).unwrap()];
            events.iter().filter_map(|event| match *event {
                Event::Filled { taker, maker, price, quantity, .. } => {
                    Some((name(taker), name(maker), price, quantity))
                }
                Event::Accepted { .. } | Event::Rested { .. } | Event::Cancelled { .. }
                | Event::Amended { .. } | Event::Cleared { .. } => None,
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(0), run(turn));
    }
}

fn bid(owner: u32, price: u32, quantity: u32) -> NewOrder {
    NewOrder::limit(Side::Bid, Owner(owner), Tick(price), Lots(quantity))
}

fn ask(owner: u32, price: u32, quantity: u32) -> NewOrder {
    NewOrder { side: Side::Ask, ..bid(owner, price, quantity) }
}

#[test]
fn a_decrease_keeps_its_place_and_an_increase_loses_it() {
    for (quantity, first) in [(2, 1), (9, 2)] {
        let mut book = Book::new(Mode::Continuous);
        for owner in [1, 2] {
            book.submit(&ask(owner, 10, 5), &mut Ignore).unwrap();
        }
        book.amend(OrderId(1), Owner(1), (Lots(quantity), Tick(10)), &mut Ignore).unwrap();
        let mut events = Vec::new();
        book.submit(&bid(3, 10, 1), &mut events).unwrap();
        assert!(matches!(events[1], Event::Filled { maker: OrderId(id), .. } if id == first));
    }
}

#[test]
fn an_order_past_its_time_is_never_filled_even_before_it_is_swept() {
    let mut book = Book::new(Mode::Continuous);
    let brief = NewOrder { expires_at: Some(TimeMs(10)), ..ask(1, 5, 5) };
    book.submit(&brief, &mut Ignore).unwrap();
    book.advance(TimeMs(10), 0, &mut Ignore);
    let mut events = Vec::new();
    book.submit(&bid(2, 5, 5), &mut events).unwrap();
    let gone = Event::Cancelled { id: OrderId(1), quantity: Lots(5), why: Why::Expired };
    assert_eq!((events[1], book.stats().fills), (gone, 0));
}

#[test]
fn refusals_name_what_was_wrong() {
    let mut book = Book::new(Mode::Continuous);
    let check = |book: &mut Book, order: &NewOrder, refused| {
        assert_eq!(book.submit(order, &mut Ignore), Err(refused));
    };
    check(&mut book, &bid(1, 5, 0), Refused::NoQuantity);
    check(&mut book, &bid(1, 0, 1), Refused::NoPrice);
    let post_only = NewOrder { post_only: true, ..NewOrder::market(Side::Bid, Owner(1), Lots(1)) };
    check(&mut book, &post_only, Refused::OnlyRests);
    book.submit(&bid(1, 5, 1), &mut Ignore).unwrap();
    assert_eq!(book.cancel(OrderId(1), Owner(2), &mut Ignore), Err(Refused::NotYours(OrderId(1))));
    assert_eq!(book.cancel(OrderId(2), Owner(2), &mut Ignore), Err(Refused::NoOrder(OrderId(2))));
    assert_eq!(book.clear(&mut Ignore), Err(Refused::WrongMode));
    let used = book.submit_as(OrderId(1), &bid(1, 5, 1), &mut Ignore);
    assert_eq!(used, Err(Refused::NumberUsed(OrderId(1))));
}

#[test]
fn statistics_and_depth_are_those_of_the_trades() {
    let mut book = Book::new(Mode::Continuous);
    for (owner, price, quantity) in [(1, 10, 2), (2, 10, 3), (3, 12, 4)] {
        book.submit(&ask(owner, price, quantity), &mut Ignore).unwrap();
    }
    book.submit(&bid(9, 12, 6), &mut Ignore).unwrap();
    let stats = *book.stats();
    assert_eq!((stats.fills, stats.volume, stats.value), (3, 6, 62));
    assert_eq!((stats.first, stats.last), (Some(Tick(10)), Some(Tick(12))));
    assert_eq!(stats.mean(), Some(Tick(10)));
    let depth = book.depth(Side::Ask, 5);
    assert_eq!((depth.len(), depth[0].quantity, depth[0].orders), (1, 3, 1));
}

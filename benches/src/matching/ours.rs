//! Our standard book under the stream: with all events written and read, and self-match prevention on.

use gongsuan_market::book::{
    Book, Event, Lots, Mode, NewOrder, OrderId, Owner, Pricing, Side, Tick, Upcoming,
};

use super::stream::{Kind, Op};
use super::{Engine, Tally};

pub(crate) struct Ours {
    book: Book,
    events: Vec<Event>,
    tally: Tally,
    all_events: u64,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let book = Book::new(Mode::Continuous);
        Self { book, events: Vec::new(), tally: Tally::default(), all_events: 0 }
    }
}

pub(crate) fn order(op: &Op) -> NewOrder {
    let side = if op.is_bid { Side::Bid } else { Side::Ask };
    let (owner, quantity) = (Owner(op.owner), Lots(op.quantity));
    match op.kind {
        Kind::Market => NewOrder::market(side, owner, quantity),
        Kind::Add | Kind::Cancel => NewOrder::limit(side, owner, Tick(op.price), quantity),
    }
}

pub(crate) fn read(events: &mut Vec<Event>, tally: &mut Tally) -> u64 {
    for event in events.iter() {
        if let Event::Filled { maker, price, quantity, .. } = event {
            tally.fill(maker.0, price.0, quantity.0);
        }
    }
    let count = events.len() as u64;
    events.clear();
    count
}

impl Engine for Ours {
    #[inline]
    fn apply(&mut self, op: &Op) {
        let done = match op.kind {
            Kind::Cancel => self.book.cancel(OrderId(op.id), Owner(op.owner), &mut self.events),
            Kind::Add | Kind::Market => self.book.submit(&order(op), &mut self.events).map(|_| ()),
        };
        assert!(done.is_ok(), "every operation of the stream is accepted");
        self.all_events += read(&mut self.events, &mut self.tally);
    }

    fn start(&mut self) {
        self.tally = Tally::default();
        self.all_events = 0;
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn extras(&self) -> Vec<(&'static str, u64)> {
        let levels = self.book.levels(Side::Bid) + self.book.levels(Side::Ask);
        let per_order = self.book.bytes().checked_div(self.book.len()).unwrap_or(0);
        vec![
            ("events", self.all_events),
            ("resting", self.book.len() as u64),
            ("levels", levels as u64),
            ("bytes_per_order", per_order as u64),
        ]
    }
}

/// The same for a caller who has the commands of a whole block and lets the book read ahead.
pub(crate) struct Ahead(Ours);

impl Ahead {
    pub(crate) fn new() -> Self {
        Self(Ours::new())
    }
}

fn upcoming(op: &Op) -> Upcoming {
    let side = if op.is_bid { Side::Bid } else { Side::Ask };
    match op.kind {
        Kind::Cancel => Upcoming::Change(OrderId(op.id)),
        Kind::Add | Kind::Market => Upcoming::Order(side, Tick(op.price)),
    }
}

impl Engine for Ahead {
    #[inline]
    fn apply(&mut self, op: &Op) {
        self.0.apply(op);
    }

    fn run(&mut self, ops: &[Op]) {
        for group in ops.chunks(32) {
            self.0.book.read_ahead(group.iter().map(upcoming));
            group.iter().for_each(|op| self.0.apply(op));
        }
    }

    fn start(&mut self) {
        self.0.start();
    }

    fn tally(&self) -> Tally {
        self.0.tally()
    }

    fn extras(&self) -> Vec<(&'static str, u64)> {
        self.0.extras()
    }
}

/// Blocks of orders, cleared at one price each. Orders without a limit become limit orders far away that end with their block.
pub(crate) struct Batch {
    book: Book,
    events: Vec<Event>,
    tally: Tally,
    block_len: u32,
    in_block: u32,
    blocks: u64,
}

impl Batch {
    pub(crate) fn new(block_len: u32) -> Self {
        Self {
            book: Book::new(Mode::Batch(Pricing::Uniform)),
            events: Vec::new(),
            tally: Tally::default(),
            block_len,
            in_block: 0,
            blocks: 0,
        }
    }

    fn clear(&mut self) {
        assert!(self.book.clear(&mut self.events).is_ok(), "the book is in batch mode");
        read(&mut self.events, &mut self.tally);
        self.in_block = 0;
        self.blocks += 1;
    }
}

impl Engine for Batch {
    #[inline]
    fn apply(&mut self, op: &Op) {
        match op.kind {
            // An order of the stream may have been filled earlier or later than in continuous trading: then there is nothing to cancel.
            Kind::Cancel => {
                let _ = self.book.cancel(OrderId(op.id), Owner(op.owner), &mut self.events);
            }
            Kind::Add | Kind::Market => {
                let mut order = order(op);
                if op.kind == Kind::Market {
                    let far = if op.is_bid { 1_131_000 } else { 869_000 };
                    order.kind = gongsuan_market::book::Kind::Limit(Tick(far));
                }
                // Stands for the first bytes of H(block ‖ order).
                let tie = (op.id ^ self.blocks).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
                let done = self.book.queue(OrderId(op.id), &order, tie, &mut self.events);
                assert!(done.is_ok(), "every order of the stream is accepted");
            }
        }
        self.in_block += 1;
        if self.in_block == self.block_len {
            self.clear();
        }
    }

    fn start(&mut self) {
        self.clear();
        self.tally = Tally::default();
    }

    fn finish(&mut self) {
        self.clear();
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn extras(&self) -> Vec<(&'static str, u64)> {
        vec![("blocks", self.blocks), ("resting", self.book.len() as u64)]
    }
}

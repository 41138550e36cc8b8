//! One side of the book: which prices have orders, and the queue at each of them.
//!
//! Prices are 32 bits: 10 bits choose a shelf, 10 bits a page on it, 12 bits a level in the page. A bitmap at every step says what is
//! there, so that the best price and the next worse one are found in a few loads, whatever the spread.

use super::bits::Bits;
use super::slab::NIL;

const LEVELS: usize = 4096;
const SHELF: usize = 1024;

/// The orders at one price, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) quantity: u64,
}

const EMPTY: Level = Level { head: NIL, tail: NIL, quantity: 0 };

#[derive(Debug)]
struct Page {
    used: Bits<64>,
    levels: [Level; LEVELS],
}

#[derive(Debug)]
struct Shelf {
    used: Bits<16>,
    pages: [u32; SHELF],
}

/// `HIGH`: the best price is the highest (bids).
#[derive(Debug)]
pub(super) struct Ladder<const HIGH: bool> {
    used: Bits<16>,
    shelves: Vec<Option<Box<Shelf>>>,
    pages: Vec<Box<Page>>,
    /// Pages without orders, to use again.
    free: Vec<u32>,
    /// The page asked for last: its number and place.
    hot: (u32, u32),
    best: Option<u32>,
}

fn shelf_of(price: u32) -> u32 {
    price >> 22
}

fn page_of(price: u32) -> u32 {
    (price >> 12) & 1023
}

fn level_of(price: u32) -> u32 {
    price & 4095
}

impl<const HIGH: bool> Ladder<HIGH> {
    pub(super) fn new() -> Self {
        Self {
            used: Bits::EMPTY,
            shelves: Vec::new(),
            pages: Vec::new(),
            free: Vec::new(),
            hot: (NIL, 0),
            best: None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>()
            + self.shelves.iter().flatten().count() * size_of::<Shelf>()
    }

    #[inline]
    pub(super) fn best(&self) -> Option<u32> {
        self.best
    }

    /// Whether a price here is as good as a taker's limit asks for.
    #[inline]
    pub(super) fn reaches(price: u32, limit: u32) -> bool {
        if HIGH { price >= limit } else { price <= limit }
    }

    #[inline]
    fn better(a: u32, b: u32) -> bool {
        if HIGH { a > b } else { a < b }
    }

    #[inline]
    fn place(&self, price: u32) -> u32 {
        if self.hot.0 == price >> 12 {
            return self.hot.1;
        }
        match self.shelves.get(shelf_of(price) as usize) {
            Some(Some(shelf)) => shelf.pages[page_of(price) as usize % SHELF],
            Some(None) | None => NIL,
        }
    }

    /// The level of a price that has orders.
    #[inline]
    pub(super) fn level_mut(&mut self, price: u32) -> &mut Level {
        let place = self.place(price);
        self.hot = (price >> 12, place);
        &mut self.pages[place as usize].levels[level_of(price) as usize % LEVELS]
    }

    /// The level of a price, if it has orders.
    #[inline]
    pub(super) fn level(&self, price: u32) -> Option<&Level> {
        let place = self.place(price);
        let page = self.pages.get(place as usize)?;
        let level = &page.levels[level_of(price) as usize % LEVELS];
        (level.head != NIL).then_some(level)
    }

    /// The level of a price to which an order is about to be added.
    #[inline]
    pub(super) fn open(&mut self, price: u32) -> &mut Level {
        let mut place = self.place(price);
        if place == NIL {
            place = self.new_page(price);
        }
        self.hot = (price >> 12, place);
        let page = &mut self.pages[place as usize];
        let level = &mut page.levels[level_of(price) as usize % LEVELS];
        if level.head == NIL {
            page.used.set(level_of(price));
            if self.best.is_none_or(|best| Self::better(price, best)) {
                self.best = Some(price);
            }
        }
        level
    }

    // Never inlined: a page is built on the stack first.
    #[cold]
    #[inline(never)]
    fn new_page(&mut self, price: u32) -> u32 {
        if self.shelves.is_empty() {
            self.shelves.resize_with(SHELF, || None);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.pages.push(Box::new(Page { used: Bits::EMPTY, levels: [EMPTY; LEVELS] }));
            u32::try_from(self.pages.len() - 1).expect("fewer pages than prices")
        });
        let shelf = self.shelves[shelf_of(price) as usize]
            .get_or_insert_with(|| Box::new(Shelf { used: Bits::EMPTY, pages: [NIL; SHELF] }));
        shelf.pages[page_of(price) as usize] = place;
        shelf.used.set(page_of(price));
        self.used.set(shelf_of(price));
        place
    }

    /// Forgets a level whose last order is gone.
    #[inline]
    pub(super) fn close(&mut self, price: u32) {
        let place = self.place(price);
        let page = &mut self.pages[place as usize];
        page.levels[level_of(price) as usize % LEVELS] = EMPTY;
        page.used.clear(level_of(price));
        let empty = page.used.is_empty();
        if self.best == Some(price) {
            self.best = self.worse(price);
        }
        if empty {
            self.drop_page(price, place);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_page(&mut self, price: u32, place: u32) {
        self.free.push(place);
        self.hot = (NIL, 0);
        let slot = &mut self.shelves[shelf_of(price) as usize];
        let Some(shelf) = slot else { return };
        shelf.pages[page_of(price) as usize] = NIL;
        shelf.used.clear(page_of(price));
        if shelf.used.is_empty() {
            *slot = None;
            self.used.clear(shelf_of(price));
        }
    }

    /// The best price that is worse than `price`.
    #[inline]
    pub(super) fn worse(&self, price: u32) -> Option<u32> {
        if let Some(page) = self.pages.get(self.place(price) as usize) {
            let next = if HIGH {
                page.used.before(level_of(price))
            } else {
                page.used.after(level_of(price))
            };
            if let Some(level) = next {
                return Some(price & !4095 | level);
            }
        }
        self.worse_page(price)
    }

    fn worse_page(&self, price: u32) -> Option<u32> {
        let shelf_number = shelf_of(price);
        let shelf = self.shelves.get(shelf_number as usize)?;
        let near = shelf.as_ref().and_then(|shelf| {
            let used = &shelf.used;
            if HIGH { used.before(page_of(price)) } else { used.after(page_of(price)) }
        });
        let (shelf_number, page_number) = match near {
            Some(page_number) => (shelf_number, page_number),
            None => {
                let used = &self.used;
                let number =
                    if HIGH { used.before(shelf_number) } else { used.after(shelf_number) };
                let number = number?;
                let used = &self.shelves[number as usize].as_ref()?.used;
                (number, if HIGH { used.last()? } else { used.first()? })
            }
        };
        let place = self.shelves[shelf_number as usize].as_ref()?.pages[page_number as usize];
        let used = &self.pages[place as usize].used;
        let level = if HIGH { used.last()? } else { used.first()? };
        Some(shelf_number << 22 | page_number << 12 | level)
    }

    /// All prices with orders, best first.
    pub(super) fn prices(&self) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.best, |price| self.worse(*price))
    }

    /// Whether a price is marked as having orders.
    pub(super) fn is_marked(&self, price: u32) -> bool {
        let place = self.place(price);
        self.pages.get(place as usize).is_some_and(|page| page.used.contains(level_of(price)))
    }
}

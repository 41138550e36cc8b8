//! From an order's number to its place: pages of 4,096 numbers, reached directly. No hashing, and pages without orders are dropped.

use super::slab::NIL;

const PAGE: u64 = 4096;
const LEN: usize = 4096;

type Page = [u32; LEN];

/// The places of all open orders.
#[derive(Debug)]
pub(super) struct Ids {
    /// The number of the first page in `pages`.
    base: u64,
    pages: Vec<Option<Box<Page>>>,
    /// How many orders each page has. Apart from the pages, so that they lie together.
    live: Vec<u32>,
    /// Pages at the front that are gone. Cut off together when they are half of all.
    gone: usize,
    /// A page to use again.
    spare: Option<Box<Page>>,
}

fn low(id: u64) -> usize {
    // The mask leaves 12 bits.
    usize::try_from(id & (PAGE - 1)).unwrap_or(0)
}

impl Ids {
    pub(super) fn new() -> Self {
        Self { base: 0, pages: Vec::new(), live: Vec::new(), gone: 0, spare: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().flatten().count() * size_of::<Page>() + self.pages.len() * 8
    }

    #[inline]
    fn index(&self, id: u64) -> usize {
        usize::try_from((id / PAGE).wrapping_sub(self.base)).unwrap_or(usize::MAX)
    }

    /// The place, or [`NIL`].
    #[inline]
    pub(super) fn get(&self, id: u64) -> u32 {
        match self.pages.get(self.index(id)) {
            Some(Some(page)) => page[low(id) % LEN],
            Some(None) | None => NIL,
        }
    }

    #[inline]
    pub(super) fn set(&mut self, id: u64, place: u32) {
        let index = self.index(id);
        if let Some(Some(page)) = self.pages.get_mut(index) {
            let entry = &mut page[low(id) % LEN];
            self.live[index] += u32::from(*entry == NIL);
            *entry = place;
            return;
        }
        self.set_new(id, place);
    }

    #[cold]
    #[inline(never)]
    fn set_new(&mut self, id: u64, place: u32) {
        let number = id / PAGE;
        if self.pages.is_empty() {
            self.base = number;
        }
        if number < self.base {
            // Only while a snapshot is restored: later, numbers rise.
            let missing = usize::try_from(self.base - number).expect("pages fit memory");
            self.pages.splice(0..0, std::iter::repeat_with(|| None).take(missing));
            self.live.splice(0..0, std::iter::repeat_n(0, missing));
            self.base = number;
        }
        let index = self.index(id);
        if index >= self.pages.len() {
            self.pages.resize_with(index + 1, || None);
            self.live.resize(index + 1, 0);
        }
        self.gone = self.gone.min(index);
        let mut page = self.spare.take().unwrap_or_else(|| Box::new([NIL; LEN]));
        page[low(id)] = place;
        self.live[index] = 1;
        self.pages[index] = Some(page);
    }

    #[inline]
    pub(super) fn remove(&mut self, id: u64) {
        let index = self.index(id);
        let Some(Some(page)) = self.pages.get_mut(index) else { return };
        let entry = &mut page[low(id) % LEN];
        let live = &mut self.live[index];
        *live -= u32::from(*entry != NIL);
        *entry = NIL;
        if *live == 0 {
            self.drop_page(index);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_page(&mut self, index: usize) {
        // Every entry of the page is NIL again: it can be used as it is.
        self.spare = self.pages[index].take();
        while matches!(self.pages.get(self.gone), Some(None)) {
            self.gone += 1;
        }
        if self.gone > self.pages.len() / 2 {
            self.pages.drain(..self.gone);
            self.live.drain(..self.gone);
            self.base += self.gone as u64;
            self.gone = 0;
        }
    }

    /// How many orders there are.
    pub(super) fn len(&self) -> usize {
        self.live.iter().map(|live| *live as usize).sum()
    }

    /// All places with their numbers, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.iter_from(0)
    }

    /// The places of a number and all above it, oldest first.
    pub(super) fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let skipped = usize::try_from((first / PAGE).saturating_sub(self.base));
        (self.base..).zip(&self.pages).skip(skipped.unwrap_or(usize::MAX)).flat_map(
            move |(number, page)| {
                page.iter().flat_map(move |page| {
                    (number * PAGE..)
                        .zip(page.iter().copied())
                        .filter(move |(id, place)| *place != NIL && *id >= first)
                })
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_and_go() {
        let mut ids = Ids::new();
        for id in [5, 4_095, 4_096, 40_000_000, 40_000_001] {
            ids.set(id, u32::try_from(id).unwrap() + 1);
        }
        assert_eq!((ids.get(4_096), ids.get(6), ids.get(4_097)), (4_097, NIL, NIL));
        for id in [5, 4_095, 4_096, 40_000_000] {
            ids.remove(id);
        }
        assert_eq!(ids.pages.len(), 1, "only the last page is left");
        assert_eq!(ids.iter().collect::<Vec<_>>(), [(40_000_001, 40_000_002)]);
        ids.set(3, 9);
        assert_eq!((ids.get(3), ids.get(40_000_001)), (9, 40_000_002));
    }
}

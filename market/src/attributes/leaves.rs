//! Leaves: up to sixteen orders by rising key.
//!
//! Most leaves have three or four orders, so a leaf lies in a room for two, four, eight or sixteen, and moves when it outgrows it. Nothing of
//! that can be seen from outside: a leaf is one node, whatever its room.

use super::lanes::{Entry, LANES};

/// Orders of a leaf, at most.
pub(super) const WIDTH: usize = 16;
/// Rooms for two, four, eight and sixteen.
const SIZES: usize = 4;
/// Where the size stands in a leaf's number.
const SIZE_SHIFT: u32 = 28;
const INDEX: u32 = (1 << SIZE_SHIFT) - 1;
/// Rooms in a chunk.
const CHUNK: usize = 32;

/// One order, one cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(64))]
pub(super) struct Row {
    pub(super) key: u128,
    pub(super) id: u64,
    pub(super) entry: Entry,
}

const _: () = assert!(size_of::<Row>() == 64);

/// Behind all orders of a leaf: no order has this key.
const VACANT: Row =
    Row { key: u128::MAX, id: 0, entry: Entry { values: [0; LANES], regions: 0, capabilities: 0 } };

/// The rooms of one size, in chunks that never move.
#[derive(Clone, Debug)]
struct Rooms {
    width: usize,
    chunks: Vec<Vec<Row>>,
    free: Vec<u32>,
}

impl Rooms {
    #[inline]
    fn get(&self, at: usize) -> &[Row] {
        let first = at % CHUNK * self.width;
        &self.chunks[at / CHUNK][first..first + self.width]
    }

    #[inline]
    fn get_mut(&mut self, at: usize) -> &mut [Row] {
        let first = at % CHUNK * self.width;
        &mut self.chunks[at / CHUNK][first..first + self.width]
    }

    fn take(&mut self) -> u32 {
        if let Some(at) = self.free.pop() {
            return at;
        }
        let full = CHUNK * self.width;
        if self.chunks.last().is_none_or(|chunk| chunk.len() == full) {
            self.chunks.push(Vec::with_capacity(full));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let at = last * CHUNK + chunk.len() / self.width;
        chunk.resize(chunk.len() + self.width, VACANT);
        let at = u32::try_from(at).expect("fewer leaves than 2³²");
        assert!(at <= INDEX, "fewer leaves than 2²⁸");
        at
    }
}

/// All leaves of a trie. A leaf's number is below 2³⁰.
#[derive(Clone, Debug)]
pub(super) struct Leaves {
    rooms: [Rooms; SIZES],
}

fn size_for(len: usize) -> u32 {
    (1..).find(|size| 1 << size >= len).unwrap_or(1) - 1
}

fn split(leaf: u32) -> (usize, usize) {
    ((leaf >> SIZE_SHIFT) as usize, (leaf & INDEX) as usize)
}

fn occupied(room: &[Row]) -> usize {
    room.partition_point(|row| row.key != VACANT.key)
}

impl Leaves {
    pub(super) fn new() -> Self {
        let rooms = std::array::from_fn(|size| Rooms {
            width: 2 << size,
            chunks: Vec::new(),
            free: Vec::new(),
        });
        Self { rooms }
    }

    pub(super) fn bytes(&self) -> usize {
        let rows = self.rooms.iter().map(|rooms| rooms.chunks.len() * CHUNK * rooms.width);
        rows.sum::<usize>() * size_of::<Row>()
    }

    #[inline]
    fn room(&self, leaf: u32) -> &[Row] {
        let (size, at) = split(leaf);
        self.rooms[size % SIZES].get(at)
    }

    /// The orders of a leaf.
    #[inline]
    pub(super) fn rows(&self, leaf: u32) -> &[Row] {
        let room = self.room(leaf);
        &room[..occupied(room)]
    }

    /// The first order of a leaf with a key from `from` to `last` for which `suits` holds.
    #[inline]
    pub(super) fn first(
        &self,
        leaf: u32,
        (from, last): (u128, u128),
        suits: impl Fn(&Entry) -> bool,
    ) -> Option<&Row> {
        // No limit of a search reaches a vacant row's key.
        let inside = self.room(leaf).iter().skip_while(|row| row.key < from);
        inside.take_while(|row| row.key <= last).find(|row| suits(&row.entry))
    }

    /// A leaf with these orders: by rising key, sixteen at most.
    pub(super) fn add(&mut self, rows: &[Row]) -> u32 {
        let size = size_for(rows.len());
        let rooms = &mut self.rooms[size as usize % SIZES];
        let at = rooms.take();
        let room = rooms.get_mut(at as usize);
        let (there, vacant) = room.split_at_mut(rows.len());
        there.copy_from_slice(rows);
        vacant.fill(VACANT);
        size << SIZE_SHIFT | at
    }

    /// Gives a leaf's room back.
    pub(super) fn remove(&mut self, leaf: u32) {
        let (size, at) = split(leaf);
        self.rooms[size % SIZES].free.push(u32::try_from(at).unwrap_or(INDEX));
    }

    /// Adds an order to a leaf. Answers the leaf's number, which is another one if it moved; `None` if it is full.
    ///
    /// # Panics
    /// If there is an order with this key.
    pub(super) fn insert(&mut self, leaf: u32, row: Row) -> Option<u32> {
        assert!(row.key != VACANT.key, "no order has the last key");
        let (size, at) = split(leaf);
        let room = self.rooms[size % SIZES].get_mut(at);
        let len = occupied(room);
        let Err(index) = room[..len].binary_search_by_key(&row.key, |row| row.key) else {
            panic!("an order with this key is there");
        };
        if len < room.len() {
            room.copy_within(index..len, index + 1);
            room[index] = row;
            return Some(leaf);
        }
        if len == WIDTH {
            return None;
        }
        let mut rows = [VACANT; WIDTH];
        rows[..index].copy_from_slice(&room[..index]);
        rows[index] = row;
        rows[index + 1..=len].copy_from_slice(&room[index..]);
        self.remove(leaf);
        Some(self.add(&rows[..=len]))
    }

    /// Takes the order with a key out of a leaf. Answers how many orders are left and the leaf's number, which is another one if it moved; the
    /// leaf is gone if none is left. `None` if there was no such order.
    pub(super) fn take(&mut self, leaf: u32, key: u128) -> Option<(usize, u32)> {
        let (size, at) = split(leaf);
        let room = self.rooms[size % SIZES].get_mut(at);
        let len = occupied(room);
        let index = room[..len].binary_search_by_key(&key, |row| row.key).ok()?;
        room.copy_within(index + 1..len, index);
        room[len - 1] = VACANT;
        let left = len - 1;
        if left == 0 {
            self.remove(leaf);
        } else if left * 4 <= room.len() && room.len() > 2 {
            let mut rows = [VACANT; WIDTH];
            rows[..left].copy_from_slice(&room[..left]);
            self.remove(leaf);
            return Some((left, self.add(&rows[..left])));
        }
        Some((left, leaf))
    }
}

//! Where orders lie: chunks that never move, so that no operation pays for copying all of them.

/// No place.
pub(super) const NIL: u32 = u32::MAX;

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;
const LOW: usize = CHUNK - 1;

/// It is a bid.
pub(super) const BID: u32 = 1;
/// It needs a closer look before it is filled: it has an entry among the rare ones, or is all-or-none.
pub(super) const SPECIAL: u32 = 1 << 1;
/// It is filled whole or not at all.
pub(super) const WHOLE: u32 = 1 << 2;
/// It must not take after an amendment.
pub(super) const POST: u32 = 1 << 3;
/// Where the self-match policy begins: two bits.
pub(super) const SELF_SHIFT: u32 = 4;
/// It is cancelled at the end of the batch in which it came.
pub(super) const ONCE: u32 = 1 << 6;
/// It is filled whole in the batch in which it came, or not at all.
pub(super) const KILL: u32 = 1 << 7;

/// One order: half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) quantity: u32,
    pub(super) owner: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) price: u32,
    pub(super) flags: u32,
}

const _: () = assert!(size_of::<Slot>() == 32);

const EMPTY: Slot = Slot { id: 0, quantity: 0, owner: 0, prev: NIL, next: NIL, price: 0, flags: 0 };

/// All orders of a book.
#[derive(Debug)]
pub(super) struct Slab {
    chunks: Vec<Box<[Slot; CHUNK]>>,
    /// The first place given back; the others follow by `next`.
    free: u32,
    /// Places ever used.
    used: u32,
    /// Orders there now.
    live: u32,
}

impl Slab {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NIL, used: 0, live: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.live
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * size_of::<[Slot; CHUNK]>()
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> &Slot {
        &self.chunks[(at >> CHUNK_BITS) as usize][at as usize & LOW]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.chunks[(at >> CHUNK_BITS) as usize][at as usize & LOW]
    }

    #[inline]
    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        self.live += 1;
        let at = self.free;
        if at != NIL {
            let place = self.get_mut(at);
            let free = place.next;
            // Field by field: copying a slot that was just put together would wait for its parts.
            place.id = slot.id;
            place.quantity = slot.quantity;
            place.owner = slot.owner;
            place.prev = slot.prev;
            place.next = slot.next;
            place.price = slot.price;
            place.flags = slot.flags;
            self.free = free;
            return at;
        }
        self.insert_new(slot)
    }

    #[cold]
    #[inline(never)]
    fn insert_new(&mut self, slot: Slot) -> u32 {
        let at = self.used;
        assert!(at < super::engine::WAITING, "fewer than 2³¹ orders");
        if at as usize >> CHUNK_BITS == self.chunks.len() {
            let chunk = vec![EMPTY; CHUNK].into_boxed_slice();
            self.chunks.push(chunk.try_into().expect("a chunk has this length"));
        }
        self.used += 1;
        *self.get_mut(at) = slot;
        at
    }

    #[inline]
    pub(super) fn remove(&mut self, at: u32) {
        self.live -= 1;
        let free = self.free;
        self.get_mut(at).next = free;
        self.free = at;
    }
}

//! What a replica orders, and how it answers the core.

use std::time::Instant;

use gongsuan_consensus::{
    Chunk, CommittedBlock, Core, Draft, Epoch, Evidence, FetchChunk, Proposal, Rank, Seat,
    SnapshotOffer, WantPayload,
};
use gongsuan_types::{Hash, Height, Term};

use super::Peers;

/// What a replica orders. All of it runs on the replica thread and should not wait for anything.
pub trait Application: Send + 'static {
    /// What reaches the application beside consensus: clients' wishes, peers' bytes, news of its own threads.
    type Event: Send + 'static;

    /// Something happened.
    fn on_event(&mut self, event: Self::Event, cx: &mut Context<'_>);

    /// One of the application's own threads has [nudged](super::Front::nudge), or a disk has something to say.
    fn on_nudge(&mut self, _cx: &mut Context<'_>) {}

    /// What to propose. If `want.required`, an empty payload is better than none.
    fn draft(&mut self, want: &WantPayload, cx: &mut Context<'_>) -> Answer;

    /// Whether a block may be voted for. Asked again after each commit and from time to time if [`Verdict::Later`].
    fn check(&mut self, block: &Hash, proposal: &Proposal, cx: &mut Context<'_>) -> Verdict;

    /// Blocks are final. They are to be appended to the application's log, made durable and executed, here or on another
    /// thread; [`Context::applied`] says when they are durable there, now or later. Clients hear only then, or now if
    /// [`Context::is_saved`] says that they are durable already.
    fn commit(&mut self, blocks: Vec<CommittedBlock>, cx: &mut Context<'_>);

    /// A peer wants blocks of the log (see [`gongsuan_consensus::Blocks::from_log`]); fewer will do.
    fn serve(&mut self, to: Seat, from: Height, up_to: Height, cx: &mut Context<'_>);

    /// Whether there is something to order. Asked after everything that happens, so it should cost little.
    fn work(&mut self, cx: &mut Context<'_>) -> Work;

    /// Whether something that any leader should have ordered has waited longer than is fair, although blocks are made. While it
    /// holds, this replica suspects the leader, whatever commits. Asked after everything that happens.
    fn starved(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// A term has begun.
    fn on_term(&mut self, _term: Term, _leader: Seat, _cx: &mut Context<'_>) {}

    /// An epoch has begun.
    fn on_epoch(&mut self, _epoch: &Epoch, _cx: &mut Context<'_>) {}

    /// A peer needs a snapshot above a height (see [`gongsuan_consensus::SnapshotOffer`]). An application that keeps its
    /// whole log is never asked.
    fn serve_snapshot(&mut self, _to: Seat, _above: Height, _cx: &mut Context<'_>) {}

    /// A peer wants a piece of a snapshot.
    fn serve_chunk(&mut self, _to: Seat, _fetch: FetchChunk, _cx: &mut Context<'_>) {}

    /// A piece of a snapshot that this replica fetches.
    fn store_chunk(&mut self, _chunk: Chunk, _cx: &mut Context<'_>) {}

    /// All pieces are there: rebuild the state from them, compare its hash, and put it durably in place of the old one.
    /// Whether that was done; if not, nothing has changed.
    fn install_snapshot(&mut self, _offer: &SnapshotOffer, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// A validator signed two things that exclude each other.
    fn on_evidence(&mut self, evidence: &Evidence) {
        tracing::error!(?evidence, "a validator signed two things that exclude each other");
    }
}

/// An answer to the wish for a payload.
#[derive(Debug)]
pub enum Answer {
    /// Propose this.
    Propose(Draft),
    /// Nothing now. The core asks again once [`Application::work`] says [`Work::Now`].
    Nothing,
}

/// What is to be said about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be voted for.
    Good,
    /// It must not be voted for; its leader is suspected.
    Bad,
    /// That cannot be told yet.
    Later,
}

/// Whether there is something to order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// Something, but a leader would not propose it yet ([`Context::wake_at`] says when it would).
    Later,
    /// Something, to be proposed now.
    Now,
}

/// Makes events of what a peer's application said, on the link's thread: decode and check here. `None`: of no use.
pub type Gate<E> = std::sync::Arc<dyn Fn(Seat, &[u8]) -> Option<E> + Send + Sync>;

/// What an application may see and do while it is asked something.
#[derive(Debug)]
pub struct Context<'a> {
    /// The core: where it stands, and the blocks in flight.
    pub core: &'a Core,
    /// The links.
    pub peers: &'a Peers,
    /// Now, on the clock of [`Context::wake_at`].
    pub now: Instant,
    pub(super) saved: Rank,
    pub(super) wishes: &'a mut Wishes,
}

/// What an application asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) applied: Option<Height>,
    pub(super) lowest: Option<Height>,
    pub(super) wake: Option<Instant>,
}

impl Context<'_> {
    /// All committed blocks up to this height are durable in the application's log.
    pub fn applied(&mut self, height: Height) {
        self.wishes.applied = self.wishes.applied.max(Some(height));
    }

    /// The lowest height that the application's log still has: peers that ask for what is below it need a snapshot.
    pub fn pruned(&mut self, lowest: Height) {
        self.wishes.lowest = self.wishes.lowest.max(Some(lowest));
    }

    /// Whether these blocks, which are final, are durable at this replica even before they are in its log. They are if it
    /// sent its COMMIT for the last one or a later one of the same term: that waits until the vote log holds the bodies
    /// of the block and of all ancestors that are not in the log. A quorum has done the same, so that the blocks come back
    /// as final after any crash.
    #[must_use]
    pub fn is_saved(&self, blocks: &[CommittedBlock]) -> bool {
        blocks.last().is_none_or(|last| {
            let rank = last.proposal.block.header.rank();
            self.saved.term == rank.term && self.saved.height >= rank.height
        })
    }

    /// Asks [`Application::work`] at this time at the latest, even if nothing happens.
    pub fn wake_at(&mut self, at: Instant) {
        self.wishes.wake = Some(self.wishes.wake.map_or(at, |before| before.min(at)));
    }

    /// Whether this replica leads the term.
    #[must_use]
    pub fn leads(&self, seat: Seat) -> bool {
        let progress = self.core.progress();
        progress.leader == seat && !progress.timed_out
    }
}

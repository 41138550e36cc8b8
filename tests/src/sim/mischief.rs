//! What liars do: they run an honest core and change what it says.

use gongsuan_consensus::{
    Block, Draft, JoinedVote, Message, Payload, Proposal, Rank, Seat, Status, To, Vote, VoteKind,
    vote::Signer,
};
use gongsuan_types::{Hash, Height, SecretKey, Term, TimeMs};

use super::dice::Dice;

/// A way to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// None.
    Honest,
    /// Proposes two blocks at one height, and votes for whatever it sees.
    Equivocate,
    /// Votes PREPARE and never COMMIT, and shows what it knows to one other only.
    Withhold,
    /// Proposes nothing but empty blocks.
    Censor,
    /// Proposes as late as it dares.
    Dawdle,
    /// Sends bent bytes, forged certificates, and claims from the far future.
    Forge,
    /// Answers questions with the wrong blocks and the wrong pieces.
    Mislead,
    /// Sends far too much.
    Flood,
    /// Votes openly for two blocks each time.
    VoteTwice,
}

/// Who lies, and with what it can sign.
pub(crate) struct Liar<'a> {
    pub(crate) key: &'a SecretKey,
    pub(crate) seat: Seat,
    pub(crate) epoch: u64,
    pub(crate) chain_id: &'a Hash,
    pub(crate) members: u16,
}

/// What goes out in place of a message: bytes, to whom, and how much later.
pub(crate) type Forged = (To, Vec<u8>, u64);

impl Liar<'_> {
    fn signer(&self) -> Signer<'_> {
        Signer { chain_id: self.chain_id, epoch: self.epoch, key: self.key }
    }

    fn half(&self, first: bool) -> Vec<To> {
        let ours = |seat: &u16| (seat.is_multiple_of(2)) == first && *seat != self.seat.0;
        (0..self.members).filter(ours).map(|seat| To::One(Seat(seat))).collect()
    }

    fn vote(&self, kind: VoteKind, rank: Rank, block: Hash) -> Vec<u8> {
        Message::Vote(Vote::sign(kind, rank, block, self.seat, &self.signer())).encode()
    }

    /// What this liar sends instead.
    pub(crate) fn twist(
        &self,
        how: Mischief,
        to: To,
        message: &Message,
        dice: &mut Dice,
    ) -> Vec<Forged> {
        let plain = || vec![(to, message.encode(), 0)];
        match (how, message) {
            (Mischief::Equivocate, Message::Propose(proposal)) if self.is_mine(proposal) => {
                self.two_blocks(proposal, dice)
            }
            (Mischief::Equivocate, Message::Vote(vote)) => {
                let both = [VoteKind::Prepare, VoteKind::Commit];
                both.iter().map(|kind| (to, self.vote(*kind, vote.rank, vote.block), 0)).collect()
            }
            (Mischief::Withhold, Message::Vote(vote)) if vote.kind == VoteKind::Commit => {
                Vec::new()
            }
            (Mischief::Withhold, Message::Votes(joined)) => {
                let (rank, block) = joined.prepare;
                vec![(to, self.vote(VoteKind::Prepare, rank, block), 0)]
            }
            (Mischief::Withhold, Message::Certificate(_) | Message::TermOver(_)) => {
                let one = Seat(u16::try_from(dice.below(u64::from(self.members))).unwrap_or(0));
                vec![(To::One(one), message.encode(), 0)]
            }
            (Mischief::Censor, Message::Propose(_)) => vec![(to, message.encode(), 40)],
            (Mischief::Dawdle, Message::Propose(_)) => vec![(to, message.encode(), 380)],
            (Mischief::Forge, _) => self.forge(to, message, dice),
            (Mischief::Mislead, _) => mislead(to, message, dice),
            (Mischief::Flood, _) => self.flood(to, message, dice),
            (Mischief::VoteTwice, Message::Vote(vote)) => {
                let other = Hash::of("gongsuan/sim/other", &vote.block.0);
                vec![(to, message.encode(), 0), (to, self.vote(vote.kind, vote.rank, other), 0)]
            }
            _ => plain(),
        }
    }

    fn is_mine(&self, proposal: &Proposal) -> bool {
        proposal.block.header.proposer == self.seat
    }

    /// One half of the others gets the block, the other half its twin, with votes for theirs; a little later all get both.
    /// Some twins order what nobody has submitted.
    fn two_blocks(&self, proposal: &Proposal, dice: &mut Dice) -> Vec<Forged> {
        let mut header = proposal.block.header.clone();
        header.time = TimeMs(header.time.0 + 1);
        let mut payload = proposal.payload.clone();
        if dice.percent(30) {
            payload = super::app::encode(&[u64::MAX]);
            header.payload_hash = payload.hash();
        }
        let rank = header.rank();
        let twin = Proposal { block: Block::sign(header, self.chain_id, self.key), payload };
        let mut sent = Vec::new();
        for (first, block) in [(true, proposal), (false, &twin)] {
            let hash = block.block.hash(self.chain_id);
            let bytes = Message::Propose(Box::new(block.clone())).encode();
            for to in self.half(first) {
                sent.push((to, bytes.clone(), 0));
                sent.push((to, self.vote(VoteKind::Prepare, rank, hash), 0));
                sent.push((to, self.vote(VoteKind::Commit, rank, hash), 1));
            }
            for late in [20, 60, 150] {
                sent.push((To::All, bytes.clone(), late));
            }
        }
        sent
    }

    fn forge(&self, to: To, message: &Message, dice: &mut Dice) -> Vec<Forged> {
        let mut sent = vec![(to, message.encode(), 0)];
        let mut bent = message.encode();
        let at = dice.index(bent.len());
        bent[at] ^= 1 << dice.below(8);
        sent.push((to, bent, 0));
        match message {
            // A proof that the term is over, with a lower certificate, or one that nobody signed.
            Message::TermOver(tc) => {
                let mut low = tc.clone();
                low.high.rank.height = Height(low.high.rank.height.0.saturating_sub(1));
                low.high.signatures.truncate(1);
                sent.push((to, Message::TermOver(low).encode(), 0));
            }
            Message::Timeout(timeout) => {
                let mut proud = timeout.clone();
                proud.high.rank = Rank { term: timeout.term, height: Height(1 << 40) };
                sent.push((to, Message::Timeout(proud).encode(), 0));
                let mut far = timeout.clone();
                far.term = Term(1 << 63);
                sent.push((to, Message::Timeout(far).encode(), 0));
            }
            Message::Vote(vote) => {
                let mut other = vote.clone();
                other.seat = Seat((vote.seat.0 + 1) % self.members);
                sent.push((to, Message::Vote(other).encode(), 0));
                let joined = JoinedVote {
                    epoch: vote.epoch,
                    prepare: (vote.rank, vote.block),
                    commit: (vote.rank, vote.block),
                    seat: vote.seat,
                    signature: vote.signature,
                };
                sent.push((to, Message::Votes(Box::new(joined)).encode(), 0));
            }
            _ => {}
        }
        sent
    }

    fn flood(&self, to: To, message: &Message, dice: &mut Dice) -> Vec<Forged> {
        let mut sent = vec![(to, message.encode(), 0)];
        let far = Rank { term: Term(dice.roll()), height: Height(dice.roll()) };
        let status = Status { epoch: self.epoch, term: far.term, committed: far.height, high: far };
        sent.push((to, Message::Status(status).encode(), 0));
        if let Message::Propose(proposal) = message
            && self.is_mine(proposal)
        {
            sent.extend(self.tower(to, proposal));
        }
        if let Message::Vote(vote) = message {
            for ahead in 1..32 {
                let height = Height(vote.rank.height.0 + (ahead << dice.below(30)));
                let rank = Rank { term: Term(vote.rank.term.0 + ahead % 2), height };
                let block = Hash::of("gongsuan/sim/flood", &dice.roll().to_le_bytes());
                sent.push((to, self.vote(VoteKind::Prepare, rank, block), 0));
            }
        }
        sent
    }
}

impl Liar<'_> {
    /// Blocks on top of a block, far beyond the window.
    fn tower(&self, to: To, proposal: &Proposal) -> Vec<Forged> {
        let (mut below, mut sent) = (proposal.block.clone(), Vec::new());
        for _ in 0..30 {
            let mut header = below.header.clone();
            header.parent = below.hash(self.chain_id);
            header.height = header.height.next();
            header.time = header.time.next();
            header.tc = None;
            let payload = super::app::encode(&[]);
            header.payload_hash = payload.hash();
            below = Block::sign(header, self.chain_id, self.key);
            let block = Proposal { block: below.clone(), payload };
            sent.push((to, Message::Propose(Box::new(block)).encode(), 0));
        }
        sent
    }
}

/// Wrong answers to those who catch up.
fn mislead(to: To, message: &Message, dice: &mut Dice) -> Vec<Forged> {
    let mut wrong = message.clone();
    match &mut wrong {
        Message::Blocks(blocks) => match dice.below(4) {
            0 => blocks.proposals.truncate(1),
            1 => blocks.proposals.reverse(),
            2 => {
                if let Some(last) = blocks.proposals.last_mut() {
                    last.payload = Payload::new(vec![1, 2, 3]);
                }
            }
            _ => blocks.certificate.rank.height = Height(1 << 40),
        },
        Message::Snapshot(offer) => match dice.below(3) {
            0 => offer.root = Hash::of("gongsuan/sim/wrong", &dice.roll().to_le_bytes()),
            1 => offer.app = Hash::of("gongsuan/sim/wrong", &dice.roll().to_le_bytes()),
            _ => offer.chunks += 1,
        },
        Message::Chunk(chunk) => {
            let at = dice.index(chunk.bytes.len());
            if let Some(byte) = chunk.bytes.get_mut(at) {
                *byte ^= 1;
            }
        }
        Message::Status(status) => status.committed = Height(status.committed.0 + 1_000),
        _ => {}
    }
    vec![(to, wrong.encode(), 0)]
}

/// What a censor proposes.
pub(crate) fn censored(draft: Draft) -> Draft {
    Draft { payload: super::app::encode(&[]), ..draft }
}

//! Objects by themselves: what is altered is refused, and says why.

use std::collections::BTreeSet;

use gongsuan_consensus::{
    CommittedBlock, Message, Payload, Rank, Record, Seat, VerifyError, Vote, VoteCache, VoteKind,
    verify, vote::Signer,
};
use gongsuan_types::{Hash, Height, SecretKey, Term};
use proptest::prelude::*;

use crate::world::World;

fn committed() -> (World, Vec<CommittedBlock>) {
    let mut world = World::new(4, 21);
    for _ in 0..12 {
        world.submit();
        world.run_for(30);
    }
    assert!(world.run_until(500, World::all_done).is_some());
    let log = world.nodes[0].log.clone();
    (world, log)
}

#[test]
fn a_certified_header_convinces_and_an_altered_one_does_not() {
    let (world, log) = committed();
    let good = log.iter().rev().find_map(CommittedBlock::certified_header).unwrap();
    let check =
        |header: &gongsuan_consensus::CertifiedHeader| header.verify(&world.set, &world.chain_id);
    assert_eq!(check(&good), Ok(good.certificate.block));

    let mut other = good.clone();
    other.block.header.app.height = Height(99);
    assert!(matches!(check(&other), Err(VerifyError::Field { field: "block", .. })));

    let mut other = good.clone();
    other.certificate.signatures.pop();
    assert_eq!(check(&other), Err(VerifyError::Quorum { limit: 3, got: 2 }));

    let mut other = good.clone();
    let twice = other.certificate.signatures[0];
    other.certificate.signatures[1] = twice;
    assert_eq!(check(&other), Err(VerifyError::SignerOrder));

    let mut other = good.clone();
    other.certificate.signatures[0].signature.0[7] ^= 1;
    assert!(matches!(check(&other), Err(VerifyError::Signature { .. })));

    let mut other = good.clone();
    other.certificate.kind = VoteKind::Prepare;
    assert!(matches!(check(&other), Err(VerifyError::Field { field: "kind", .. })));

    let chain = Hash::of("another chain", b"");
    assert!(good.verify(&world.set, &chain).is_err());
}

#[test]
fn a_certificate_at_or_above_every_height_is_in_the_log() {
    let (world, log) = committed();
    for from in 0..log.len() {
        let found = log[from..].iter().find_map(CommittedBlock::certified_header).unwrap();
        assert!(found.block.header.height.0 > from as u64);
        assert!(found.verify(&world.set, &world.chain_id).is_ok());
    }
}

#[test]
fn a_cache_remembers_only_what_was_good() {
    let (world, _) = committed();
    let key = SecretKey::from_seed(&[0]);
    let signer = Signer { chain_id: &world.chain_id, epoch: 0, key: &key };
    let rank = Rank { term: Term(1), height: Height(1) };
    let good = Vote::sign(VoteKind::Commit, rank, Hash::of("b", b""), Seat(0), &signer);
    let cache = VoteCache::new(8);
    let check = |vote: &Vote| {
        verify(Message::Vote(vote.clone()), &world.epoch, &world.chain_id, &cache).map(|_| ())
    };
    let mut stolen = good.clone();
    stolen.seat = Seat(1);
    for _ in 0..2 {
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&stolen), Err(VerifyError::Signature { what: "vote", seat: Seat(1) }));
    }
    let mut other = good.clone();
    other.kind = VoteKind::Prepare;
    assert!(check(&other).is_err(), "a COMMIT is no PREPARE");
    let mut nobody = good;
    nobody.seat = Seat(4);
    assert_eq!(check(&nobody), Err(VerifyError::UnknownSeat(Seat(4))));
}

#[test]
fn a_block_with_another_payload_is_refused() {
    let (world, log) = committed();
    let mut proposal = log[0].proposal.clone();
    proposal.payload = Payload::new(b"something else".to_vec());
    let checked = verify(
        Message::Propose(Box::new(proposal)),
        &world.epoch,
        &world.chain_id,
        &VoteCache::none(),
    );
    let expected = VerifyError::Field { what: "block", field: "payload hash" };
    assert_eq!(checked.unwrap_err(), expected);
}

#[test]
fn a_range_of_blocks_is_one_chain_or_nothing() {
    let (world, log) = committed();
    let good = gongsuan_consensus::Blocks::from_log(log, 1 << 20).unwrap();
    let check = |blocks: gongsuan_consensus::Blocks| {
        let message = Message::Blocks(Box::new(blocks));
        verify(message, &world.epoch, &world.chain_id, &VoteCache::none()).is_ok()
    };
    assert!(good.proposals.len() > 3);
    assert!(check(good.clone()));
    let mut hole = good.clone();
    hole.proposals.remove(1);
    assert!(!check(hole));
    let mut swapped = good.clone();
    swapped.proposals.swap(0, 1);
    assert!(!check(swapped));
    let mut empty = good;
    empty.proposals.clear();
    assert!(!check(empty));
}

proptest! {
    #[test]
    fn bytes_that_are_no_message_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes.clone());
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}

#[test]
fn a_changed_byte_makes_another_message_or_none() {
    let (_, log) = committed();
    let bytes = Message::Propose(Box::new(log[1].proposal.clone())).encode();
    let mut seen = BTreeSet::from([bytes.clone()]);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x11;
        if let Ok(message) = Message::decode(&changed) {
            assert!(seen.insert(message.encode()), "byte {at}");
        }
    }
}

//! Four validators in one thread order twenty payloads: `cargo run -p gongsuan-consensus --example four_nodes_in_memory`.
#![expect(clippy::wildcard_enum_match_arm, reason = "nothing is lost and nobody lies here")]
use gongsuan_consensus::{
    AppRef, Config, Core, Draft, Epoch, Input, Millis, Output, Outputs, Payload, Recovered, Seat,
    To, ValidatorSet, VoteCache, verify,
};
use gongsuan_types::{Hash, SecretKey, TimeMs};
use std::collections::VecDeque;
const PAYLOADS: u64 = 20;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chain_id = Hash::of("example", b"chain");
    let keys: Vec<_> = (0..4u8).map(|i| SecretKey::from_seed(&[i])).collect();
    let set = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key).collect())?;
    let (mut cores, mut inbox) = (Vec::new(), VecDeque::<(Seat, Input)>::new());
    for (seat, key) in set.seats().zip(keys) {
        let config = Config::new(chain_id, set.clone(), key);
        cores.push(Core::new(config, Recovered::default())?);
        inbox.push_back((seat, Input::Work { pending: true }));
    }
    let (epoch, cache) = (Epoch::first(&chain_id, set.clone()), VoteCache::new(10_000));
    while let Some((seat, input)) = inbox.pop_front() {
        let mut out = Outputs::new();
        cores[usize::from(seat.0)].step(Millis(0), input, &mut out);
        for output in out {
            match output {
                // There is no disk here: every record is "durable" at once, so `after` never holds a message back.
                Output::Persist { seq, .. } => inbox.push_back((seat, Input::Persisted { seq })),
                Output::Send { to, message, .. } => {
                    for other in
                        set.seats().filter(|s| *s != seat && (to == To::All || to == To::One(*s)))
                    {
                        let message = verify(message.clone(), &epoch, &chain_id, &cache)?;
                        inbox.push_back((other, Input::Message { from: seat, message }));
                    }
                }
                Output::WantPayload(want) => {
                    let payload = Payload::new(format!("payload {}", want.height).into_bytes());
                    let draft =
                        Draft { payload, app: AppRef::default(), time: TimeMs(0), next: None };
                    let draft = (want.height.0 <= PAYLOADS).then_some(draft);
                    let input = Input::Payload { term: want.term, height: want.height, draft };
                    inbox.push_back((seat, input));
                }
                Output::Check { block, .. } => {
                    inbox.push_back((seat, Input::Checked { block, ok: true }));
                }
                Output::Commit { blocks } => {
                    let newest = blocks.last().and_then(|b| b.certified_header()).ok_or("none")?;
                    newest.verify(&set, &chain_id)?;
                    inbox.push_back((seat, Input::Applied { height: newest.block.header.height }));
                }
                _ => {} // Timers, catch-up, snapshots, evidence.
            }
        }
    }
    let agree = cores.iter().all(|core| core.progress().committed.0 == PAYLOADS);
    agree.then_some(()).ok_or_else(|| "the four did not order everything".into())
}

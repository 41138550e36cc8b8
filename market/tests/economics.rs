//! Cheating does not pay: each way to cheat, played many times against the market itself, and what it brought beside honest work.
//!
//! Everything is integers and seeds, so the table in `docs/economics.md` is reproduced to the last digit:
//! `cargo test -p gongsuan-market --test economics`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/street.rs"]
mod street;
#[path = "support/table.rs"]
mod table;

use gongsuan_market::{Command, DealState, Rules, audit_seal};
use gongsuan_types::court::Finding;
use gongsuan_types::job::{Check, Pace};
use gongsuan_types::receipt::{Receipt, ReceiptProof};
use gongsuan_types::{Address, DurationMs, Hash, Hasher};
use street::{AUDITOR, CHEAP, DEAL, RENTER, Street, WATCHER, right};

/// Segments of each job, at 1,000 each; two of them are drawn.
const SEGMENTS: u32 = 50;
const SAMPLES: u16 = 2;
/// Deals for each row.
const DEALS: u32 = 400;
/// What executing a segment costs whoever does it.
const COST: i128 = 800;
/// The price of a whole job.
const PRICE: i128 = 50_000;

/// A way to play.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// The provider makes up so many segments; each auditor does its work with this probability, in thousandths.
    Fake { segments: u32, diligence: u64 },
    /// The provider makes up everything, and a friend challenges it before the auditor can, for half of its deposit.
    Friend,
    /// The auditor executes nothing.
    Lazy,
    /// The auditor says that a right result is wrong.
    Slander,
    /// The renter says, under another name, that a right result is wrong, so as not to pay.
    Deny,
    /// The renter does not serve the input.
    Starve,
    /// Somebody says that a right result is wrong.
    Spam,
}

const ROWS: &[(&str, Plan)] = &[
    ("provider makes up 1 of 50 segments", Plan::Fake { segments: 1, diligence: 1_000 }),
    ("provider makes up 5 of 50", Plan::Fake { segments: 5, diligence: 1_000 }),
    ("provider makes up 25 of 50", Plan::Fake { segments: 25, diligence: 1_000 }),
    ("provider makes up everything", Plan::Fake { segments: 50, diligence: 1_000 }),
    ("… 1 of 50, a third of audits not done", Plan::Fake { segments: 1, diligence: 667 }),
    ("… everything, a third of audits not done", Plan::Fake { segments: 50, diligence: 667 }),
    ("… everything, and a friend challenges first", Plan::Friend),
    ("auditor executes nothing", Plan::Lazy),
    ("auditor slanders a right result", Plan::Slander),
    ("renter denies a right result", Plan::Deny),
    ("renter does not serve the input", Plan::Starve),
    ("challenger makes something up", Plan::Spam),
];

fn draw(seed: Hash, what: &str, below: u64) -> u64 {
    let mut hasher = Hasher::new("economics");
    hasher.update(&seed.0).part(what.as_bytes());
    hasher.finish().to_u64() % below
}

fn rules() -> Rules {
    Rules { seal_window: DurationMs(30_000), claim_stake_micro: 1_000, ..Rules::default() }
}

/// One deal. Answers what the cheat gained beyond what honesty would have brought it, and whether it was caught.
fn play(plan: Plan, seed: Hash) -> (i128, bool) {
    let size = (SEGMENTS, SAMPLES);
    let mut street = Street::with(rules(), Check::Lottery, Pace::default(), size);
    if plan == Plan::Starve {
        street.good(CHEAP, Command::AskInput(DEAL));
        street.judge(Finding::Unavailable);
        return (street.gain(RENTER), true);
    }
    street.good(CHEAP, Command::Acknowledge(DEAL));
    let fakes = match plan {
        Plan::Fake { segments, .. } => segments,
        Plan::Friend => SEGMENTS,
        Plan::Lazy | Plan::Slander | Plan::Deny | Plan::Starve | Plan::Spam => 0,
    };
    // Which segments are made up is the provider's secret.
    let shift = u32::try_from(draw(seed, "shift", u64::from(SEGMENTS))).unwrap();
    let is_fake = |segment: u32| (segment + shift) % SEGMENTS < fakes;
    let output = |segment: u32| {
        let made_up = Hash::of("made-up", &[&seed.0[..], &segment.to_le_bytes()].concat());
        if is_fake(segment) {
            Receipt { output: made_up, ..right(segment) }
        } else {
            right(segment)
        }
    };
    let list: Vec<Receipt> = (0..SEGMENTS).map(output).collect();
    street.commit(CHEAP, &list);
    let wrong = |at: u32| Receipt { output: Hash::of_content(b"wrong"), ..right(at) };
    match plan {
        Plan::Friend => dispute(&mut street, WATCHER, &list, 0, right(0)),
        Plan::Deny | Plan::Spam => dispute(&mut street, WATCHER, &list, 7, wrong(7)),
        Plan::Fake { .. } | Plan::Lazy | Plan::Slander | Plan::Starve => {}
    }
    let slanders = plan == Plan::Slander;
    let mut paid_work = audit(&mut street, &list, |sample| {
        let diligence = match plan {
            Plan::Fake { diligence, .. } => diligence,
            Plan::Lazy => 0,
            Plan::Friend | Plan::Slander | Plan::Deny | Plan::Starve | Plan::Spam => 1_000,
        };
        let works = draw(seed, &format!("auditor {sample}"), 1_000) < diligence;
        if slanders { Some(false) } else { works.then_some(true) }
    });
    street.wait(200_000);
    let is_caught = match plan {
        Plan::Fake { .. } | Plan::Friend | Plan::Starve => {
            !matches!(street.state(1), DealState::Settled { .. })
        }
        Plan::Lazy | Plan::Slander => street.gain(AUDITOR) < 0,
        Plan::Deny | Plan::Spam => street.gain(WATCHER) < 0,
    };
    let gain = match plan {
        Plan::Fake { segments, .. } => {
            let cost = (i128::from(SEGMENTS) - i128::from(segments)) * COST;
            street.gain(CHEAP) - cost - honest_provider()
        }
        Plan::Friend => street.gain(CHEAP) + street.gain(WATCHER) - honest_provider(),
        Plan::Lazy => street.gain(AUDITOR) - i128::from(SAMPLES) * (1_250 - COST),
        Plan::Slander => {
            // One sample was slandered instead of answered; the stake is what it cost.
            paid_work = paid_work.saturating_sub(1);
            street.gain(AUDITOR) - i128::from(paid_work) * 1_250 - (1_250 - COST)
        }
        Plan::Deny | Plan::Spam => street.gain(WATCHER),
        Plan::Starve => 0,
    };
    (gain, is_caught)
}

fn honest_provider() -> i128 {
    PRICE - PRICE / 50 - i128::from(SEGMENTS) * COST
}

fn dispute(street: &mut Street, who: Address, list: &[Receipt], at: u32, found: Receipt) {
    street.challenge(who, list, at as usize, found);
    street.judge(Finding::Produced(right(at)));
}

/// The drawn auditors answer: rightly, falsely or not at all. A false or true accusation is judged. Answers how many audits were paid.
fn audit(street: &mut Street, list: &[Receipt], how: impl Fn(u16) -> Option<bool>) -> u32 {
    let DealState::Drawn { samples, .. } = street.state(1).clone() else { return 0 };
    let found = |sample: u16, segment: u32| match how(sample)? {
        true => Some(right(segment)),
        false => Some(Receipt { output: Hash::of_content(b"slander"), ..right(segment) }),
    };
    let numbered = || (0u16..).zip(&samples);
    for (sample, drawn) in numbered() {
        if let Some(found) = found(sample, drawn.segment) {
            let seal = audit_seal(AUDITOR, DEAL, sample, &found);
            street.good(AUDITOR, Command::SealAudit { deal: DEAL, sample, seal });
        }
    }
    street.wait(30_000);
    let mut paid = 0;
    for (sample, drawn) in numbered() {
        let Some(found) = found(sample, drawn.segment) else { continue };
        if !matches!(street.state(1), DealState::Drawn { .. }) {
            break;
        }
        let at = drawn.segment as usize;
        let (committed, proof) = (list[at], ReceiptProof::new(list, at).unwrap());
        let audit = Command::Audit { deal: DEAL, sample, committed, proof, found };
        street.good(AUDITOR, audit);
        if found == committed {
            paid += 1;
            continue;
        }
        street.judge(Finding::Produced(right(drawn.segment)));
        if how(sample) == Some(false) {
            // It has had its say.
            break;
        }
    }
    paid
}

fn table() -> String {
    let mut text = String::from(
        "| who cheats, and how | caught | gain beside honesty, a deal | of the price |\n|---|---:|---:|---:|\n",
    );
    for (name, plan) in ROWS {
        let (mut sum, mut caught) = (0, 0);
        for number in 0..DEALS {
            let seed = Hash::of("economics/deal", &number.to_le_bytes());
            let (gain, is_caught) = play(*plan, seed);
            sum += gain;
            caught += u32::from(is_caught);
        }
        let mean = sum.div_euclid(i128::from(DEALS));
        assert!(mean < 0, "{name}: cheating pays {mean} a deal");
        let share = mean * 1_000 / PRICE;
        let percent = caught * 1_000 / DEALS;
        text.push_str(&format!(
            "| {name} | {}.{} % | {mean} | -{}.{} % |\n",
            percent / 10,
            percent % 10,
            -share / 10,
            -share % 10
        ));
    }
    text
}

#[test]
fn every_way_to_cheat_loses_and_the_documented_table_says_how_much() {
    table::check("economics.md", "economics", &table());
}

//! Reputation that cannot be bought among friends, and owners whose accounts count as one.
//!
//! The table of `docs/economics.md` is reproduced to the last digit: `cargo test -p gongsuan-market --test standing`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/street.rs"]
mod street;
#[path = "support/table.rs"]
mod table;

use gongsuan_market::{Command, DealState, Rules};
use gongsuan_types::job::{Check, Pace};
use gongsuan_types::order::{Capabilities, Party};
use gongsuan_types::receipt::Commitment;
use gongsuan_types::{Address, Amount, DealId, Hash};
use street::{AUDITOR, CHEAP, DEAR, RENTER, Street, WATCHER, ask, bid, work};

const DAY: u64 = 86_400_000;
/// Segments at 1,000 each: 500,000 a deal, of which the treasury takes 10,000; what one counterpart may bring in a day.
const SEGMENTS: u32 = 500;

fn friend(number: u8) -> Address {
    Address([100 + number; 32])
}

/// A provider and whoever buys of it.
struct Ring {
    street: Street,
    deals: u64,
    vetted: bool,
}

impl Ring {
    fn new(vetted: bool) -> Self {
        let mut ring = Self { street: Street::empty(Rules::default()), deals: 0, vetted };
        ring.send(CHEAP, ask(1_000, SEGMENTS));
        ring
    }

    fn send(&mut self, from: Address, command: Command) {
        let attested = if self.vetted { Capabilities::VETTED } else { Capabilities::NONE };
        let party = Party { address: from, attested };
        assert!(self.street.block(1, |market| market.submit(party, command).ok()));
    }

    /// A whole deal, honestly done.
    fn trade(&mut self, renter: Address) {
        self.deals += 1;
        let deal = DealId(self.deals);
        self.send(renter, bid(Check::Lottery, Pace::default(), (SEGMENTS, 1)));
        self.send(CHEAP, Command::Acknowledge(deal));
        let commitment = Commitment::new(&work(0..SEGMENTS, b"right")).unwrap();
        self.send(CHEAP, Command::Commit { deal, commitment, receipts: Hash::ZERO });
        self.street.wait(20_000);
        self.street.wait(130_000);
        assert!(matches!(self.street.state(deal.0), DealState::Settled { .. }));
    }

    fn reputation(&self) -> u16 {
        self.street.market.reputation(&CHEAP)
    }

    fn burnt(&self) -> i128 {
        self.street.gain(Address::TREASURY)
    }
}

fn table() -> String {
    let mut text =
        String::from("| the ring | reputation | fees gone for good |\n|---|---:|---:|\n");
    let mut row = |name: &str, ring: &Ring| {
        text.push_str(&format!("| {name} | {} | {} |\n", ring.reputation(), ring.burnt()));
    };
    let with = |vetted: bool, friends: u8, days: u64| {
        let mut ring = Ring::new(vetted);
        for _ in 0..days {
            (0..friends).for_each(|number| ring.trade(friend(number)));
            ring.street.wait(DAY);
        }
        ring
    };
    row("nobody buys anything", &Ring::new(true));
    row("8 accounts that nobody has vetted", &with(false, 8, 1));
    let mut own = Ring::new(true);
    for number in 0..8 {
        own.street.market.set_owner(friend(number), own.street.market.owner_of(&CHEAP));
        own.trade(friend(number));
    }
    row("8 vetted accounts of the provider's own owner", &own);
    let mut one = Ring::new(true);
    (0..8).for_each(|_| one.trade(friend(0)));
    row("1 vetted friend, 8 deals in a day", &one);
    row("1 vetted friend, a deal a day for 8 days", &with(true, 1, 8));
    let mut many = with(true, 8, 1);
    row("8 vetted friends, a deal each in a day", &many);
    many.street.wait(360 * DAY);
    row("… a year later", &many);
    text
}

#[test]
fn what_a_ring_of_friends_pays_for_reputation_is_what_the_page_says() {
    table::check("economics.md", "standing", &table());
}

#[test]
fn reputation_never_exceeds_the_fees_that_were_paid_for_it() {
    let mut ring = Ring::new(true);
    for number in 0..6 {
        ring.trade(friend(number % 4));
        let standing = ring.street.market.standing(&CHEAP);
        let fee_micro = i128::from(ring.street.market.rules().reputation.fee_micro);
        assert!(i128::from(standing.good) * fee_micro <= ring.burnt() * 1_000, "{standing:?}");
    }
    // Four counterparts, and two of them a second time.
    assert_eq!(ring.street.market.standing(&CHEAP).settled, 6);
    assert_eq!(ring.reputation(), 1_000 * 50 / 60);
    // Two accounts of one owner are one counterpart.
    let mut ring = Ring::new(true);
    for number in 0..2 {
        ring.street.market.set_owner(friend(number), Hash([9; 32]));
        ring.trade(friend(number));
    }
    assert_eq!(ring.reputation(), 1_000 * 20 / 30);
}

#[test]
fn a_failure_weighs_five_times_and_fades_like_the_good() {
    let mut ring = Ring::new(true);
    (0..5).for_each(|number| ring.trade(friend(number)));
    ring.send(RENTER, bid(Check::Lottery, Pace::default(), (SEGMENTS, 1)));
    ring.street.wait(10_001);
    let standing = ring.street.market.standing(&CHEAP);
    assert_eq!((standing.settled, standing.failed), (5, 1));
    assert_eq!(standing.bad, 50_000);
    let soon = ring.reputation();
    assert!((499..=500).contains(&soon), "{soon}");
    ring.street.wait(5 * 90 * DAY);
    assert_eq!(ring.street.market.reputation(&CHEAP), 500, "both have faded alike");
}

#[test]
fn no_two_accounts_of_one_owner_are_matched_in_one_quorum() {
    let quorum = || bid(Check::Quorum { copies: 2 }, Pace::default(), (4, 1));
    let mut street = Street::empty(Rules::default());
    street.market.set_owner(CHEAP, Hash([7; 32]));
    street.market.set_owner(DEAR, Hash([7; 32]));
    street.good(CHEAP, ask(1_000, 4));
    street.good(DEAR, ask(1_100, 4));
    street.good(RENTER, quorum());
    assert_eq!(street.market.deals().count(), 0, "one owner, under two names");
    street.good(WATCHER, ask(1_200, 4));
    let providers: Vec<Address> = street.market.deals().map(|deal| deal.provider).collect();
    assert_eq!(providers, [CHEAP, WATCHER]);
}

#[test]
fn no_auditor_of_a_partys_owner_is_drawn_and_no_owner_twice_while_there_are_others() {
    let people: Vec<Address> = (0..4).map(friend).collect();
    let drawn = |owners: &[(Address, Hash)]| {
        let mut street = Street::empty(Rules::default());
        for (account, owner) in owners {
            street.market.set_owner(*account, *owner);
        }
        street.good(CHEAP, ask(1_000, 40));
        street.good(RENTER, bid(Check::Lottery, Pace::default(), (40, 3)));
        street.good(CHEAP, Command::Acknowledge(street::DEAL));
        let commitment = Commitment::new(&work(0..40, b"right")).unwrap();
        street
            .good(CHEAP, Command::Commit { deal: street::DEAL, commitment, receipts: Hash::ZERO });
        street.good(RENTER, street.reveal());
        street.wait_with(1, &people);
        let DealState::Drawn { samples, .. } = street.state(1).clone() else { panic!("drawn") };
        samples.iter().filter_map(|sample| sample.auditor).collect::<Vec<_>>()
    };
    let mut all = drawn(&[]);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 3, "three accounts for three samples");
    let (one, provider) = (Hash([7; 32]), Hash(CHEAP.0));
    let two = drawn(&[(people[0], one), (people[1], one)]);
    assert!(two.iter().filter(|who| people[..2].contains(who)).count() <= 1, "{two:?}");
    let rest = drawn(&[(people[0], provider), (people[1], provider), (people[2], Hash(RENTER.0))]);
    assert_eq!(rest, [people[3]; 3], "only one is of nobody's house");
}

#[test]
fn a_deal_does_not_go_on_with_another_account_of_the_owner_that_failed() {
    let pace = Pace { attempts_max: 3, ..Pace::default() };
    let mut street = Street::empty(Rules::default());
    street.market.set_owner(DEAR, Hash(CHEAP.0));
    street.good(AUDITOR, Command::Pledge(Amount::new(1)));
    street.good(CHEAP, ask(1_000, 10));
    street.good(DEAR, ask(1_100, 10));
    street.good(RENTER, bid(Check::Lottery, pace, (10, 1)));
    street.wait(10_001);
    assert!(matches!(street.state(1), DealState::Rematch { .. }));
    street.good(WATCHER, ask(1_150, 10));
    assert_eq!(street.market.deal(street::DEAL).unwrap().provider, WATCHER);
}

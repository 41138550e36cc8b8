//! Two offers, one order, one block: who gets the work, and why nobody else.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use gongsuan_market::{Command, Market, Moment, Rules};
use gongsuan_types::job::{JOB_VERSION, JobOrder, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, FillRule, Machine, Party, Region, Requirements, SelfMatch, Work,
};
use gongsuan_types::{Address, DurationMs, Fuel, Hash, Height, OrderId, Price, TimeMs, Units};

fn main() -> Result<(), gongsuan_market::MarketError> {
    let mut market = Market::new(Rules::default());
    let party = |n: u8| Party { address: Address([n; 32]), attested: Capabilities::NONE };
    let block =
        |n: u8| Moment { height: Height(n.into()), time: TimeMs(n.into()), block: Hash([n; 32]) };
    let machine = Machine {
        cpu_cores: 4,
        memory_mib: 4096,
        disk_mib: 0,
        gpu_count: 0,
        duration_s_max: 3600,
        region: Region(0),
        capabilities: Capabilities::NONE,
    };
    let ask = |price, units| {
        let (class, expires_at, fill_min) = (Class::WASM, TimeMs(1_000), Units(1));
        Ask { class, price: Price(price), units: Units(units), fill_min, machine, expires_at }
    };
    let limits = Limits { fuel: Fuel(1_000_000_000), memory_pages: 16, output_bytes: 1024 };
    let shape = Shape::Map { segments: 64, input: MapInput::Shared(Hash::ZERO) };
    let (module, seed) = (Hash::ZERO, Hash::ZERO);
    let spec =
        JobSpec { version: JOB_VERSION, module, meter: 1, args: vec![], shape, limits, seed };
    let bid = Bid {
        class: Class::WASM,
        price_max: Price(130),
        units: Units(64),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 4,
        requirements: Requirements::ANY,
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1_000),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(100),
            run_within: DurationMs(1_000),
            samples: 2,
            deposit_basis_points: 10_000,
            secret_hash: Hash::ZERO,
        })),
    };
    market.begin_block(block(1), &[]);
    market.submit(party(1), Command::PlaceAsk(ask(110, 40)))?;
    market.submit(party(2), Command::PlaceAsk(ask(180, 100)))?;
    market.submit(party(3), Command::PlaceBid(Box::new(bid)))?;
    for event in market.end_block().events {
        println!("{event:?}");
    }
    if let Some(why) = market.explain(OrderId(3)) {
        println!("why the rest waits: {}", why.summary);
    }
    Ok(())
}

//! Lists: the newest first, filtered, a page at a time.

use axum::Json;
use axum::extract::{Path, State};
use gongsuan_market::{Deal, DealState, Market, Oddness, Order};
use gongsuan_types::order::{Class, Side, Unit};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, DealId, OrderId, Refusal};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Server;
use super::answer::{Answer, ApiError, Asked, ask, missing, parse, stopped};
use super::wire::{Anomalies, Classes, DealReceipts, Deals, Orders, TradesView};
use crate::node::Trade;
use crate::renter::results;

/// Rows of one answer, unless the request says fewer.
const ROWS: usize = 100;
/// Rows of one answer, at most.
pub(super) const ROWS_MAX: usize = 1_000;
/// Deals among which what is odd is looked for, the newest ones.
const ODD_AMONG: usize = 10_000;

pub(super) fn rows(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(ROWS) {
        rows @ 1..=ROWS_MAX => Ok(rows),
        got => {
            let limit = format!("1..={ROWS_MAX}");
            let message = "too few or too many rows; ask for more with below";
            Err(Refusal::new("out-of-range", "limit", limit, got, message).into())
        }
    }
}

/// A page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Below {
    /// Rows, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only what is older than this id or height.
    pub(super) below: Option<u64>,
}

impl Below {
    pub(super) fn rows(&self) -> Result<usize, ApiError> {
        rows(self.limit)
    }
}

/// What to list. Everything is optional; what a list does not know is refused.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrderFilter {
    /// Rows, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only what is older than this id.
    below: Option<u64>,
    /// `open`: only what is not over; `all`.
    #[param(pattern = "^(open|all)$")]
    state: Option<String>,
    /// `ask` or `bid`.
    side: Option<Side>,
    /// Only of this account.
    account: Option<Address>,
    /// Only of this class, such as `giga-fuel/wasm`.
    #[param(pattern = "^(giga-fuel|core-second)/(wasm|x86_64|aarch64)$")]
    class: Option<String>,
}

/// What to list. Everything is optional; what a list does not know is refused.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DealFilter {
    /// Rows, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only what is older than this id.
    below: Option<u64>,
    /// `open`: only what is not over; `all`.
    #[param(pattern = "^(open|all)$")]
    state: Option<String>,
    /// Only those in which this account works or pays, is drawn to audit now, or has brought the open case.
    account: Option<Address>,
    /// Only of this class, such as `giga-fuel/wasm`.
    #[param(pattern = "^(giga-fuel|core-second)/(wasm|x86_64|aarch64)$")]
    class: Option<String>,
    /// Only those of this order.
    order: Option<OrderId>,
}

fn is_open(state: Option<&str>) -> Result<bool, ApiError> {
    match state {
        None | Some("all") => Ok(false),
        Some("open") => Ok(true),
        Some(other) => {
            let message = "not a state to list by";
            Err(Refusal::new("malformed", "state", "open or all", other, message).into())
        }
    }
}

fn class(text: Option<&str>) -> Result<Option<Class>, ApiError> {
    Ok(text.map(str::parse).transpose()?)
}

fn is_below(below: Option<u64>, id: u64) -> bool {
    below.is_none_or(|below| id < below)
}

/// Newest first: the rows of the page, and how many there are in all.
fn page<'a, T: Clone + 'a>(
    all: impl DoubleEndedIterator<Item = &'a T>,
    rows: usize,
    is_on_page: impl Fn(&T) -> bool,
) -> (Vec<T>, u64) {
    let (mut found, mut total) = (Vec::new(), 0);
    for one in all.rev() {
        total += 1;
        if found.len() < rows && is_on_page(one) {
            found.push(one.clone());
        }
    }
    (found, total)
}

impl OrderFilter {
    /// What to look for in a market; a filter that makes no sense is refused.
    fn query(self) -> Result<impl FnOnce(&Market) -> Orders, ApiError> {
        let (rows, open) = (rows(self.limit)?, is_open(self.state.as_deref())?);
        let class = class(self.class.as_deref())?;
        Ok(move |market: &Market| {
            let wanted = |order: &&Order| {
                self.side.is_none_or(|wanted| wanted == order.side())
                    && self.account.is_none_or(|wanted| wanted == order.owner)
                    && class.is_none_or(|wanted| wanted == order.class())
            };
            let is_older = |order: &Order| is_below(self.below, order.id.0);
            let (orders, total) = match open {
                true => page(market.open_orders().filter(wanted), rows, is_older),
                false => page(market.orders().filter(wanted), rows, is_older),
            };
            Orders { orders, total }
        })
    }
}

impl DealFilter {
    /// What to look for in a market; a filter that makes no sense is refused.
    fn query(self) -> Result<impl FnOnce(&Market) -> Deals, ApiError> {
        let (rows, open) = (rows(self.limit)?, is_open(self.state.as_deref())?);
        let class = class(self.class.as_deref())?;
        Ok(move |market: &Market| {
            let wanted = |deal: &&Deal| {
                self.account.is_none_or(|wanted| has_part(deal, wanted))
                    && self.order.is_none_or(|wanted| [deal.ask, deal.bid].contains(&wanted))
                    && class.is_none_or(|wanted| wanted == deal.class)
            };
            let is_older = |deal: &Deal| is_below(self.below, deal.id.0);
            let (deals, total) = match open {
                true => page(market.open_deals().filter(wanted), rows, is_older),
                false => page(market.deals().filter(wanted), rows, is_older),
            };
            Deals { deals, total }
        })
    }
}

/// Whether an account works or pays in a deal, is drawn to audit it now, or has brought its open case.
fn has_part(deal: &Deal, account: Address) -> bool {
    let is_drawn = || match &deal.state {
        DealState::Drawn { samples, .. } => {
            samples.iter().any(|sample| sample.auditor == Some(account))
        }
        _ => false,
    };
    [deal.provider, deal.renter].contains(&account)
        || deal.case().is_some_and(|case| case.by == account)
        || is_drawn()
}

/// Orders, the newest first. More than one answer holds come page by page: `below` is the smallest id of the page before.
#[utoipa::path(get, path = "/v1/orders", tag = "market", params(OrderFilter), responses((status = OK, description = "A page.", body = Orders)))]
pub(super) async fn orders(
    State(server): State<Server>,
    Asked(filter): Asked<OrderFilter>,
) -> Answer<Orders> {
    let query = filter.query()?;
    Ok(Json(ask(&server, move |view| query(view.chain.state().market())).await?))
}

/// Deals, the newest first. More than one answer holds come page by page: `below` is the smallest id of the page before.
#[utoipa::path(get, path = "/v1/deals", tag = "market", params(DealFilter), responses((status = OK, description = "A page.", body = Deals)))]
pub(super) async fn deals(
    State(server): State<Server>,
    Asked(filter): Asked<DealFilter>,
) -> Answer<Deals> {
    let query = filter.query()?;
    Ok(Json(ask(&server, move |view| query(view.chain.state().market())).await?))
}

/// What looks odd in the newest deals: a hint for whoever watches, by rules that stand in the answer. Nothing on the chain follows from it.
#[utoipa::path(get, path = "/v1/anomalies", tag = "market", responses((status = OK, description = "What is odd, and by which rules.", body = Anomalies)))]
pub(super) async fn anomalies(State(server): State<Server>) -> Answer<Anomalies> {
    let newest = ask(&server, |view| {
        let all = view.chain.state().market().deals();
        all.rev().take(ODD_AMONG).cloned().collect::<Vec<Deal>>()
    });
    let (deals, oddness) = (newest.await?, Oddness::default());
    let anomalies = gongsuan_market::anomalies(&deals, oddness);
    Ok(Json(Anomalies { anomalies, oddness, deals: deals.len() as u64 }))
}

/// What is traded here, by name.
#[utoipa::path(get, path = "/v1/classes", tag = "market", responses((status = OK, description = "Names of classes.", body = Classes)))]
pub(super) async fn classes(State(server): State<Server>) -> Answer<Classes> {
    let found = ask(&server, |view| {
        let orders = view.chain.state().market().orders().map(Order::class);
        let all = orders.chain(view.trades.classes()).chain([Class::WASM]);
        all.collect::<std::collections::BTreeSet<_>>()
    });
    Ok(Json(Classes { classes: found.await?.iter().map(Class::to_string).collect() }))
}

async fn trades_of(server: &Server, class: &str, query: Below) -> Answer<TradesView> {
    let (rows, class): (usize, Class) = (query.rows()?, class.parse()?);
    let trades = ask(server, move |view| {
        let older = |trade: &&Trade| is_below(query.below, trade.deal.0);
        view.trades.of(class).filter(older).take(rows).copied().collect()
    });
    Ok(Json(TradesView { trades: trades.await? }))
}

/// The newest fills of a class that this node remembers.
#[utoipa::path(
    get, path = "/v1/trades/{unit}/{arch}", tag = "market",
    params(("unit" = Unit, Path, description = "What is sold."), ("arch" = String, Path, description = "wasm, x86_64 or aarch64.", example = "wasm"), Below),
    responses((status = OK, description = "The newest first.", body = TradesView))
)]
pub(super) async fn trades(
    State(server): State<Server>,
    Path((unit, arch)): Path<(String, String)>,
    Asked(query): Asked<Below>,
) -> Answer<TradesView> {
    trades_of(&server, &format!("{unit}/{arch}"), query).await
}

/// The newest fills of a class with a model of graphics processor.
#[utoipa::path(
    get, path = "/v1/trades/{unit}/{arch}/{gpu}", tag = "market", operation_id = "gpu_trades",
    params(
        ("unit" = Unit, Path, description = "What is sold."),
        ("arch" = String, Path, description = "wasm, x86_64 or aarch64.", example = "x86_64"),
        ("gpu" = String, Path, description = "The model, such as gpu7.", example = "gpu7"),
        Below
    ),
    responses((status = OK, description = "The newest first.", body = TradesView))
)]
pub(super) async fn gpu_trades(
    State(server): State<Server>,
    Path((unit, arch, gpu)): Path<(String, String, String)>,
    Asked(query): Asked<Below>,
) -> Answer<TradesView> {
    trades_of(&server, &format!("{unit}/{arch}/{gpu}"), query).await
}

/// What was committed for a deal, batch after batch, out of the blobs that its providers published.
#[utoipa::path(
    get, path = "/v1/deals/{id}/receipts", tag = "market", operation_id = "deal_receipts", params(("id" = DealId, Path, description = "The deal's number.")),
    responses((status = OK, description = "By segment.", body = DealReceipts))
)]
pub(super) async fn receipts(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<DealReceipts> {
    let id: DealId = parse("deal", &id)?;
    let found = ask(&server, move |view| view.chain.state().market().deal(id).cloned()).await?;
    let deal = found.ok_or_else(|| missing("deal", id))?;
    let parts = results::parts(&deal);
    if parts.is_empty() {
        return Err(missing("receipts", id));
    }
    let blobs = server.blobs.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut receipts: Vec<Receipt> = Vec::new();
        for part in &parts {
            let bytes = blobs.get(&part.receipts).ok_or_else(|| missing("blob", part.receipts))?;
            let list = results::check(part, &bytes).map_err(|reason| {
                let (limit, got) = ("the receipts committed", part.receipts);
                ApiError(Refusal::new("malformed", "receipts", limit, got, reason))
            })?;
            receipts.extend(list);
        }
        Ok::<_, ApiError>(receipts)
    });
    Ok(Json(DealReceipts { deal: id, receipts: read.await.map_err(stopped)?? }))
}

#[cfg(test)]
mod tests {
    use gongsuan_market::{Command, Moment, Rules};
    use gongsuan_types::job::{Check, JOB_VERSION, JobSpec, Limits, MapInput, Pace, Shape};
    use gongsuan_types::order::{Ask, Capabilities, Machine, Party, Region, Requirements};
    use gongsuan_types::{DurationMs, Fuel, Hash, Height, Price, TimeMs, Units};

    use super::*;
    use crate::renter::Wish;

    const PAIRS: u64 = 3_000;
    const RESTING: u64 = 1_200;
    const NOW: TimeMs = TimeMs(1_000);

    fn party(number: u64) -> Party {
        Party { address: address(number), attested: Capabilities::NONE }
    }

    fn address(number: u64) -> Address {
        Address(Hash::of("lists", &number.to_le_bytes()).0)
    }

    fn ask(price: u64) -> Command {
        let machine = Machine {
            cpu_cores: 1,
            memory_mib: 1_024,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 86_400,
            region: Region(0),
            capabilities: Capabilities::NONE,
        };
        let (class, price, units, fill_min) = (Class::WASM, Price(price), Units(1), Units(1));
        let expires_at = TimeMs(1_000_000);
        Command::PlaceAsk(Ask { class, price, units, fill_min, machine, expires_at })
    }

    fn bid() -> Command {
        let spec = JobSpec {
            version: JOB_VERSION,
            module: Hash::ZERO,
            meter: 1,
            args: Vec::new(),
            shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::ZERO) },
            limits: Limits { fuel: Fuel(1_000_000_000), memory_pages: 1, output_bytes: 0 },
            seed: Hash::ZERO,
        };
        let wish = Wish {
            spec,
            price_max: Price(10),
            deals_max: 1,
            samples: 1,
            requirements: Requirements::ANY,
            check: Check::default(),
            pace: Pace::default(),
            match_within: DurationMs(600_000),
            run_within: DurationMs(600_000),
        };
        Command::PlaceBid(Box::new(wish.to_bid(NOW, &Hash::ZERO)))
    }

    /// As many deals as pairs, of which those with odd numbers run and the others have failed; and asks that nobody takes.
    fn market() -> Market {
        let mut market = Market::new(Rules::default());
        let moment = |height, time| Moment { height: Height(height), time, block: Hash::ZERO };
        drop(market.begin_block(moment(1, NOW), &[]));
        let bid = bid();
        for pair in 0..PAIRS {
            drop(market.submit(party(pair), ask(5)).unwrap());
            drop(market.submit(party(PAIRS + pair), bid.clone()).unwrap());
        }
        for one in 0..RESTING {
            drop(market.submit(party(one), ask(50)).unwrap());
        }
        drop(market.end_block());
        drop(market.begin_block(moment(2, NOW), &[]));
        let runs = |deal: &&Deal| deal.id.0 % 2 == 1;
        let running: Vec<_> =
            market.deals().filter(runs).map(|deal| (deal.id, deal.provider)).collect();
        for (deal, provider) in running {
            let party = Party { address: provider, attested: Capabilities::NONE };
            drop(market.submit(party, Command::Acknowledge(deal)).unwrap());
        }
        drop(market.end_block());
        // Nobody has acknowledged the others in time.
        drop(market.begin_block(moment(3, TimeMs(60_000)), &[]));
        drop(market.end_block());
        market
    }

    /// All rows of a list, page after page, and what each page says of how many there are.
    fn walk<T>(
        mut page: impl FnMut(Option<u64>) -> (Vec<T>, u64),
        id: fn(&T) -> u64,
    ) -> (Vec<u64>, Vec<u64>) {
        let (mut ids, mut totals) = (Vec::new(), Vec::new());
        loop {
            let (rows, total) = page(ids.last().copied());
            totals.push(total);
            if rows.is_empty() {
                return (ids, totals);
            }
            ids.extend(rows.iter().map(id));
        }
    }

    #[test]
    fn pages_bring_everything_that_is_open_once_and_nothing_that_is_over() {
        let market = market();
        let deals = |state: &str, account| {
            let page = |below| {
                let filter = DealFilter {
                    limit: Some(ROWS_MAX),
                    below,
                    state: Some(state.into()),
                    account,
                    ..DealFilter::default()
                };
                let Ok(query) = filter.query() else { panic!("the filter makes sense") };
                let found = query(&market);
                (found.deals, found.total)
            };
            walk(page, |deal| deal.id.0)
        };
        let expected: Vec<u64> =
            market.deals().filter(|deal| !deal.is_over()).map(|deal| deal.id.0).rev().collect();
        assert_eq!(expected.len(), 1_500);
        let (ids, totals) = deals("open", None);
        assert_eq!(ids, expected);
        assert_eq!(totals, [1_500; 3], "two pages and the end");
        let (ids, totals) = deals("all", None);
        assert_eq!((ids.len(), totals), (3_000, vec![3_000; 4]));
        let one = market.deals().find(|deal| !deal.is_over()).unwrap();
        assert_eq!(deals("open", Some(one.renter)), (vec![one.id.0], vec![1, 1]));

        let orders = |below| {
            let filter = OrderFilter {
                limit: Some(ROWS_MAX),
                below,
                state: Some("open".into()),
                ..OrderFilter::default()
            };
            let Ok(query) = filter.query() else { panic!("the filter makes sense") };
            let found = query(&market);
            (found.orders, found.total)
        };
        let expected: Vec<u64> =
            market.orders().filter(|order| order.is_live()).map(|order| order.id.0).rev().collect();
        let (ids, totals) = walk(orders, |order| order.id.0);
        assert_eq!(ids, expected);
        // Of a deal that failed the ask's capacity is free again.
        let pages = expected.len().div_ceil(ROWS_MAX) + 1;
        assert_eq!(totals, vec![expected.len() as u64; pages]);
    }
}

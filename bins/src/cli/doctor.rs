//! `gongsuan provider doctor`: why there is no work, or what could keep it away.

use std::time::Instant;

use gongsuan_executor::pool::Backend as _;
use gongsuan_executor::verify::capacity::{self, Challenge};
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Cancel, Inputs, Job};
use gongsuan_ledger::genesis::Admission;
use gongsuan_market::Order;
use gongsuan_types::order::{Class, Side};
use gongsuan_types::{Address, Hash};
use serde::Serialize;
use serde_json::json;

use super::{Context, exit, output};
use crate::client::{Client, ClientError, Page};

/// A block from farther in the future than this means that this machine's clock is behind.
const SKEW_MS_MAX: u64 = 2_000;
/// What the machine is asked to show: memory of a lane in MiB, and steps.
const SHOW: (u32, u32) = (16, 2_000_000);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    /// What to do, where it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Finding {
    fn new(
        check: &'static str,
        ok: bool,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { check, ok, detail: detail.into(), next: (!ok).then(|| next.into()) }
    }
}

/// Looks at everything, prints it, and says whether all is well.
pub(super) fn run(context: &Context) -> anyhow::Result<u8> {
    let mut findings = vec![machine()];
    let client = context.client();
    findings.extend((0..client.nodes().len()).map(|index| node(&client.only(index))));
    let is_reachable = findings.iter().skip(1).any(|finding| finding.ok);
    let key = context.key().map(|key| key.address());
    let detail = key.as_ref().map_or_else(|error| format!("{error:#}"), Address::to_string);
    findings.push(Finding::new(
        "key",
        key.is_ok(),
        detail,
        "make one: gongsuan account new FILE, and name it with --key",
    ));
    if is_reachable {
        findings.push(clock(&client)?);
        if let Ok(me) = key {
            account(&client, me, &mut findings)?;
        }
    }
    let all_well = findings.iter().all(|finding| finding.ok);
    let value = json!({ "ok": all_well, "findings": findings });
    output::show(context.json, "gongsuan/doctor/v1", &value, || {
        let line = |finding: &Finding| {
            let mark = if finding.ok { "ok  " } else { "FAIL" };
            let next = finding.next.as_ref().map(|next| format!("\n           → {next}"));
            format!("{mark} {:<9} {}{}", finding.check, finding.detail, next.unwrap_or_default())
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(if all_well { 0 } else { exit::MISMATCH })
}

/// Whether a caged worker starts here, and how fast it is.
fn machine() -> Finding {
    let seed = Hash::of("gongsuan/doctor/v1", &crate::node::clock().0.to_le_bytes());
    let challenge = Challenge { seed, lanes: 1, mebibytes: SHOW.0, steps: SHOW.1 };
    let measure = || {
        let mut config = PoolConfig::new(std::env::current_exe()?, ["worker"]);
        (config.workers, config.require) = (1, true);
        let job = Job {
            module: gongsuan_executor::guests::CAPACITY.into(),
            spec: capacity::job(&challenge),
            segments: vec![0],
            inputs: Inputs::Shared(challenge.to_input().into()),
        };
        let start = Instant::now();
        let receipts = Pool::new(config).run(&job, &Cancel::new(), &mut |_| {})?;
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let fuel = receipts.first().map(|receipt| receipt.fuel).unwrap_or_default();
        anyhow::Ok(challenge.shown(fuel, elapsed))
    };
    let next = "jobs run in a cage of seccomp and landlock: a Linux kernel from 5.13 on has both";
    match measure() {
        Ok(rate) => {
            let detail = format!(
                "a caged worker burns {} Mfuel/s, its start and compiling included",
                rate / 1_000_000
            );
            Finding::new("machine", true, detail, next)
        }
        Err(error) => Finding::new("machine", false, format!("no worker: {error:#}"), next),
    }
}

fn node(client: &Client) -> Finding {
    let name = client.nodes().join(", ");
    let next = "start one with gongsuan cluster up, or name it with --node URL";
    match client.status() {
        Ok(status) => {
            let detail = format!("{name}: block {}, {} peers", status.height, status.peers.len());
            Finding::new("node", true, detail, next)
        }
        Err(error) => Finding::new("node", false, error.to_string(), next),
    }
}

fn clock(client: &Client) -> Result<Finding, ClientError> {
    let (block, here) = (client.status()?.time.0, crate::node::clock().0);
    let ok = block <= here + SKEW_MS_MAX;
    let detail = if ok {
        "not behind the chain's".to_owned()
    } else {
        format!("{} ms behind the chain's", block - here)
    };
    Ok(Finding::new(
        "clock",
        ok,
        detail,
        "set this machine's clock (NTP): deadlines are block time",
    ))
}

/// Role, money, offers and price of an account.
fn account(client: &Client, me: Address, findings: &mut Vec<Finding>) -> Result<(), ClientError> {
    let view = client.account(me)?;
    let admission = client.genesis()?.params.admission;
    let vetted = view.roles.iter().any(|role| role == "provider");
    let ok = vetted || admission == Admission::Open;
    let detail = if vetted {
        "vetted as a provider"
    } else if ok {
        "not vetted; this chain is open, but jobs may ask for vetted providers"
    } else {
        "not vetted as a provider"
    };
    let next = format!("an issuer grants it: gongsuan permit grant {me} provider --key ISSUER_KEY");
    findings.push(Finding::new("vetting", ok, detail, next));
    let money = view.balance.micro() > 0 || view.held.micro() > 0;
    let detail = format!("{} tokens free, {} held as deposits", view.balance, view.held);
    let next = "an offer holds a deposit of its price: ask somebody for tokens (gongsuan transfer)";
    findings.push(Finding::new("money", money, detail, next));
    let page = Page {
        limit: Some(1_000),
        open: true,
        account: Some(me),
        side: Some(Side::Ask),
        ..Page::default()
    };
    let own = client.orders(&page)?.orders;
    let seen = (0..client.nodes().len()).filter(|index| {
        let there = client.only(*index).orders(&page);
        there.is_ok_and(|there| !there.orders.is_empty())
    });
    let detail = format!(
        "{} live, visible from {} of {} nodes",
        own.len(),
        seen.count(),
        client.nodes().len()
    );
    let next = "list the machine: gongsuan provider join, or gongsuan provider run";
    findings.push(Finding::new("offer", !own.is_empty(), detail, next));
    let jobs = own.iter().filter(|ask| ask.class() == Class::WASM);
    if let Some(best) = jobs.map(Order::price).min() {
        findings.push(price(client, me, best)?);
    }
    Ok(())
}

/// How the cheapest own offer stands among those of others and the newest trades.
fn price(client: &Client, me: Address, own: gongsuan_types::Price) -> Result<Finding, ClientError> {
    let page = Page {
        limit: Some(1_000),
        open: true,
        side: Some(Side::Ask),
        class: Some(Class::WASM),
        ..Page::default()
    };
    let others: Vec<Order> =
        client.orders(&page)?.orders.into_iter().filter(|order| order.owner != me).collect();
    let cheaper = others.iter().filter(|order| order.price() < own).count();
    let traded = client.trades(Class::WASM, &Page { limit: Some(20), ..Page::default() })?.trades;
    let highest = traded.iter().map(|trade| trade.price).max();
    let trades = match highest {
        Some(price) => format!("the last {} trades were at most {price}", traded.len()),
        None => "nothing was traded yet".to_owned(),
    };
    let detail =
        format!("{own} per Gf; {cheaper} of {} other offers are cheaper; {trades}", others.len());
    let ok = highest.is_none_or(|highest| own <= highest) || cheaper == 0;
    let next = "others are taken first: offer less with gongsuan provider join --price";
    Ok(Finding::new("price", ok, detail, next))
}

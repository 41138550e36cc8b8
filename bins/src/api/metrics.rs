//! `GET /metrics`: what operators watch, in the `OpenMetrics` text format.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Server;
use super::answer::{ApiError, ask};
use crate::node::{Counts, View};

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape reads of the ledger.
struct Reading {
    height: u64,
    certified: u64,
    term: u64,
    leads: bool,
    block_time: u64,
    connected: usize,
    validators: usize,
    pool: (usize, usize),
    counts: Counts,
    listeners: usize,
}

impl Reading {
    fn of(view: &View<'_>) -> Self {
        let (state, progress) = (view.chain.state(), view.core.progress());
        Self {
            height: state.height().0,
            certified: view.certified.map_or(0, |(header, _)| header.height.0),
            term: progress.term.0,
            leads: Some(progress.leader) == progress.seat,
            block_time: state.time().0,
            connected: view.links.iter().filter(|(_, up)| *up).count(),
            validators: view.genesis.validators.len(),
            pool: (view.pool.count(), view.pool.bytes()),
            counts: view.counts,
            listeners: 0,
        }
    }
}

/// What operators watch, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = OK, description = "A scrape.", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(server): State<Server>) -> Result<impl IntoResponse, ApiError> {
    let mut reading = ask(&server, Reading::of).await?;
    reading.listeners = super::LISTENERS_MAX - server.listeners.available_permits();
    let totals = server.counters.totals();
    let mut registry = Registry::with_prefix("gongsuan");
    let mut gauge = |name: &str, help: &str, value: usize| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    gauge("height", "Blocks applied", number(reading.height));
    gauge(
        "certified_height",
        "The newest height whose state is certified",
        number(reading.certified),
    );
    gauge("term", "The term of consensus", number(reading.term));
    gauge("leader", "1 if this validator leads the term", usize::from(reading.leads));
    gauge(
        "block_time_milliseconds",
        "Time of the last block, since 1970",
        number(reading.block_time),
    );
    gauge("peers_connected", "Other validators whose links are up", reading.connected);
    gauge("validators", "Validators of this chain", reading.validators);
    gauge("pool_transactions", "Transactions waiting", reading.pool.0);
    gauge("pool_bytes", "Bytes of transactions waiting", reading.pool.1);
    gauge("event_listeners", "Clients that listen to events", reading.listeners);
    let mut counter = |name: &str, help: &str, value: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    counter(
        "votes_verified",
        "Consensus messages whose signatures were checked",
        totals.votes_verified,
    );
    counter(
        "votes_spared",
        "Consensus messages that did not have to be checked",
        totals.votes_spared,
    );
    counter("vote_log_syncs", "Syncs of the vote log", totals.syncs);
    counter("messages_refused", "Messages that did not decode or verify", totals.refused);
    let dropped = Family::<Vec<(&str, &str)>, Counter>::default();
    for (direction, count) in [("in", totals.dropped_in), ("out", totals.dropped_out)] {
        dropped.get_or_create(&vec![("direction", direction)]).inc_by(count);
    }
    registry.register("messages_dropped", "Messages that found their queue full", dropped);
    let transactions = Family::<Vec<(&str, &str)>, Counter>::default();
    let Counts { applied, failed, skipped } = reading.counts;
    for (status, count) in [("applied", applied), ("failed", failed), ("skipped", skipped)] {
        transactions.get_or_create(&vec![("status", status)]).inc_by(count);
    }
    registry.register(
        "transactions",
        "Transactions in blocks since this node started",
        transactions,
    );
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string");
    Ok(([(header::CONTENT_TYPE, KIND)], text))
}

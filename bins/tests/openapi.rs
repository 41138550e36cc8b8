//! The description of the API is whole, and what a node really answers is what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

use gongsuan::client::{Client, Of, Page};
use gongsuan_types::{DealId, Height, OrderId};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// What other programs are promised.
const PROMISED: &[&str] = &[
    "/v1/status",
    "/v1/tx",
    "/v1/tx/{id}",
    "/v1/blocks",
    "/v1/blocks/{height}",
    "/v1/headers/latest",
    "/v1/genesis",
    "/v1/accounts/{address}",
    "/v1/{kind}/{id}/history",
    "/v1/book/{unit}/{arch}",
    "/v1/orders",
    "/v1/orders/{id}",
    "/v1/orders/{id}/why",
    "/v1/deals",
    "/v1/deals/{id}",
    "/v1/deals/{id}/receipts",
    "/v1/deals/{id}/trail",
    "/v1/deals/{id}/letters",
    "/v1/anomalies",
    "/v1/providers",
    "/v1/identities",
    "/v1/identities/{address}",
    "/v1/validators",
    "/v1/supply",
    "/v1/proofs/{kind}/{id}",
    "/v1/blobs/{hash}",
    "/v1/blobs/{hash}/join",
    "/v1/pieces/{hash}",
    "/v1/events",
    "/v1/classes",
    "/v1/trades/{unit}/{arch}",
    "/metrics",
    "/healthz",
    "/readyz",
];

fn description() -> Value {
    serde_json::from_str(&gongsuan::api::description()).unwrap()
}

fn operations(api: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(m, o)| (path, m, o)))
}

fn walk(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            look(fields);
            fields.values().for_each(|value| walk(value, look));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_route_is_described_and_every_description_is_whole() {
    let api = description();
    assert_eq!(api["openapi"], "3.1.0");
    for path in PROMISED {
        assert!(api["paths"].get(path).is_some(), "{path} is not described");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&api) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} stands for two operations");
        assert!(
            operation["summary"].as_str().is_some_and(|text| text.len() > 3),
            "{method} {path}: no summary"
        );
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}: its tag");
        let error = "/responses/default/content/application~1json/schema/$ref";
        assert_eq!(
            operation.pointer(error),
            Some(&json!("#/components/schemas/ErrorBody")),
            "{method} {path}"
        );
        let empty = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&empty);
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let one = parameters.iter().find(|one| one["name"] == name && one["in"] == "path");
            assert!(one.is_some_and(|one| one["required"] == true), "{method} {path}: {name}");
        }
        for parameter in parameters {
            assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
        }
    }
    walk(&api, &mut |fields| {
        if let Some(Value::String(to)) = fields.get("$ref") {
            assert!(api.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
        }
        let signed =
            fields.get("format").is_some_and(|format| format == "int64" || format == "int32");
        assert!(
            !signed || fields.get("minimum") != Some(&json!(0)),
            "signed, from 0 on: {fields:?}"
        );
        let text = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(!text.contains("```"), "an example in Rust: {text}");
    });
    // The routes' file registers nothing without a description, but the description itself.
    let routes = include_str!("../src/api/routes.rs");
    assert_eq!(routes.matches(".route(").count(), 1);
}

/// Schemas under which nothing may be said that is not described.
struct Strict(Value);

impl Strict {
    fn new(api: &Value) -> Self {
        let mut components = api["components"].clone();
        let mut parts = BTreeSet::new();
        walk(&components, &mut |fields| {
            let all = fields.get("allOf").and_then(Value::as_array).into_iter().flatten();
            parts.extend(all.filter_map(|part| Some(part["$ref"].as_str()?.to_owned())));
        });
        for (name, schema) in components["schemas"].as_object_mut().unwrap() {
            if !parts.contains(&format!("#/components/schemas/{name}")) {
                close(schema);
            }
        }
        Self(components)
    }

    fn of(&self, schema: &Value) -> Validator {
        let mut root = schema.as_object().unwrap().clone();
        root.insert("components".into(), self.0.clone());
        jsonschema::options().build(&Value::Object(root)).unwrap()
    }
}

/// Forbids other fields in an object and in those inside it; parts of an `allOf` are closed as a whole.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let is_whole = fields.contains_key("allOf");
            let is_open = fields.contains_key("additionalProperties");
            if is_whole || (fields.contains_key("properties") && !is_open) {
                fields.insert("unevaluatedProperties".into(), json!(false));
            }
            for (key, value) in fields.iter_mut().filter(|(key, _)| *key != "allOf") {
                if key != "unevaluatedProperties" {
                    close(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct Api {
    url: String,
    description: Value,
    strict: Strict,
    checked: BTreeSet<(String, String)>,
}

impl Api {
    /// Asks, and checks the answer against what is described for its status.
    fn ask(&mut self, path: &str, real: &str, wanted: u16) -> Value {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("{}{real}", self.url)).call().unwrap();
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(status, wanted, "{real}: {text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let operation = &self.description["paths"][path]["get"];
        let key = if wanted == 200 { "200" } else { "default" };
        let schema = &operation["responses"][key]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path}: {key} is not described");
        let validator = self.strict.of(schema);
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{real}: {errors:#?}\n{value:#}");
        self.checked.insert((path.to_owned(), key.to_owned()));
        value
    }
}

#[test]
fn real_answers_are_as_described_and_the_typed_client_reads_them() {
    let out = tempfile::tempdir().unwrap();
    let (_demo, url) = common::demo(out.path());
    let description = description();
    let strict = Strict::new(&description);
    let mut api = Api { url: url.clone(), description, strict, checked: BTreeSet::new() };

    let status = api.ask("/v1/status", "/v1/status", 200);
    let head = status["height"].as_u64().unwrap();
    assert!(head > 5);
    for height in 1..=head {
        api.ask("/v1/blocks/{height}", &format!("/v1/blocks/{height}"), 200);
    }
    let blocks = api.ask("/v1/blocks", "/v1/blocks?limit=1000", 200);
    assert_eq!(blocks["blocks"].as_array().map(Vec::len), usize::try_from(head).ok());
    let deals = api.ask("/v1/deals", "/v1/deals?limit=2&state=all", 200);
    let deal = deals["deals"][0].clone();
    let (id, renter, bid) = (&deal["id"], deal["renter"].as_str().unwrap(), &deal["bid"]);
    let orders = api.ask("/v1/orders", "/v1/orders?class=giga-fuel/wasm", 200);
    for order in orders["orders"].as_array().unwrap() {
        api.ask("/v1/orders/{id}", &format!("/v1/orders/{}", order["id"]), 200);
        api.ask("/v1/orders/{id}/why", &format!("/v1/orders/{}/why", order["id"]), 200);
    }
    let history = format!("/v1/accounts/{renter}/history?limit=3");
    let history = api.ask("/v1/{kind}/{id}/history", &history, 200);
    let tx = history["rows"][0]["tx"].as_str().unwrap().to_owned();
    for (path, real) in [
        ("/v1/tx/{id}", format!("/v1/tx/{tx}")),
        ("/v1/tx/{id}", format!("/v1/tx/{}", "0".repeat(64))),
        ("/v1/headers/latest", "/v1/headers/latest".into()),
        ("/v1/genesis", "/v1/genesis".into()),
        ("/v1/validators", "/v1/validators".into()),
        ("/v1/supply", "/v1/supply".into()),
        ("/v1/accounts/{address}", format!("/v1/accounts/{renter}")),
        ("/v1/identities", "/v1/identities".into()),
        ("/v1/identities/{address}", format!("/v1/identities/{renter}")),
        ("/v1/providers", "/v1/providers".into()),
        ("/v1/{kind}/{id}/history", format!("/v1/deals/{id}/history")),
        ("/v1/{kind}/{id}/history", format!("/v1/orders/{bid}/history")),
        ("/v1/deals/{id}", format!("/v1/deals/{id}")),
        ("/v1/deals/{id}/receipts", format!("/v1/deals/{id}/receipts")),
        ("/v1/deals/{id}/trail", format!("/v1/deals/{id}/trail")),
        ("/v1/deals/{id}/letters", format!("/v1/deals/{id}/letters?to={renter}")),
        ("/v1/anomalies", "/v1/anomalies".into()),
        ("/v1/classes", "/v1/classes".into()),
        ("/v1/book/{unit}/{arch}", "/v1/book/giga-fuel/wasm".into()),
        ("/v1/book/{unit}/{arch}/{gpu}", "/v1/book/core-second/x86_64/gpu7".into()),
        ("/v1/trades/{unit}/{arch}", "/v1/trades/giga-fuel/wasm".into()),
        ("/v1/trades/{unit}/{arch}/{gpu}", "/v1/trades/core-second/x86_64/gpu7?limit=1".into()),
        ("/v1/proofs/{kind}/{id}", format!("/v1/proofs/deal/{id}")),
        ("/v1/proofs/{kind}/{id}", format!("/v1/proofs/account/{renter}")),
    ] {
        api.ask(path, &real, 200);
    }
    for (path, real, status) in [
        ("/v1/tx/{id}", "/v1/tx/xyz", 400),
        ("/v1/blocks/{height}", "/v1/blocks/999999999", 404),
        ("/v1/blocks", "/v1/blocks?limit=0", 400),
        ("/v1/blocks", "/v1/blocks?limit=many", 400),
        ("/v1/orders", "/v1/orders?colour=red", 400),
        ("/v1/orders/{id}", "/v1/orders/-1", 400),
        ("/v1/deals/{id}", "/v1/deals/999999", 404),
        ("/v1/deals/{id}/letters", "/v1/deals/1/letters", 400),
        ("/v1/accounts/{address}", "/v1/accounts/gs1nonsense", 400),
        ("/v1/accounts/{address}", "/v1/accounts/%ff%fe", 400),
        ("/v1/book/{unit}/{arch}", "/v1/book/giga-fuel/mips", 400),
        ("/v1/proofs/{kind}/{id}", "/v1/proofs/nothing/1", 400),
        ("/v1/{kind}/{id}/history", "/v1/towns/1/history", 404),
        ("/v1/blobs/{hash}", "/v1/blobs/0", 400),
        ("/v1/tx", "/v1/tx", 405),
    ] {
        if path == "/v1/tx" {
            // Only posted to; the form of the error is the same.
            api.description["paths"]["/v1/tx"]["get"] =
                api.description["paths"]["/v1/tx"]["post"].clone();
        }
        api.ask(path, real, status);
    }
    let undescribed: Vec<String> = operations(&api.description)
        .filter(|(_, method, operation)| {
            *method == "get"
                && operation.pointer("/responses/200/content/application~1json").is_some()
        })
        .map(|(path, _, _)| path.clone())
        .filter(|path| path != "/v1/tx" && !api.checked.contains(&(path.clone(), "200".into())))
        .collect();
    assert!(undescribed.is_empty(), "not asked for here: {undescribed:?}");

    // A message of the stream, as it stands in its line.
    let agent = ureq::Agent::new_with_defaults();
    let stream =
        agent.get(format!("{url}/v1/events")).header("last-event-id", "0:0").call().unwrap();
    let mut lines = BufReader::new(stream.into_body().into_reader()).lines();
    let data = lines.find_map(|line| line.unwrap().strip_prefix("data:").map(str::to_owned));
    let schema = json!({ "$ref": "#/components/schemas/BlockEvents" });
    let value: Value = serde_json::from_str(&data.unwrap()).unwrap();
    let validator = api.strict.of(&schema);
    assert!(
        validator.is_valid(&value),
        "{:?}",
        validator.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    // The check can fail: one field more, one less.
    let mut wrong = value;
    wrong["colour"] = json!("red");
    assert!(!validator.is_valid(&wrong));
    wrong.as_object_mut().unwrap().remove("colour");
    assert!(validator.is_valid(&wrong));
    wrong.as_object_mut().unwrap().remove("height");
    assert!(!validator.is_valid(&wrong));

    read_all(&Client::new([url]), &deal, head);
}

/// Every method of the typed client.
fn read_all(client: &Client, deal: &Value, head: u64) {
    let page = Page { limit: Some(3), ..Page::default() };
    let id = DealId(deal["id"].as_u64().unwrap());
    let bid = OrderId(deal["bid"].as_u64().unwrap());
    let status = client.status().unwrap();
    assert!(status.height >= Height(head));
    assert_eq!(client.genesis().unwrap().chain_id(), status.chain_id);
    assert_eq!(client.blocks(&page).unwrap().blocks.len(), 3);
    let block = client.block(Height(2)).unwrap();
    assert_eq!(block.header.hash(), block.hash);
    assert!(client.latest_header().unwrap().header.height <= status.height);
    assert_eq!(client.validators().unwrap().validators.len(), 4);
    assert!(client.supply().unwrap().equal);
    let deals = client.deals(&Page { order: Some(bid), ..Page::default() }).unwrap();
    assert!(deals.deals.iter().any(|deal| deal.id == id));
    let found = client.deal(id).unwrap();
    assert_eq!(client.account(found.renter).unwrap().address, found.renter);
    assert!(!client.identities().unwrap().identities.is_empty());
    let roles = client.identity(found.provider).unwrap().identities;
    assert!(roles.iter().any(|row| row.role == "provider"));
    assert!(!client.providers().unwrap().providers.is_empty());
    for of in [Of::Account(found.renter), Of::Order(bid), Of::Deal(id)] {
        let history = client.history(of, None).unwrap();
        let tx = history.rows.iter().find_map(|row| row.tx).unwrap();
        assert!(matches!(
            client.transaction(tx).unwrap(),
            gongsuan::api::wire::TxState::Committed { .. }
        ));
    }
    assert!(client.anomalies().unwrap().deals > 0);
    let class = client.classes().unwrap().classes[0].parse().unwrap();
    assert_eq!(client.book(class).unwrap().class, class);
    assert!(!client.trades(class, &page).unwrap().trades.is_empty());
    assert_eq!(client.orders(&page).unwrap().orders.len(), 3);
    assert_eq!(client.order(bid).unwrap().id, bid);
    assert_eq!(client.why(bid).unwrap().order, bid);
    assert!(client.trail(id).unwrap().whole);
    let receipts = client.deal_receipts(id).unwrap().receipts;
    assert_eq!(receipts.len(), found.terms.count as usize);
    assert_eq!(client.proof("deal", &id.to_string()).unwrap().kind, "deal");
    let output = client.blob(receipts[0].output).unwrap();
    assert_eq!(output.len(), receipts[0].output_bytes as usize);

    // The stream, broken off and continued: every block once.
    let mut events = client.events(Some("0:0")).unwrap();
    let first: Vec<u64> = events.by_ref().take(3).map(|block| block.unwrap().height.0).collect();
    let last = events.last_id().unwrap().to_owned();
    let again = client.events(Some(&last)).unwrap();
    let more: Vec<u64> = again.take(2).map(|block| block.unwrap().height.0).collect();
    assert_eq!([first, more].concat(), [1, 2, 3, 4, 5]);
}

//! The description of the API: put together from the handlers and the wire types, served at `/openapi.json`.

use gongsuan_ledger::Transaction;
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, License, OpenApi, Ref, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::wire::ErrorBody;

const TITLE: &str = "Gongsuan";
const ABOUT: &str = "One node of a chain on which compute is lent and rented. Numbers of money are micro-tokens in strings; times are \
     milliseconds since 1970; hashes and keys are hexadecimal; addresses begin with `gs1`. Every error has the same form: what was \
     wrong (`code`), where (`field`), what would have been accepted (`limit`), what came (`got`), and a sentence.";

/// Completes what the routes have collected: the title, the form of errors everywhere, descriptions without examples in Rust.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title(TITLE)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build();
    let components = api.components.take().unwrap_or_default();
    let (mut more, name) = (Vec::new(), ErrorBody::name());
    ErrorBody::schemas(&mut more);
    // What is inside `Signed` is not found by itself.
    Transaction::schemas(&mut more);
    more.push((Transaction::name().into_owned(), Transaction::schema()));
    let components = more
        .into_iter()
        .chain([(name.clone().into_owned(), ErrorBody::schema())])
        .fold(ComponentsBuilder::from(components), |all, (name, schema)| all.schema(name, schema));
    api.components = Some(components.build());
    for item in api.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post].into_iter().flatten() {
            refuse(operation, &name);
        }
    }
    api
}

/// Every operation may answer with an error.
fn refuse(operation: &mut Operation, name: &str) {
    let content = Content::new(Some(Ref::from_schema_name(name)));
    let response = ResponseBuilder::new()
        .description("A refusal: what, where, the limit, what came.")
        .content("application/json", content);
    operation.responses.responses.insert("default".to_owned(), response.build().into());
}

/// The description as JSON.
///
/// # Panics
/// Never: it has no maps with keys other than strings.
pub(super) fn to_json(api: &OpenApi) -> String {
    let mut value = serde_json::to_value(api).expect("a description is JSON");
    tidy(&mut value);
    value.to_string()
}

/// Cuts descriptions where their examples in Rust begin, and calls integers unsigned that are: `int64` would end at half of what is taken.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let unsigned = fields.get("minimum").is_some_and(|least| *least == 0);
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => {
                        let end = text.find("```").unwrap_or(text.len());
                        text.truncate(end);
                        text.truncate(text.trim_end().len());
                    }
                    Value::String(format)
                        if key == "format" && unsigned && format.starts_with("int") =>
                    {
                        format.insert(0, 'u');
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

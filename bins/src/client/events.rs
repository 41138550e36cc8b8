//! Listening: block by block, without a gap.

use std::io::{BufRead as _, BufReader};

use super::{Client, ClientError};
use crate::api::wire::BlockEvents;

/// A stream of events. When it breaks, [`Events::last_id`] is where [`Client::events`] goes on.
pub struct Events {
    node: String,
    lines: std::io::Lines<BufReader<ureq::BodyReader<'static>>>,
    last: Option<String>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("node", &self.node)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// The id of the last message.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last.as_deref()
    }

    fn read(&mut self) -> Result<Option<BlockEvents>, ClientError> {
        let malformed =
            |node: &str, reason: String| ClientError::Malformed { node: node.to_owned(), reason };
        let (mut data, mut id) = (String::new(), None);
        for line in self.lines.by_ref() {
            let line = line.map_err(|error| ClientError::Unreachable {
                tried: self.node.clone(),
                last: error.to_string(),
            })?;
            if line.is_empty() && !data.is_empty() {
                let block = serde_json::from_str(&data)
                    .map_err(|error| malformed(&self.node, error.to_string()))?;
                self.last = id.or_else(|| self.last.take());
                return Ok(Some(block));
            }
            match line.split_once(':') {
                Some(("data", text)) => data.push_str(text.trim_start()),
                Some(("id", text)) => id = Some(text.trim_start().to_owned()),
                // Comments keep the connection open; the kind of the event is always the same.
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Iterator for Events {
    type Item = Result<BlockEvents, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Client {
    /// Listens to the first node that answers: from now on, or from after the message with the id `last`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(&self, last: Option<&str>) -> Result<Events, ClientError> {
        self.first(|node| {
            let request = self.agent.get(format!("{node}/v1/events"));
            let request = request.config().timeout_global(None).build();
            let request = match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            };
            let answer = request.call().map_err(|error| super::Failure::Next(error.to_string()))?;
            if !answer.status().is_success() {
                return Err(match super::read::<serde_json::Value>(node, Ok(answer)) {
                    Err(failure) => failure,
                    Ok(_) => super::Failure::Next("it does not stream".into()),
                });
            }
            let lines = BufReader::new(answer.into_body().into_reader()).lines();
            Ok(Events { node: node.to_owned(), lines, last: last.map(str::to_owned) })
        })
    }
}

//! What every refusal of someone else's input says: what, where, limit, got.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A refusal in the form that receipts, the HTTP API and the command line show. Library errors are enums; they
/// convert into this where they leave the program.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code}: {field}, limit {limit}, got {got})")]
pub struct Refusal {
    /// A stable word for programs, such as `insufficient-funds`.
    pub code: Cow<'static, str>,
    /// The field at fault, such as `ops[2].amount`.
    pub field: Cow<'static, str>,
    /// What would have been accepted.
    pub limit: String,
    /// What came.
    pub got: String,
    /// One sentence for people; lower case, no full stop.
    pub message: String,
}

impl Refusal {
    /// A refusal with all its parts.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass numbers and text by value")]
    pub fn new(
        code: &'static str,
        field: &'static str,
        limit: impl ToString,
        got: impl ToString,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: Cow::Borrowed(code),
            field: Cow::Borrowed(field),
            limit: limit.to_string(),
            got: got.to_string(),
            message: message.into(),
        }
    }

    /// The same refusal with its field inside another: `amount` in `ops[2]` becomes `ops[2].amount`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = Cow::Owned(format!("{outer}.{}", self.field));
        self
    }
}

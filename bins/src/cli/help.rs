//! What to do next, for errors that have an answer.

use crate::client::ClientError;

/// A refusal's code and the next command.
const NEXT: &[(&str, &str)] = &[
    (
        "insufficient-funds",
        "see the balance with `gongsuan account show`; holds come back when orders expire or are stopped",
    ),
    (
        "not-vetted",
        "an issuer grants the role: `gongsuan permit grant ADDRESS ROLE --key ISSUER_KEY`",
    ),
    (
        "not-an-issuer",
        "sign with an issuer's key; who may attest roles: `gongsuan permit list ADDRESS`",
    ),
    ("not-yours", "sign with the key of the owner: --key FILE"),
    ("no-such-order", "orders that are there: `gongsuan market orders`"),
    ("no-such-deal", "a bid's deals: `gongsuan job status BID`"),
    ("closed", "what became of it: `gongsuan job status BID`"),
    ("too-many-orders", "withdraw one: `gongsuan job stop BID`; yours: `gongsuan job list --open`"),
    ("bad-nonce", "another program uses the same key: send again"),
    ("busy", "try again in a moment, or name more nodes with --node"),
    ("rate-limited", "slow down, or name more nodes with --node"),
    ("not-kept", "ask a node that keeps everything (retention \"archive\")"),
    ("bad-class", "orders and their classes: `gongsuan market orders`"),
];

/// By what was not there.
const MISSING: &[(&str, &str)] = &[
    ("order", "orders that are there: `gongsuan market orders`"),
    ("deal", "a bid's deals: `gongsuan job status BID`; your bids: `gongsuan job list`"),
    ("receipts", "they come with the provider's commitment: `gongsuan job status BID`"),
    ("blob", "nodes keep blobs for a while only: name the provider's node with --node"),
    ("height", "the newest block: `gongsuan cluster status`"),
];

/// The next step after an error of the client.
pub(super) fn of_client(error: &ClientError) -> Option<&'static str> {
    let find = |table: &[(&str, &'static str)], word: &str| {
        table.iter().find(|(known, _)| *known == word).map(|(_, help)| *help)
    };
    match error {
        ClientError::Unreachable { .. } => Some(
            "is a node running? start one with `gongsuan cluster up`, or name it with --node URL",
        ),
        ClientError::TimedOut(_) => Some(
            "does the chain go on? `gongsuan cluster status` shows heights; why an order waits: `gongsuan market why ORDER`",
        ),
        ClientError::Refused(refusal) if refusal.field.contains("machine.") => Some(
            "`gongsuan provider run` shows what this machine has and lists no more than that; what is listed: `gongsuan provider status`",
        ),
        ClientError::Refused(refusal) => find(NEXT, &refusal.code),
        ClientError::NotFound(refusal) => find(MISSING, &refusal.field),
        ClientError::Malformed { .. } => Some(
            "is it a node of this version? `gongsuan --version`; another one is named with --node URL",
        ),
    }
}

/// The next step after a file that cannot be used.
pub(super) fn of_usage(message: &str) -> Option<&'static str> {
    let table = [
        ("node.toml", "`gongsuan node init --home DIR --name NAME` writes one"),
        ("validator.key", "`gongsuan node init --home DIR --name NAME` makes one"),
        ("genesis.json", "`gongsuan node genesis` puts one together"),
        ("config.toml", "`gongsuan config init` prints one that works"),
        ("job.toml", "`gongsuan job init` prints one that works"),
        ("no key", "make one with `gongsuan account new FILE`"),
    ];
    table.iter().find(|(word, _)| message.contains(word)).map(|(_, help)| *help)
}

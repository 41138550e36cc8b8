//! `gongsuan account key`.

use gongsuan_types::Address;
use serde_json::json;

use super::{Context, exit, output};
use crate::envelope::Post;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the encryption key that an account has published; exit code 3 if there is none.
    Show {
        /// Whose; the key's own without it.
        address: Option<Address>,
    },
    /// Publish an encryption key: the first one, or the next instead of the present one. What was sealed to those before still opens.
    Rotate,
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<u8> {
    let client = context.client();
    let (address, found) = match command {
        Command::Show { address } => {
            let address = address.map_or_else(|| context.key().map(|key| key.address()), Ok)?;
            (address, client.account(address)?.encryption_key)
        }
        Command::Rotate => {
            let post = Post::new(&client, &context.key()?)?;
            (post.address(), Some(post.rotate()?))
        }
    };
    let value = json!({ "address": address, "encryption_key": found });
    output::show(context.json, "gongsuan/account-key/v1", &value, || match found {
        Some(found) => format!("{}  number {}, since {}", found.key, found.number, found.since),
        None => format!("{} has published no encryption key", address.short()),
    });
    Ok(if found.is_some() { 0 } else { exit::NOT_FOUND })
}

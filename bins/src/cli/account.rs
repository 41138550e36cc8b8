//! `gongsuan account`, `transfer`, `permit`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_ledger::{Op, Role};
use gongsuan_types::{Address, Amount, DealId, SecretKey, TimeMs};
use serde_json::json;

use super::{Context, output, usage};
use crate::api::wire::{AccountView, TxState};
use crate::keystore::Sealed;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key and store it under a password.
    New {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Store an existing key, given as 64 hexadecimal digits on standard input, under a password.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Print a stored key. Whoever reads it owns the account.
    Export {
        /// The file.
        file: PathBuf,
    },
    /// List the keystore files of a folder.
    List {
        /// The folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// The key to which others encrypt for this account.
    #[command(subcommand)]
    Key(super::account_key::Command),
    /// The addresses to which `provider run --payout fresh` has moved what single deals brought.
    Payouts,
    /// Store the key of such an address under a password, to spend what is there.
    Payout {
        /// The deal.
        deal: DealId,
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Show an account of the chain.
    Show {
        /// Whose; the key's own without it.
        address: Option<Address>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Password {
    /// The password, readable by every user of this machine.
    #[arg(long, value_name = "PASSWORD")]
    unsafe_password: Option<String>,
}

/// Pay somebody.
#[derive(Debug, clap::Args)]
pub(super) struct Transfer {
    /// Whom.
    to: Address,
    /// Tokens, with up to six decimals.
    amount: Amount,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Permit {
    /// Attest a role, as an issuer.
    Grant {
        /// Of whom.
        subject: Address,
        /// renter, provider, auditor, issuer or supervisor.
        role: Role,
        /// For how many days.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=366))]
        days: u64,
    },
    /// Take a role back, as an issuer.
    Revoke {
        /// Of whom.
        subject: Address,
        /// Which role.
        role: Role,
    },
    /// Roles of an account.
    List {
        /// Whose.
        address: Address,
    },
}

fn password(flag: Option<&str>, prompt: &str) -> anyhow::Result<String> {
    if let Some(password) = flag {
        return Ok(password.to_owned());
    }
    if let Some(path) = std::env::var_os("GONGSUAN_PASSWORD_FILE") {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("GONGSUAN_PASSWORD_FILE {}", path.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    rpassword::prompt_password(prompt)
        .context("no password: there is no terminal; use GONGSUAN_PASSWORD_FILE")
}

/// Opens a keystore file, or a plain key file of a development network.
pub(super) fn open_key(path: &Path) -> anyhow::Result<SecretKey> {
    let text = crate::node::config::read_file(path)?;
    if !text.trim_start().starts_with('{') {
        return Ok(crate::node::config::load_key(path)?);
    }
    let sealed = Sealed::read(path).with_context(|| path.display().to_string())?;
    let password = password(None, &format!("password of {}: ", path.display()))?;
    sealed.open(&password).with_context(|| path.display().to_string())
}

pub(super) fn store(
    file: &Path,
    key: &SecretKey,
    flag: &Password,
    context: &Context,
) -> anyhow::Result<u8> {
    let password = password(flag.unsafe_password.as_deref(), "new password: ")?;
    if password.is_empty() {
        return Err(usage("the password is empty"));
    }
    let sealed = Sealed::new(key, &password)?;
    sealed.write(file).with_context(|| file.display().to_string())?;
    let address = key.address();
    output::show(
        context.json,
        "gongsuan/account/v1",
        &json!({ "address": address, "file": file }),
        || format!("{address}  {}", file.display()),
    );
    Ok(0)
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::New { file, password } => {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut())
                .map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
            store(&file, &SecretKey::from_bytes(*bytes)?, &password, context)
        }
        Command::Import { file, password } => {
            let mut text = zeroize::Zeroizing::new(String::new());
            std::io::stdin().read_line(&mut text)?;
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|error| {
                usage(format!("standard input: expected 64 hexadecimal digits: {error}"))
            })?;
            store(&file, &SecretKey::from_bytes(*bytes)?, &password, context)
        }
        Command::Export { file } => {
            let key = open_key(&file)?;
            output::note("whoever reads this owns the account");
            let secret = hex::encode(key.to_bytes());
            output::show(context.json, "gongsuan/key/v1", &json!({ "key": secret }), || {
                secret.clone()
            });
            Ok(0)
        }
        Command::List { dir } => {
            let mut rows = Vec::new();
            for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
                let path = entry?.path();
                if let Ok(sealed) = Sealed::read(&path) {
                    rows.push((sealed.address, path));
                }
            }
            rows.sort();
            let value =
                rows.iter().map(|(a, p)| json!({ "address": a, "file": p })).collect::<Vec<_>>();
            output::show(
                context.json,
                "gongsuan/accounts/v1",
                &json!({ "accounts": value }),
                || {
                    let rows =
                        rows.iter().map(|(a, p)| vec![a.to_string(), p.display().to_string()]);
                    output::table(&["address", "file"], rows)
                },
            );
            Ok(0)
        }
        Command::Payouts => super::account_payout::list(context),
        Command::Payout { deal, file, password } => {
            super::account_payout::store(deal, &file, &password, context)
        }
        Command::Key(command) => super::account_key::run(&command, context),
        Command::Show { address } => {
            let address = match address {
                Some(address) => address,
                None => context.key()?.address(),
            };
            let view: AccountView = context.client().get(&format!("/v1/accounts/{address}"))?;
            output::show(
                context.json,
                "gongsuan/account/v1",
                &serde_json::to_value(&view)?,
                || {
                    format!(
                        "{}\nbalance {}\nheld    {}\nnonce   {}\nroles   {}",
                        view.address,
                        view.balance,
                        view.held,
                        view.nonce,
                        if view.roles.is_empty() {
                            "none".to_owned()
                        } else {
                            view.roles.join(", ")
                        }
                    )
                },
            );
            Ok(0)
        }
    }
}

/// Signs, submits and shows a transaction.
pub(super) fn execute(context: &Context, ops: &[Op]) -> anyhow::Result<TxState> {
    Ok(context.client().execute(&context.key()?, ops)?)
}

fn done(context: &Context, state: &TxState) -> anyhow::Result<u8> {
    output::show(context.json, "gongsuan/tx/v1", &serde_json::to_value(state)?, || match state {
        TxState::Committed { id, height, receipt, .. } => {
            format!("{id}  committed in block {} (fee {})", height, receipt.fee)
        }
        TxState::Pending { id } => format!("{id}  pending"),
        TxState::Unknown { id } => format!("{id}  unknown"),
    });
    Ok(0)
}

pub(super) fn transfer(args: &Transfer, context: &Context) -> anyhow::Result<u8> {
    let state = execute(context, &[Op::Transfer { to: args.to, amount: args.amount }])?;
    done(context, &state)
}

pub(super) fn permit(command: &Permit, context: &Context) -> anyhow::Result<u8> {
    let op = match *command {
        Permit::Grant { subject, role, days } => {
            let expires_at = TimeMs(crate::node::clock().0 + days * 86_400_000);
            Op::Grant { subject, role, expires_at }
        }
        Permit::Revoke { subject, role } => Op::Revoke { subject, role },
        Permit::List { address } => {
            let view: AccountView = context.client().get(&format!("/v1/accounts/{address}"))?;
            let value = json!({ "address": address, "roles": view.roles });
            output::show(context.json, "gongsuan/permits/v1", &value, || view.roles.join("\n"));
            return Ok(0);
        }
    };
    let state = execute(context, &[op])?;
    done(context, &state)
}

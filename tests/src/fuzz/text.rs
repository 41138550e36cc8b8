//! Targets that people type: keys, addresses, amounts, the parts of a request's path. And the first bytes of a link, which strangers send.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::OnceLock;

use gongsuan::audit::Subject;
use gongsuan::audit::subject::KINDS;
use gongsuan::net::{Channel, Identity};
use gongsuan_types::order::Class;
use gongsuan_types::{
    Address, Amount, Hash, Height, OrderId, Price, PublicKey, SecretKey, Signature,
};

use super::{Target, Verdict, world};

pub(super) const TARGETS: &[Target] = &[
    Target::new("text", text, || {
        let address = world::address("alice").to_string();
        let texts =
            [address.as_str(), "12.500001", "0.2", "giga-fuel/wasm", "17", &"5a".repeat(32)];
        texts.map(|text| text.as_bytes().to_vec()).to_vec()
    }),
    Target::new("proof-path", proof_path, || {
        let address = world::address("alice");
        let mut paths: Vec<String> = KINDS.iter().map(|(kind, _)| format!("{kind}/1")).collect();
        paths.push(format!("account/{address}"));
        paths.push(format!("attestation/{address}:provider"));
        paths.push("hold/escrow:3".into());
        paths.into_iter().map(String::into_bytes).collect()
    }),
    Target::new("secret-key", secret_key, || vec![vec![7; 32], vec![0xff; 32]]),
    Target::new("public-key", public_key, || {
        let key = SecretKey::from_seed(b"fuzz");
        let mut signed = key.public_key().0.to_vec();
        signed.extend(key.sign(&Hash::ZERO).0);
        vec![signed]
    }),
    Target::new("link-handshake", handshake, || vec![vec![0, 32], vec![0, 32, 1, 2, 3]]),
];

/// What is read is written in one way, which reads back as the same.
fn reads<T: FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    let written = value.to_string();
    let again = written.parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(&value), "`{text}` is written `{written}`");
    true
}

fn text(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let all = [
        reads::<Address>(text),
        reads::<Amount>(text),
        reads::<Price>(text),
        reads::<Hash>(text),
        reads::<Signature>(text),
        reads::<PublicKey>(text),
        reads::<Class>(text),
        reads::<Height>(text),
        reads::<OrderId>(text),
        reads::<gongsuan_ledger::Role>(text),
    ];
    if all.contains(&true) { Verdict::Accepted } else { Verdict::Refused }
}

/// `kind/id`, as in a request for a proof.
fn proof_path(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let Some((kind, id)) = text.split_once('/') else { return Verdict::Refused };
    match Subject::parse(kind, id) {
        Ok(subject) => {
            let (kind, id) = subject.name();
            assert_eq!(Subject::parse(kind, &id), Ok(subject), "{text} is written {kind}/{id}");
            Verdict::Accepted
        }
        Err(refusal) => {
            assert!(refusal.got.len() <= 400, "a refusal repeats what it was sent");
            Verdict::Refused
        }
    }
}

fn secret_key(bytes: &[u8]) -> Verdict {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else { return Verdict::Refused };
    let Ok(key) = SecretKey::from_bytes(bytes) else { return Verdict::Refused };
    key.public_key().check().expect("a key's own point is on the curve");
    // A secret and its negation are one key (BIP340 knows points by x alone); it is written as the one whose point has an even y.
    let written = key.to_bytes();
    let again = SecretKey::from_bytes(written).expect("what was written is read");
    assert_eq!((again.to_bytes(), again.public_key()), (written, key.public_key()));
    Verdict::Accepted
}

/// A public key and a signature: no signature but its own is good.
fn public_key(bytes: &[u8]) -> Verdict {
    let (Some(key), Some(signature)) =
        (bytes.first_chunk::<32>(), bytes.get(32..).and_then(|rest| rest.first_chunk::<64>()))
    else {
        return Verdict::Refused;
    };
    let (key, signature) = (PublicKey(*key), Signature(*signature));
    if key.check().is_err() {
        assert!(key.verify(&Hash::ZERO, &signature).is_err(), "a key off the curve signs");
        return Verdict::Refused;
    }
    if key.verify(&Hash::ZERO, &signature).is_ok() {
        let own = SecretKey::from_seed(b"fuzz");
        assert_eq!((key, signature), (own.public_key(), own.sign(&Hash::ZERO)), "forged");
    }
    Verdict::Accepted
}

/// Whatever a stranger sends first, no link comes of it.
fn handshake(bytes: &[u8]) -> Verdict {
    static LISTENER: OnceLock<TcpListener> = OnceLock::new();
    let listener =
        LISTENER.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a loopback port"));
    let world = world::get();
    let (key, chain_id) = (SecretKey::from_seed(b"validator 0"), world.chain_id);
    let identity = Identity { key, chain_id, port: 0 };
    let address = listener.local_addr().expect("it is bound");
    let mut stranger = TcpStream::connect(address).expect("loopback");
    let (ours, _) = listener.accept().expect("loopback");
    // The rest of what is sent may find the link closed already.
    drop(stranger.write_all(bytes));
    drop(stranger.shutdown(std::net::Shutdown::Write));
    assert!(Channel::accept(ours, &identity).is_err(), "a stranger is a peer");
    Verdict::Refused
}

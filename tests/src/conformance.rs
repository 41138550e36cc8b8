//! One hash per wire type over the encodings of a thousand seeded values.
//!
//! The hashes stand in `tests/conformance.toml`. A test that fails here means: bytes that nodes sign, hash, send or
//! store have changed. If that was meant, raise the type's version and run with `CONFORMANCE=write`.

use std::collections::BTreeMap;

use gongsuan_types::{Hasher, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arbitrary::{Stream, value};

/// Values hashed per type.
pub const VALUES: usize = 1024;

/// Bytes of one encoding, at most.
const LIMIT: usize = 1 << 20;

/// The hashes of the types asked for so far, by name.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<String, String>);

impl Table {
    /// Adds a type: its values must read back equal from their canonical bytes, and their bytes are hashed.
    ///
    /// # Panics
    /// If a value does not read back, or the name is there already.
    pub fn add<T>(&mut self, name: &str)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let seed = gongsuan_types::Hash::of("gongsuan/conformance/v1", name.as_bytes()).to_u64();
        let mut stream = Stream::new(seed);
        let mut hasher = Hasher::new("gongsuan/conformance/v1");
        for _ in 0..VALUES {
            let drawn: T = value(&mut stream);
            let bytes = codec::encode(&drawn);
            match codec::decode::<T>("value", LIMIT, &bytes) {
                Ok(back) => assert_eq!(back, drawn, "{name} changes when it is read back"),
                Err(error) => panic!("{name} does not read back: {error}\n{drawn:?}"),
            }
            hasher.part(&bytes);
        }
        let before = self.0.insert(name.to_owned(), hasher.finish().to_string());
        assert!(before.is_none(), "{name} is in the table twice");
    }

    /// The table as it stands in the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Hashes of seeded encodings, one per wire type. Written by `CONFORMANCE=write cargo test -p gongsuan-tests`.\n",
        );
        for (name, hash) in &self.0 {
            text.push_str(&format!("{name} = \"{hash}\"\n"));
        }
        text
    }
}

//! Fixed-size byte strings: raw bytes on the wire, text where people read.

/// A newtype over `[u8; N]` that encodes as exactly N bytes in the canonical codec and as a string in
/// human-readable formats, through its own `Display` and `FromStr`.
macro_rules! byte_string {
    ($name:ident, $len:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    return s.collect_str(self);
                }
                use serde::ser::SerializeTuple;
                let mut tuple = s.serialize_tuple($len)?;
                for byte in &self.0 {
                    tuple.serialize_element(byte)?;
                }
                tuple.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Raw;
                impl<'de> serde::de::Visitor<'de> for Raw {
                    type Value = [u8; $len];
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "{} bytes", $len)
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(
                        self,
                        mut seq: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut out = [0; $len];
                        for (index, slot) in out.iter_mut().enumerate() {
                            *slot = seq
                                .next_element()?
                                .ok_or_else(|| serde::de::Error::invalid_length(index, &self))?;
                        }
                        Ok(out)
                    }
                }
                if d.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                    return text.parse().map_err(serde::de::Error::custom);
                }
                d.deserialize_tuple($len, Raw).map(Self)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

/// `Display` and `FromStr` as lower-case hexadecimal.
macro_rules! hex_text {
    ($name:ident, $len:expr) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::hash::HexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut out = [0; $len];
                hex::decode_to_slice(text, &mut out).map_err(|source| crate::hash::HexError {
                    expected_len: 2 * $len,
                    got_len: text.len(),
                    source,
                })?;
                Ok(Self(out))
            }
        }
    };
}

pub(crate) use {byte_string, hex_text};

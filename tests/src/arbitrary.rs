//! Values of any `Deserialize` type from a seed.
//!
//! A serde deserialiser that reads nothing: it answers every question of the type with pseudo-random data. So no
//! type needs a generator of its own, and a new field or variant is covered the day it is added.

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

/// A stream of pseudo-random numbers (splitmix64): small, and the same everywhere for ever.
#[derive(Debug, Clone)]
pub struct Stream(u64);

impl Stream {
    /// A stream that depends on nothing but the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not zero).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// A number of random width: small ones, large ones and the extremes are all frequent.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            _ => self.next_u64() >> self.below(64),
        }
    }
}

/// Why no value came out: a type refused what it was offered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl de::Error for Refused {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A value of `T` drawn from the stream. Types that validate while they decode may refuse a draw; up to a hundred
/// are tried.
///
/// # Panics
/// If the type refuses a hundred draws in a row: give it a generator of its own.
pub fn value<T: DeserializeOwned>(stream: &mut Stream) -> T {
    let mut last = None;
    for _ in 0..100 {
        match T::deserialize(Draw(stream)) {
            Ok(value) => return value,
            Err(refused) => last = Some(refused),
        }
    }
    panic!("{} refused a hundred draws: {last:?}", std::any::type_name::<T>());
}

struct Draw<'a>(&'a mut Stream);

impl<'de> de::Deserializer<'de> for Draw<'_> {
    type Error = Refused;

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i8(i8::from_le_bytes([self.0.number().to_le_bytes()[0]]))
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let [a, b, ..] = self.0.number().to_le_bytes();
        visitor.visit_i16(i16::from_le_bytes([a, b]))
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let [a, b, c, d, ..] = self.0.number().to_le_bytes();
        visitor.visit_i32(i32::from_le_bytes([a, b, c, d]))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i64(self.0.number().cast_signed())
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u8((self.0.next_u64() >> 56).to_le_bytes()[0])
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let [a, b, ..] = self.0.number().to_le_bytes();
        visitor.visit_u16(u16::from_le_bytes([a, b]))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let [a, b, c, d, ..] = self.0.number().to_le_bytes();
        visitor.visit_u32(u32::from_le_bytes([a, b, c, d]))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u64(self.0.number())
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u128(u128::from(self.0.number()) << 64 | u128::from(self.0.number()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(self.0.below(2) == 1)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_char(char::from(b'a' + self.0.below(26).to_le_bytes()[0]))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let len = self.0.below(20);
        let text = (0..len).map(|_| char::from(b' ' + self.0.below(95).to_le_bytes()[0])).collect();
        visitor.visit_string(text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let len = self.0.below(40);
        visitor.visit_byte_buf((0..len).map(|_| self.0.below(256).to_le_bytes()[0]).collect())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.0.below(3) == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.0.below(5);
        visitor.visit_seq(Many { stream: self.0, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Many { stream: self.0, left: len as u64 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.0.below(5);
        visitor.visit_map(Many { stream: self.0, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_enum(Variant { stream: self.0, count: variants.len() as u64 })
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! { f32 f64 i128 identifier ignored_any }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Refused> {
        Err(Refused("wire types have no floats and describe themselves".to_owned()))
    }
}

struct Many<'a> {
    stream: &'a mut Stream,
    left: u64,
}

impl<'de> de::SeqAccess<'de> for Many<'_> {
    type Error = Refused;
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(Draw(self.stream)).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for Many<'_> {
    type Error = Refused;
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        de::SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(Draw(self.stream))
    }
}

struct Variant<'a> {
    stream: &'a mut Stream,
    count: u64,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Refused;
    type Variant = Draw<'a>;
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Refused> {
        let index = u32::try_from(self.stream.below(self.count))
            .map_err(|_| Refused("an enum of too many variants".to_owned()))?;
        let picked = seed.deserialize(IntoDeserializer::<Refused>::into_deserializer(index))?;
        Ok((picked, Draw(self.stream)))
    }
}

impl<'de> de::VariantAccess<'de> for Draw<'_> {
    type Error = Refused;
    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_values_and_all_variants_appear() {
        let draw = |seed| -> Vec<gongsuan_types::receipt::Status> {
            let mut stream = Stream::new(seed);
            (0..200).map(|_| value(&mut stream)).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        use gongsuan_types::receipt::Status;
        let seen = draw(1);
        assert!(seen.iter().any(|s| matches!(s, Status::Exit(_))));
        assert!(seen.iter().any(|s| matches!(s, Status::Trap(_))));
        assert!(seen.contains(&Status::OutOfFuel));
    }
}

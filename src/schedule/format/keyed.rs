//! One entry of a map, its key read and its value not, as the variant of an enum: lets a derived, externally tagged enum
//! be read out of a map that has other entries too, with nothing buffered, so that errors keep their paths.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, VariantAccess, Visitor,
};

pub(super) struct Keyed<'a, A> {
    pub key: &'a str,
    pub map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Keyed<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, 'a, A: MapAccess<'de>> EnumAccess<'de> for Keyed<'a, A> {
    type Error = A::Error;
    type Variant = Value<'a, A>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Value<'a, A>), A::Error> {
        let variant = seed.deserialize(self.key.into_deserializer())?;
        Ok((variant, Value(self.map)))
    }
}

pub(super) struct Value<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Value<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(Error::custom("it lacks its value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Fields { visitor, names: None, lifetime: PhantomData })
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Fields { visitor, names: Some(names), lifetime: PhantomData })
    }
}

/// The fields of a struct or tuple variant.
struct Fields<'de, V> {
    visitor: V,
    names: Option<&'static [&'static str]>,
    lifetime: PhantomData<&'de ()>,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<'de, V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.names {
            Some(names) => deserializer.deserialize_struct("", names, self.visitor),
            None => deserializer.deserialize_seq(self.visitor),
        }
    }
}

/// Nothing but `{}`.
#[derive(Debug, Clone, Copy, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

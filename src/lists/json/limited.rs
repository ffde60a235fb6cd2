//! Reads a JSON value and keeps only its first parts, because one key can contain a whole file.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The longest string that is kept, in bytes; a longer one is truncated.
const MAX_STRING: usize = 4096;

/// Reads a value and keeps a limited number of its parts; others are skipped.
#[derive(Clone, Copy)]
pub(super) struct LimitedValue<'b> {
    left: &'b Cell<usize>,
}

impl<'b> LimitedValue<'b> {
    pub(super) fn new(left: &'b Cell<usize>) -> LimitedValue<'b> {
        LimitedValue { left }
    }

    /// Whether another part may be kept.
    fn keeps(self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

impl<'de> DeserializeSeed<'de> for LimitedValue<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LimitedValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text[..text.floor_char_boundary(MAX_STRING)].into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while self.keeps() {
            match items.next_element_seed(self)? {
                Some(v) => out.push(v),
                None => return Ok(out.into()),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while self.keeps() {
            match map.next_key::<String>()? {
                Some(key) => drop(out.insert(key, map.next_value_seed(self)?)),
                None => return Ok(out.into()),
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(out.into())
    }
}

//! Lists in JSON that end where they cannot be right any more.
//!
//! Invariant: an element becomes a value of its type at once, and a list that is too long is an error
//! before it is in memory.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};

use super::log::DamagedPack;
use super::manifest::BackupV1;
use crate::model::{BackupId, SegmentId};

/// Live index segments: writers merge them when there are a dozen, unless they are large.
pub(super) const SEGMENTS: usize = 16_384;
/// Paths that a backup was given.
const PATHS: usize = 1 << 20;
/// Tags of a backup, and entries that it could not read and names.
const NAMES: usize = 1 << 16;

/// A list of at most `N` elements.
struct List<T> {
    most: usize,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<T>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} elements", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == self.most {
                return Err(A::Error::custom("the list is too long"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    most: usize,
) -> Result<Vec<T>, D::Error> {
    let item = PhantomData;
    List { most, item }.deserialize(from)
}

/// Paths of a backup.
pub(super) fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, PATHS)
}

/// Tags, or what else a backup has few of.
pub(super) fn names<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    list(from, NAMES)
}

/// Numbers of groups of a pack.
pub(super) fn groups<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    list(from, super::limits::PACK_GROUPS as usize)
}

/// Packs with damaged groups.
pub(super) fn damaged<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DamagedPack>, D::Error> {
    list(from, usize::MAX)
}

/// An id, from its text without a copy of that.
struct Id<T>(T);

impl<'de, T: FromStr> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr> Visitor<'_> for Text<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
                text.parse().map_err(|_| E::custom("not an id"))
            }
        }
        from.deserialize_str(Text(PhantomData)).map(Self)
    }
}

/// Ids, as many as there are: each takes less than its text.
pub(super) struct Ids<T>(pub(super) Vec<T>);

impl<'de, T: FromStr> Deserialize<'de> for Ids<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ids = list::<Id<T>, D>(from, usize::MAX)?;
        Ok(Self(ids.into_iter().map(|id| id.0).collect()))
    }
}

/// Ids of index segments: each costs a request.
pub(super) struct Segments(pub(super) Vec<SegmentId>);

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ids = list::<Id<SegmentId>, D>(from, SEGMENTS)?;
        Ok(Self(ids.into_iter().map(|id| id.0).collect()))
    }
}

/// Backups by id or with all that is known of them, as two types of entry have them.
pub(super) enum Listed {
    Ids(Vec<BackupId>),
    Descriptions(Vec<BackupV1>),
}

enum ListedOne {
    Id(BackupId),
    Description(Box<BackupV1>),
}

impl<'de> Deserialize<'de> for ListedOne {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = ListedOne;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a backup or its id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ListedOne, E> {
                let id = text.parse().map_err(|_| E::custom("not an id"))?;
                Ok(ListedOne::Id(id))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListedOne, A::Error> {
                let backup = BackupV1::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(ListedOne::Description(Box::new(backup)))
            }
        }
        from.deserialize_any(One)
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of backups or of their ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed, A::Error> {
                let mixed = || A::Error::custom("ids and backups in one list");
                let mut ids = Vec::new();
                let mut backups = Vec::new();
                while let Some(one) = seq.next_element()? {
                    match one {
                        ListedOne::Id(id) if backups.is_empty() => ids.push(id),
                        ListedOne::Description(backup) if ids.is_empty() => backups.push(*backup),
                        _ => return Err(mixed()),
                    }
                }
                Ok(match ids.is_empty() {
                    true => Listed::Descriptions(backups),
                    false => Listed::Ids(ids),
                })
            }
        }
        from.deserialize_seq(All)
    }
}

//! Size limits for lists in JSON.
//!
//! Invariant: each element is converted to a value of its type at once, and a list that is too long is an error before all of it is in
//! memory.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};

use super::log::DamagedPack;
use super::manifest::Described;
use crate::model::{Backup, BackupId, SegmentId};

/// Maximum live index segments. Writers merge small segments when there are about a dozen.
pub(super) const SEGMENTS: usize = 16_384;
/// Maximum paths of a backup.
const PATHS: usize = 1 << 20;
/// Maximum tags of a backup, and maximum entries that it names as unread.
const NAMES: usize = 1 << 16;

/// Deserializes a list of at most `most` elements.
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

/// A backup's paths.
pub(super) fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, PATHS)
}

/// A backup's tags or unread entries.
pub(super) fn names<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    list(from, NAMES)
}

/// Group numbers of a pack.
pub(super) fn groups<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    list(from, super::limits::PACK_GROUPS as usize)
}

/// Packs with damaged groups.
pub(super) fn damaged<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DamagedPack>, D::Error> {
    list(from, usize::MAX)
}

/// An id, parsed from its text without copying the text.
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

/// Any number of ids: an id needs less memory than its text.
pub(super) struct Ids<T>(pub(super) Vec<T>);

impl<'de, T: FromStr> Deserialize<'de> for Ids<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ids = list::<Id<T>, D>(from, usize::MAX)?;
        Ok(Self(ids.into_iter().map(|id| id.0).collect()))
    }
}

/// Ids of index segments. Their number is limited, because reading each segment needs a request.
pub(super) struct Segments(pub(super) Vec<SegmentId>);

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ids = list::<Id<SegmentId>, D>(from, SEGMENTS)?;
        Ok(Self(ids.into_iter().map(|id| id.0).collect()))
    }
}

/// Backups by id or by full description: each of the two is used by one type of log entry.
pub(super) enum Listed {
    Ids(Vec<BackupId>),
    Descriptions(Vec<Arc<Backup>>),
}

enum ListedOne {
    Id(BackupId),
    Description(Arc<Backup>),
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
                let backup = Described::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(ListedOne::Description(backup.0))
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
                        ListedOne::Description(backup) if ids.is_empty() => backups.push(backup),
                        _ => return Err(mixed()),
                    }
                }
                Ok(if ids.is_empty() {
                    Listed::Descriptions(backups)
                } else {
                    Listed::Ids(ids)
                })
            }
        }
        from.deserialize_seq(All)
    }
}

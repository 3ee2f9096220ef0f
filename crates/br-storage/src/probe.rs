//! Tests of what a store supports.
//!
//! [`Storage::probe`] tests the operations that a repository depends on and returns [`Capabilities`].
//! [`Storage::measure`] times requests and returns a [`Speed`]. Invariant: both use only their own objects
//! below `probe` and delete them afterwards.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind, Operation, Result},
    payload::Payload,
    storage::Storage,
};

/// The folder for the test objects.
const FOLDER: &str = "probe";
/// The number of concurrent writers of one key.
const RACERS: u8 = 4;

/// What a store supports, according to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The store refuses a second object of one key, and exactly one of several concurrent writers succeeds.
    pub exclusive_create: bool,
    /// A range of an object can be read.
    pub ranges: bool,
    /// A listing shows objects that were just written, and no objects that were just deleted.
    pub fresh_lists: bool,
    /// Objects can be deleted.
    pub deletes: bool,
}

/// The result of a conditional write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raw {
    Created,
    Refused,
    Unknown,
}

/// How fast a store is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Speed {
    /// Median time of writing an object of a few bytes.
    pub write_latency: Duration,
    /// Median time of reading an object of a few bytes.
    pub read_latency: Duration,
    /// Bytes written in a second, with several concurrent requests.
    pub write_rate: f64,
    /// Bytes read in a second, with several concurrent requests.
    pub read_rate: f64,
}

impl Storage {
    /// Tests what the store supports with objects `probe/<name>…`, which are deleted afterwards. No process
    /// may have used `name` before: use a random one.
    ///
    /// # Errors
    ///
    /// Any error that prevents the objects from being written and read; [`ErrorKind::Unsupported`] if a read
    /// does not return the bytes that were written.
    pub async fn probe(&self, name: &str) -> Result<Capabilities> {
        // A lost response looks like a missing capability. It is unlikely to happen twice.
        match self.probe_once(&format!("{name}-1")).await {
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            Ok(found) if found.exclusive_create => return Ok(found),
            _ => {}
        }
        self.probe_once(&format!("{name}-2")).await
    }

    async fn probe_once(&self, name: &str) -> Result<Capabilities> {
        let key = |what: &str| format!("{FOLDER}/{name}-{what}");
        let keys = [key("create"), key("race")];
        let found = self.try_out(&keys[0], &keys[1]).await;
        let failed = self.delete_all(keys.to_vec()).await;
        self.forget_folder();
        let mut found = found?;
        found.deletes = failed.is_empty();
        if found.deletes {
            let left = self.list(FOLDER).await?;
            found.fresh_lists &= !left.iter().any(|object| keys.contains(&object.key));
        }
        Ok(found)
    }

    async fn try_out(&self, once: &str, race: &str) -> Result<Capabilities> {
        let bytes: Vec<u8> = (0..=255).collect();
        // No other writer has the key. If it is taken, it holds our own object, and the response was lost.
        let created = self.create_raw(once, &bytes).await?;
        let refused = self.create_raw(once, &[1]).await? == Raw::Refused;
        let mut exclusive = created != Raw::Unknown && refused;
        if !exclusive {
            self.overwrite_raw(once, &bytes).await?;
        }
        let whole = self.get(once, 1000).await?;
        if whole != bytes {
            return Err(self.probe_error("a read did not return the bytes that were written"));
        }
        if exclusive {
            exclusive = self.has_one_winner(race).await?;
        }
        let listed = self.list(FOLDER).await?;
        let is_listed = |key: &str, size: usize| {
            let same = |object: &crate::ObjectInfo| object.key == key && object.size == size as u64;
            listed.iter().any(same)
        };
        Ok(Capabilities {
            exclusive_create: exclusive,
            ranges: self.has_ranges(once, &whole).await?,
            fresh_lists: is_listed(once, bytes.len()),
            deletes: true,
        })
    }

    /// Lets several writers write one key at the same time. At most one write reports success (its response
    /// may get lost), and the object has the bytes of that writer.
    async fn has_one_winner(&self, key: &str) -> Result<bool> {
        let racers: Vec<_> = (0..RACERS).map(|racer| vec![racer; 100]).collect();
        let races = racers.iter().map(|racer| self.create_raw(key, racer));
        let results = join_all(races)
            .await
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let mut winners = (0..)
            .zip(&results)
            .filter(|(_, result)| **result == Raw::Created);
        let (winner, other) = (winners.next(), winners.next());
        let there = self.get(key, 1000).await?;
        Ok(match (winner, other) {
            (Some((winner, _)), None) => there == racers[winner],
            (None, _) => racers.iter().any(|racer| there == *racer),
            _ => false,
        })
    }

    async fn has_ranges(&self, key: &str, whole: &Bytes) -> Result<bool> {
        let part = self.get_range(key, 0..1).await;
        match part {
            Ok(part) if part == whole[..1] => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(_) => return Ok(false),
        }
        let suffix = self.get_suffix(key, 1).await?;
        Ok(suffix.0 == whole[whole.len() - 1..] && suffix.1 == whole.len() as u64)
    }

    /// Creates an object without settling the result: the response of the store is what the probe tests.
    async fn create_raw(&self, key: &str, bytes: &[u8]) -> Result<Raw> {
        use object_store::Error as E;
        let path = self.path(Operation::Probe, key)?;
        let options = PutOptions::from(PutMode::Create);
        let payload = bytes.to_vec().into();
        match self.store().put_opts(&path, payload, options).await {
            Ok(_) => Ok(Raw::Created),
            Err(E::AlreadyExists { .. } | E::Precondition { .. }) => Ok(Raw::Refused),
            Err(error) => {
                let error = self.store_error(Operation::Probe, "", &error);
                match error.kind() {
                    // A store without conditional writes returns an error.
                    ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::Other => {
                        Ok(Raw::Unknown)
                    }
                    _ => Err(error),
                }
            }
        }
    }

    async fn overwrite_raw(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(Operation::Probe, key)?;
        let put = self.store().put(&path, bytes.to_vec().into()).await;
        put.map(drop)
            .map_err(|error| self.store_error(Operation::Probe, "", &error))
    }

    /// Measures the speed of the store: writes and reads `rounds` small objects one after the other and
    /// `rounds` objects of `len` bytes at once, below `probe/<name>…`.
    ///
    /// # Errors
    ///
    /// As for [`Storage::create_new`] and [`Storage::get`].
    pub async fn measure(&self, name: &str, rounds: usize, len: usize) -> Result<Speed> {
        let key = |what: &str, round: usize| format!("{FOLDER}/{name}-{what}-{round}");
        let mut keys = Vec::new();
        let measured = self.measure_with(rounds, len, &mut keys, &key).await;
        let _ = self.delete_all(keys).await;
        self.forget_folder();
        measured
    }

    async fn measure_with(
        &self,
        rounds: usize,
        len: usize,
        keys: &mut Vec<String>,
        key: &impl Fn(&str, usize) -> String,
    ) -> Result<Speed> {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for round in 0..rounds.max(1) {
            let key = key("small", round);
            keys.push(key.clone());
            let start = Instant::now();
            let _ = self.create_new(&key, vec![0; 64].into()).await?;
            writes.push(start.elapsed());
            let start = Instant::now();
            self.get(&key, 64).await?;
            reads.push(start.elapsed());
        }
        let payload = incompressible(len);
        let large: Vec<_> = (0..rounds.max(1))
            .map(|round| key("large", round))
            .collect();
        keys.extend(large.iter().cloned());
        let start = Instant::now();
        for done in join_all(
            large
                .iter()
                .map(|key| self.create_new(key, payload.clone())),
        )
        .await
        {
            let _ = done?;
        }
        let write_rate = (large.len() * len) as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        for done in join_all(large.iter().map(|key| self.get(key, len as u64))).await {
            done?;
        }
        Ok(Speed {
            write_latency: median(writes),
            read_latency: median(reads),
            write_rate,
            read_rate: (large.len() * len) as f64 / start.elapsed().as_secs_f64(),
        })
    }

    /// Removes the empty folder, which only a disk keeps.
    fn forget_folder(&self) {
        if let Some(disk) = self.disk() {
            disk.remove_empty(FOLDER);
        }
    }

    fn probe_error(&self, cause: &str) -> Error {
        let place = self.location_text();
        Error::new(ErrorKind::Unsupported, Operation::Probe, None, place, cause)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Returns bytes that no network link can compress. A multiplicative generator (Lehmer) is enough.
fn incompressible(len: usize) -> Payload {
    let mut state = 0x9e37_79b9_7f4a_7c15_u128;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5);
        bytes.extend_from_slice(&((state >> 64) as u64).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

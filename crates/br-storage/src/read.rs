//! Reading objects.
//!
//! The methods of [`Storage`] which read an object or a part of it. Invariant: what is returned
//! has exactly the length that was asked for; anything else is an error.

use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt};

use crate::{
    error::{Error, ErrorKind, Operation, Result},
    storage::Storage,
};

impl Storage {
    /// Reads a whole object of at most `max_len` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::TooLarge`] if the object has more than `max_len`
    /// bytes, in which case none of them is read.
    pub async fn get(&self, key: &str, max_len: u64) -> Result<Bytes> {
        self.repeat(|| self.get_once(key, max_len)).await
    }

    async fn get_once(&self, key: &str, max_len: u64) -> Result<Bytes> {
        let result = self.fetch(key, None).await?;
        let size = result.meta.size;
        if size > max_len {
            let cause = format!("the object has {size} bytes, more than the {max_len} allowed");
            return Err(self.read_error(ErrorKind::TooLarge, key, cause));
        }
        self.body(key, result, size).await
    }

    /// Reads the bytes of a range, all of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Truncated`] if the object ends before the range
    /// does; [`ErrorKind::Invalid`] if the range ends before it begins.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.repeat(|| self.get_range_once(key, range.clone()))
            .await
    }

    async fn get_range_once(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let Some(len) = range.end.checked_sub(range.start) else {
            let cause = format!("the range {range:?} ends before it begins");
            return Err(self.read_error(ErrorKind::Invalid, key, cause));
        };
        // Backends have no empty ranges, and have different answers for ranges behind the end.
        if len == 0 {
            let size = self.size(key).await?;
            self.check_end(key, size, range.end)?;
            return Ok(Bytes::new());
        }
        match self
            .fetch(key, Some(GetRange::Bounded(range.clone())))
            .await
        {
            Ok(result) => {
                self.check_end(key, result.meta.size, range.end)?;
                self.body(key, result, len).await
            }
            Err(error) if error.kind() == ErrorKind::Other => {
                let size = self.size(key).await?;
                self.check_end(key, size, range.end)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the end of an object: its last `len` bytes, or all if it has fewer. That is one
    /// request, or two where a server has to be asked for the size first (Azure).
    ///
    /// Returns them and the size of the whole object, in bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub async fn get_suffix(&self, key: &str, len: u64) -> Result<(Bytes, u64)> {
        self.repeat(|| self.get_suffix_once(key, len)).await
    }

    async fn get_suffix_once(&self, key: &str, len: u64) -> Result<(Bytes, u64)> {
        if len == 0 {
            return Ok((Bytes::new(), self.size(key).await?));
        }
        match self.fetch(key, Some(GetRange::Suffix(len))).await {
            Ok(result) => {
                let size = result.meta.size;
                Ok((self.body(key, result, len.min(size)).await?, size))
            }
            // Azure knows no ranges from the end.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let size = self.size(key).await?;
                let start = size.saturating_sub(len);
                Ok((self.get_range_once(key, start..size).await?, size))
            }
            // An empty object has no last byte, which HTTP servers answer with an error.
            Err(error) if error.kind() == ErrorKind::Other => match self.size(key).await? {
                0 => Ok((Bytes::new(), 0)),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the size of an object in bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub async fn size(&self, key: &str) -> Result<u64> {
        let path = self.path(Operation::Read, key)?;
        let meta = self.store().head(&path).await;
        meta.map(|meta| meta.size)
            .map_err(|error| self.store_error(Operation::Read, key, &error))
    }

    async fn fetch(&self, key: &str, range: Option<GetRange>) -> Result<GetResult> {
        let path = self.path(Operation::Read, key)?;
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let result = self.store().get_opts(&path, options).await;
        result.map_err(|error| self.store_error(Operation::Read, key, &error))
    }

    /// Reads the bytes that were asked for and makes sure that they are all there.
    async fn body(&self, key: &str, result: GetResult, len: u64) -> Result<Bytes> {
        let bytes = result.bytes().await;
        let bytes = bytes.map_err(|error| self.store_error(Operation::Read, key, &error))?;
        if bytes.len() as u64 != len {
            let cause = format!("{} bytes arrived instead of {len}", bytes.len());
            return Err(self.read_error(ErrorKind::Truncated, key, cause));
        }
        Ok(bytes)
    }

    fn check_end(&self, key: &str, size: u64, end: u64) -> Result<()> {
        if end > size {
            let cause = format!("the object has {size} bytes, and bytes up to {end} were wanted");
            return Err(self.read_error(ErrorKind::Truncated, key, cause));
        }
        Ok(())
    }

    fn read_error(&self, kind: ErrorKind, key: &str, cause: String) -> Error {
        Error::new(
            kind,
            Operation::Read,
            Some(key),
            self.location_text(),
            cause,
        )
    }
}

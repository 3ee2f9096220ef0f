//! Reading objects.
//!
//! The methods of [`Storage`] that read an object or a part of it. Invariant: a read returns exactly the
//! requested length, or an error.

use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt, path::Path};

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
        let path = self.path(Operation::Read, key)?;
        self.get_at(&path, max_len).await
    }

    /// [`Storage::get`] for any path.
    pub(crate) async fn get_at(&self, path: &Path, max_len: u64) -> Result<Bytes> {
        self.repeat(|| self.get_once(path, max_len)).await
    }

    async fn get_once(&self, path: &Path, max_len: u64) -> Result<Bytes> {
        let result = self.fetch(path, None).await?;
        let size = result.meta.size;
        if size > max_len {
            let cause = format!("the object has {size} bytes, more than the {max_len} allowed");
            return Err(self.read_error(ErrorKind::TooLarge, path, cause));
        }
        self.body(path, result, size).await
    }

    /// Reads all bytes of a range.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Truncated`] if the object ends before the range
    /// does; [`ErrorKind::Invalid`] if the range ends before it begins.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(Operation::Read, key)?;
        self.repeat(|| self.get_range_once(&path, range.clone()))
            .await
    }

    async fn get_range_once(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let len = range.end.saturating_sub(range.start);
        match self.fetch_range(path, range).await? {
            (_, Some(result)) => self.body(path, result, len).await,
            (_, None) => Ok(Bytes::new()),
        }
    }

    /// Starts to read a range; the response is `None` if the range is empty. Also returns the size of the
    /// object.
    pub(crate) async fn fetch_range(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<(u64, Option<GetResult>)> {
        if range.end < range.start {
            let cause = format!("the range {range:?} ends before it begins");
            return Err(self.read_error(ErrorKind::Invalid, path, cause));
        }
        // Backends do not support empty ranges, and differ in their errors for ranges past the end.
        if range.is_empty() {
            let size = self.size_at(path).await?;
            self.check_end(path, size, range.end)?;
            return Ok((size, None));
        }
        let bounded = Some(GetRange::Bounded(range.clone()));
        match self.fetch(path, bounded).await {
            Ok(result) => {
                let size = result.meta.size;
                self.check_end(path, size, range.end)?;
                Ok((size, Some(result)))
            }
            Err(error) if error.kind() == ErrorKind::Other => {
                let size = self.size_at(path).await?;
                self.check_end(path, size, range.end)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the last `len` bytes of an object, or all of a shorter one. That takes one request, or two if br
    /// must ask the server for the size first (Azure).
    ///
    /// Returns the bytes and the size of the whole object in bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub async fn get_suffix(&self, key: &str, len: u64) -> Result<(Bytes, u64)> {
        let path = self.path(Operation::Read, key)?;
        self.repeat(|| self.get_suffix_once(&path, len)).await
    }

    async fn get_suffix_once(&self, path: &Path, len: u64) -> Result<(Bytes, u64)> {
        if len == 0 {
            return Ok((Bytes::new(), self.size_at(path).await?));
        }
        match self.fetch(path, Some(GetRange::Suffix(len))).await {
            Ok(result) => {
                let size = result.meta.size;
                Ok((self.body(path, result, len.min(size)).await?, size))
            }
            // Azure does not support ranges from the end.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let size = self.size_at(path).await?;
                let start = size.saturating_sub(len);
                Ok((self.get_range_once(path, start..size).await?, size))
            }
            // An empty object has no last byte; HTTP servers return an error for such a range.
            Err(error) if error.kind() == ErrorKind::Other => match self.size_at(path).await? {
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
        self.size_at(&path).await
    }

    /// [`Storage::size`] for any path.
    pub(crate) async fn size_at(&self, path: &Path) -> Result<u64> {
        let meta = self.store().head(path).await;
        meta.map(|meta| meta.size)
            .map_err(|error| self.store_error(Operation::Read, path.as_ref(), &error))
    }

    pub(crate) async fn fetch(&self, path: &Path, range: Option<GetRange>) -> Result<GetResult> {
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let result = self.store().get_opts(path, options).await;
        result.map_err(|error| self.store_error(Operation::Read, path.as_ref(), &error))
    }

    /// Reads the requested bytes and checks that all of them arrived.
    async fn body(&self, path: &Path, result: GetResult, len: u64) -> Result<Bytes> {
        let bytes = result.bytes().await;
        let bytes =
            bytes.map_err(|error| self.store_error(Operation::Read, path.as_ref(), &error))?;
        if bytes.len() as u64 != len {
            let cause = format!("{} bytes arrived instead of {len}", bytes.len());
            return Err(self.read_error(ErrorKind::Truncated, path, cause));
        }
        Ok(bytes)
    }

    fn check_end(&self, path: &Path, size: u64, end: u64) -> Result<()> {
        if end > size {
            let cause = format!("the object has {size} bytes, and bytes up to {end} were wanted");
            return Err(self.read_error(ErrorKind::Truncated, path, cause));
        }
        Ok(())
    }

    fn read_error(&self, kind: ErrorKind, path: &Path, cause: String) -> Error {
        Error::new(
            kind,
            Operation::Read,
            Some(path.as_ref()),
            self.location_text(),
            cause,
        )
    }
}

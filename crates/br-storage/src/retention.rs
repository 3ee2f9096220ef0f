//! Retention of objects: the time before which the server refuses to delete them.
//!
//! [`Retention`] is a time and a mode; the methods of [`Storage`] here read and extend it. Invariant: no method
//! shortens a retention or weakens its mode.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use crate::{
    error::{Error, ErrorKind, Operation, Result},
    storage::Storage,
};

/// Who can end a retention before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionMode {
    /// Users with a special right, which the owner of the bucket can give.
    Governance,
    /// Nobody.
    Compliance,
}

impl RetentionMode {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }
}

impl fmt::Display for RetentionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RetentionMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "governance" => Ok(Self::Governance),
            "compliance" => Ok(Self::Compliance),
            _ => Err("neither governance nor compliance"),
        }
    }
}

/// Until when an object cannot be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Who can end it earlier.
    pub mode: RetentionMode,
    /// The end. Servers keep whole seconds.
    pub until: SystemTime,
}

/// The object lock of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectLock {
    /// The retention that every new object gets, if the bucket has such a rule.
    pub default: Option<(RetentionMode, Duration)>,
}

impl Storage {
    /// Returns the object lock of the bucket. Sends one request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the bucket or the store has no object lock.
    pub async fn object_lock(&self) -> Result<ObjectLock> {
        #[cfg(feature = "s3")]
        if let Some(locks) = &self.backend().locks {
            let read = || async {
                let found = locks.of_bucket().await;
                found.map_err(|error| self.store_error(Operation::ReadLock, "", &error))
            };
            let cause = "the bucket has no object lock";
            return self
                .repeat(read)
                .await?
                .ok_or_else(|| self.has_no_lock(cause));
        }
        Err(self.has_no_lock("only buckets of S3 have object lock"))
    }

    /// Returns the retention of an object, which may have ended. `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the object; [`ErrorKind::Unsupported`] for a store without object lock.
    pub async fn retention(&self, key: &str) -> Result<Option<Retention>> {
        let _ = self.path(Operation::ReadLock, key)?;
        #[cfg(feature = "s3")]
        if let Some(locks) = &self.backend().locks {
            let read = || async {
                let found = locks.get(key).await;
                found.map_err(|error| self.store_error(Operation::ReadLock, key, &error))
            };
            return self.repeat(read).await;
        }
        Err(self.has_no_lock("only buckets of S3 have object lock"))
    }

    /// Extends the retention of an object, and returns the retention that it has then.
    ///
    /// One request is enough unless the object is locked for longer already, or in another mode: the server refuses
    /// to shorten a retention, and this method then reads it. A retention in compliance mode keeps that mode. One in
    /// governance mode gets compliance mode only if the credentials have the right to bypass governance.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the object; [`ErrorKind::Denied`] without the permission to extend a retention;
    /// [`ErrorKind::Unsupported`] for a store without object lock.
    pub async fn extend_retention(&self, key: &str, to: Retention) -> Result<Retention> {
        let _ = self.path(Operation::ExtendLock, key)?;
        #[cfg(feature = "s3")]
        if self.backend().locks.is_some() {
            let refusal = match self.set_retention(key, to, false).await {
                Ok(()) => return Ok(to),
                Err(error) if is_refusal(&error) => error,
                Err(error) => return Err(error),
            };
            let Ok(Some(now)) = self.retention(key).await else {
                return Err(refusal);
            };
            let until = now.until.max(to.until);
            if to.mode > now.mode {
                let tight = Retention {
                    mode: to.mode,
                    until,
                };
                match self.set_retention(key, tight, true).await {
                    Ok(()) => return Ok(tight),
                    Err(error) if is_refusal(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let longer = Retention {
                mode: now.mode,
                until,
            };
            return if now.until >= to.until {
                Ok(now)
            } else if now.mode == to.mode {
                Err(refusal)
            } else {
                self.set_retention(key, longer, false)
                    .await
                    .map(|()| longer)
            };
        }
        #[cfg(not(feature = "s3"))]
        let _ = to;
        Err(self.has_no_lock("only buckets of S3 have object lock"))
    }

    /// Sets a retention. `tighten` uses the right to bypass governance.
    #[cfg(feature = "s3")]
    async fn set_retention(&self, key: &str, to: Retention, tighten: bool) -> Result<()> {
        let Some(locks) = &self.backend().locks else {
            return Ok(());
        };
        let write = || async {
            let done = if tighten {
                locks.tighten(key, to).await
            } else {
                locks.put(key, to).await
            };
            done.map_err(|error| self.store_error(Operation::ExtendLock, key, &error))
        };
        // Setting the same retention twice does no harm.
        self.repeat(write).await
    }

    fn has_no_lock(&self, cause: &'static str) -> Error {
        let kind = ErrorKind::Unsupported;
        Error::new(kind, Operation::ReadLock, None, self.location_text(), cause)
    }
}

/// Returns whether a server may have refused to shorten a retention: 403 by S3, 400 by other servers.
#[cfg(feature = "s3")]
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::Other
    )
}

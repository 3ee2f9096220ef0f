//! Times of files.

use std::time::SystemTime;

use super::EntryError;

/// A time in a file's metadata: any that a file system can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

impl FileTime {
    /// Later than every real time, so that no entry counts as unchanged because of it.
    pub const UNKNOWN: Self = Self {
        secs: i64::MAX,
        nanos: 0,
    };

    /// Takes seconds since 1970 and nanoseconds.
    ///
    /// # Errors
    /// When there are a thousand million nanoseconds or more.
    pub const fn new(secs: i64, nanos: u32) -> Result<Self, EntryError> {
        let time = Self { secs, nanos };
        match time.check() {
            Ok(()) => Ok(time),
            Err(error) => Err(error),
        }
    }

    pub(crate) const fn check(self) -> Result<(), EntryError> {
        if self.nanos < 1_000_000_000 {
            Ok(())
        } else {
            Err(EntryError::Time)
        }
    }
}

/// A time that does not fit becomes the nearest one that does.
impl From<SystemTime> for FileTime {
    fn from(time: SystemTime) -> Self {
        let (since, is_after) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => (since, true),
            Err(before) => (before.duration(), false),
        };
        let (secs, nanos) = (i64::try_from(since.as_secs()), since.subsec_nanos());
        let secs = secs.unwrap_or(i64::MAX - 1);
        match (is_after, nanos) {
            (true, nanos) => Self { secs, nanos },
            (false, 0) => Self { secs: -secs, nanos },
            (false, nanos) => Self {
                secs: -secs - 1,
                nanos: 1_000_000_000 - nanos,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_system_convert() {
        use std::time::Duration;
        let time = |secs, nanos| FileTime { secs, nanos };
        let epoch = SystemTime::UNIX_EPOCH;
        let step = Duration::new(5, 300);
        assert_eq!(FileTime::from(epoch), time(0, 0));
        assert_eq!(FileTime::from(epoch + step), time(5, 300));
        assert_eq!(FileTime::from(epoch - step), time(-6, 999_999_700));
        assert_eq!(FileTime::from(epoch - Duration::from_secs(5)), time(-5, 0));
    }
}

//! Lines of `mo_br.meta` and of `<id>.meta`.
//!
//! [`MetaLine`] is what one line says about a backup. Nobody promised the order of its columns, so they are known by their shape. Invariant:
//! a line whose first column is no id is none; whatever else is not recognised is `None`.

use std::borrow::Cow;

use super::backup_ts::BackupTs;
use super::error::{Error, Result};
use super::layout::{BackupKind, split_dir};
use super::lines::{Lines, fields};

/// What the catalog of `mo_br` says about a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaLine {
    /// Its id, a UUID.
    pub id: String,
    /// The bytes of all its files, those in earlier backups too.
    pub size: Option<u64>,
    /// Where it lies: `filesystem` or `s3`.
    pub storage: Option<String>,
    /// The endpoint of the object storage.
    pub endpoint: Option<String>,
    /// The bucket. Known only in lines of 17 columns.
    pub bucket: Option<String>,
    /// The path in the bucket. Known only in lines of 17 columns.
    pub filepath: Option<String>,
    /// The region. Known only in lines of 17 columns.
    pub region: Option<String>,
    /// The role. Known only in lines of 17 columns.
    pub role_arn: Option<String>,
    /// Whether the object storage is a MinIO.
    pub is_minio: Option<bool>,
    /// The folder, for `filesystem`.
    pub path: Option<String>,
    /// When it was begun: `YYYY-MM-DD HH:MM:SS ±zzzz`.
    pub at_time: Option<String>,
    /// How long it took, as Go prints it: `2.736081646s`.
    pub duration: Option<String>,
    /// When it was complete, as `at_time`.
    pub complete_time: Option<String>,
    /// The point in time that it holds.
    pub backup_ts: Option<BackupTs>,
    /// Whether it builds on earlier ones.
    pub kind: Option<BackupKind>,
    /// Its folder below the root: `full-<id>`.
    pub dir: Option<String>,
}

impl MetaLine {
    /// Reads one line.
    ///
    /// # Errors
    /// When it does not begin with an id.
    pub fn parse(line: &str) -> Result<Self> {
        let fields = fields(line.trim_end()).unwrap_or_default();
        let id = fields.first().filter(|id| is_uuid(id));
        let id = id.ok_or_else(|| Error::damaged("it does not begin with the id of a backup"))?;
        let mut out = Self::empty(id.to_ascii_lowercase());
        for field in fields.iter().skip(1) {
            out.recognise(field);
        }
        out.place(&fields);
        Ok(out)
    }

    /// Reads all lines of a `mo_br.meta`. Lines that are none are counted.
    ///
    /// # Errors
    /// When a line is too long, or no text.
    pub fn parse_all(bytes: &[u8]) -> Result<(Vec<Self>, u64)> {
        let mut lines = Lines::new(bytes, u64::MAX);
        let (mut out, mut others) = (Vec::new(), 0);
        while let Some(line) = lines.next()? {
            match Self::parse(line) {
                Ok(line) => out.push(line),
                Err(_) => others += 1,
            }
        }
        Ok((out, others))
    }

    const fn empty(id: String) -> Self {
        Self {
            id,
            size: None,
            storage: None,
            endpoint: None,
            bucket: None,
            filepath: None,
            region: None,
            role_arn: None,
            is_minio: None,
            path: None,
            at_time: None,
            duration: None,
            complete_time: None,
            backup_ts: None,
            kind: None,
            dir: None,
        }
    }

    /// Takes what a column of that shape can only be.
    fn recognise(&mut self, field: &str) {
        let text = || Some(field.to_owned());
        match field {
            "" => {}
            "filesystem" | "s3" if self.storage.is_none() => self.storage = text(),
            "true" | "false" => self.is_minio = Some(field == "true"),
            "full" | "incremental" => self.kind = BackupKind::of_word(field),
            _ if field.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.size = self.size.or_else(|| field.parse().ok());
            }
            _ if split_dir(field).is_some() => self.dir = text(),
            _ if field.contains("://") => self.endpoint = text(),
            _ if is_time(field) && self.at_time.is_none() => self.at_time = text(),
            _ if is_time(field) => self.complete_time = text(),
            _ if is_duration(field) => self.duration = text(),
            _ if is_ts(field) => self.backup_ts = field.parse().ok(),
            _ if field.starts_with(['/', '.']) => self.path = text(),
            _ => {}
        }
    }

    /// Takes from their positions what has no shape of its own, when the line is of the one kind that is known.
    fn place(&mut self, fields: &[Cow<'_, str>]) {
        let at = |index: usize| fields.get(index).map(|field| field.as_ref().to_owned());
        let known = fields.len() == 17
            && matches!(fields[2].as_ref(), "filesystem" | "s3")
            && matches!(fields[9].as_ref(), "true" | "false");
        if !known {
            return;
        }
        let filled = |index| at(index).filter(|field| !field.is_empty());
        self.endpoint = filled(3);
        self.bucket = filled(4);
        self.filepath = filled(5);
        self.region = filled(6);
        self.role_arn = filled(8);
        self.path = filled(10);
    }
}

/// True for `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub(crate) fn is_uuid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths = text.split('-').map(str::len);
    text.len() == 36 && lengths.eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex)
}

fn is_ts(text: &str) -> bool {
    text.split_once('-')
        .is_some_and(|(physical, _)| physical.len() >= 15)
        && text.parse::<BackupTs>().is_ok()
}

/// True for `2025-01-03 16:42:48 +0800`, and for what Go may add to it.
fn is_time(text: &str) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00 00:00:00";
    let Some(head) = text.as_bytes().first_chunk::<19>() else {
        return false;
    };
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    };
    head.iter().zip(SHAPE).all(fits)
}

/// True for what Go's `Duration` prints: `1h2m3.5s`, `850ms`.
fn is_duration(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let mut rest = text;
    let mut parts = 0;
    while let Some(end) = rest.find(|c: char| c.is_alphabetic()) {
        let (value, unit) = rest.split_at(end);
        let after = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let (unit, later) = unit.split_at(after);
        let known = matches!(unit, "h" | "m" | "s" | "ms" | "µs" | "μs" | "us" | "ns");
        if !number(value) || !known {
            return false;
        }
        rest = later;
        parts += 1;
    }
    parts > 0 && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01942b55-0f5a-7d64-8f2f-1b6d2c3e4f50";

    #[test]
    fn a_line_of_seventeen_columns() {
        let line = format!(
            "{ID},12345678,s3,http://minio:9000,b,/backup1,,,,true,,2025-01-03 16:42:48 +0800,2.736081646s,\
             2025-01-03 16:42:51 +0800,1735893768313706438-1,incremental,incremental-{ID}\n"
        );
        let meta = MetaLine::parse(&line).unwrap();
        assert_eq!((meta.id.as_str(), meta.size), (ID, Some(12_345_678)));
        assert_eq!(meta.bucket.as_deref(), Some("b"));
        assert_eq!(meta.filepath.as_deref(), Some("/backup1"));
        assert_eq!((meta.path.as_deref(), meta.is_minio), (None, Some(true)));
        assert_eq!(meta.duration.as_deref(), Some("2.736081646s"));
        assert_eq!(
            meta.complete_time.as_deref(),
            Some("2025-01-03 16:42:51 +0800")
        );
        assert_eq!(meta.backup_ts.unwrap().to_string(), "1735893768313706438-1");
        assert_eq!(meta.kind, Some(BackupKind::Incremental));
        assert_eq!(meta.dir, Some(format!("incremental-{ID}")));
    }

    #[test]
    fn any_order_of_columns() {
        let line = format!(
            "{ID},full-{ID},full,1735893768313706438-1,2025-01-03 16:42:48 +0800,2025-01-03 16:42:51 +0800,1m2.5s,/backup,filesystem,99"
        );
        let meta = MetaLine::parse(&line).unwrap();
        assert_eq!(meta.kind, Some(BackupKind::Full));
        assert_eq!(meta.path.as_deref(), Some("/backup"));
        assert_eq!(
            (meta.size, meta.duration.as_deref()),
            (Some(99), Some("1m2.5s"))
        );
        assert_eq!(meta.storage.as_deref(), Some("filesystem"));
    }

    #[test]
    fn what_is_no_line_is_counted() {
        let text = format!("ID,SIZE\n{ID},1\n\nnonsense\n");
        let (lines, others) = MetaLine::parse_all(text.as_bytes()).unwrap();
        assert_eq!((lines.len(), others), (1, 2));
        for (text, is) in [
            ("1.7s", true),
            ("549µs", true),
            ("1h0m3s", true),
            ("s", false),
            ("12", false),
            ("1x", false),
            ("", false),
        ] {
            assert_eq!(is_duration(text), is, "{text}");
        }
        assert!(!is_uuid("01942b55-0f5a-7d64-8f2f-1b6d2c3e4f5g"));
    }
}

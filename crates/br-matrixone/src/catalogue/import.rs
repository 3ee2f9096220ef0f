//! The file `mo_br.meta` of the original tool. The parser recognises fields by their form, because their
//! order is not documented and has changed.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::entry::{BackupLocation, CatalogueEntry, Origin, S3BackupLocation, State};
use super::error::Warning;
use super::values;
use crate::{BackupKind, BackupTs};

/// The longest file that is read, in bytes. A line has about 260.
const MAX_BYTES: u64 = 64 << 20;

/// Reads the file. A missing file has no entries.
pub(super) fn read(path: &Path) -> (Vec<CatalogueEntry>, Vec<Warning>) {
    let (mut entries, mut warnings) = (Vec::new(), Vec::new());
    let bytes = match read_bytes(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return (entries, warnings),
        Err(error) => {
            warnings.push(Warning::Unreadable {
                path: path.to_owned(),
                why: error.to_string(),
            });
            return (entries, warnings);
        }
    };
    if !matches_checksum(path, &bytes) {
        warnings.push(Warning::Checksum(path.to_owned()));
    }
    for (line, fields) in records(&String::from_utf8_lossy(&bytes)) {
        match parse_record(&fields) {
            Ok(entry) => entries.push(entry),
            Err(why) => warnings.push(Warning::Line {
                path: path.to_owned(),
                line,
                why,
            }),
        }
    }
    (entries, warnings)
}

/// Parses one line of `mo_br.meta`. The file `<id>.meta` next to a backup has the same format.
///
/// # Errors
/// A text that says which field is missing.
pub fn parse_meta_line(line: &str) -> Result<CatalogueEntry, &'static str> {
    let mut records = records(line);
    match (records.pop(), records.is_empty()) {
        (Some((_, fields)), true) => parse_record(&fields),
        _ => Err("there is not one line"),
    }
}

fn read_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_BYTES => {
            Err(io::Error::new(io::ErrorKind::FileTooLarge, "far too long"))
        }
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Compares the checksum with the file next to it, which has 64 hexadecimal characters. Old versions of the
/// original tool write none.
fn matches_checksum(path: &Path, bytes: &[u8]) -> bool {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sha256");
    let Ok(expected) = fs::read_to_string(beside) else {
        return true;
    };
    expected
        .trim()
        .eq_ignore_ascii_case(&super::hex(&Sha256::digest(bytes)))
}

/// Splits CSV text into records, each with its line number. A line break always ends a record, because no
/// field contains one, so that a stray quote affects only its own line.
fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| (number + 1, split_fields(line)))
        .collect()
}

fn split_fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

fn parse_record(fields: &[String]) -> Result<CatalogueEntry, &'static str> {
    let (first, rest) = fields.split_first().ok_or("it is empty")?;
    let id = Some(first.trim()).filter(|id| id.len() == 36);
    let id = id.and_then(|id| Uuid::try_parse(id).ok());
    let id = id.ok_or("it does not begin with the id of a backup")?;
    // A bucket may have any name, even `full` or `2s`. Therefore the fields of the place are removed before
    // the others are recognised by their form.
    let (place, rest) = split_place(rest)?;

    let mut times = rest.iter().filter_map(|field| values::parse_time(field));
    let at_time = times.next().ok_or("the time of the backup is missing")?;
    let sub_directory = rest.iter().find(|field| is_sub_directory(field));
    let kind = rest
        .iter()
        .map(String::as_str)
        .find(|field| matches!(*field, "full" | "incremental"))
        .or(sub_directory.map(String::as_str));
    let kind = match kind {
        Some(word) if word.starts_with("incremental") => BackupKind::Incremental,
        _ => BackupKind::Full,
    };
    let mut entry = CatalogueEntry::new(id, kind, place, at_time);
    entry.complete_time = times.next();
    entry.sub_directory = sub_directory.cloned();
    entry.duration = rest.iter().find_map(|field| values::parse_duration(field));
    entry.logical_size = rest.iter().find_map(|field| values::parse_size(field));
    entry.backup_ts = rest.iter().find_map(|field| parse_ts(field));
    entry.state = State::Complete;
    entry.origin = Origin::MoBr;
    Ok(entry)
}

/// Finds the place. Returns it and the other fields.
fn split_place(fields: &[String]) -> Result<(BackupLocation, Vec<String>), &'static str> {
    let mut rest = fields.to_vec();
    if let Some(at) = rest
        .iter()
        .position(|field| field.starts_with("BackupDir:"))
    {
        let place = shown_place(&rest.remove(at)).ok_or("its location cannot be parsed")?;
        return Ok((place, rest));
    }
    match rest.iter().position(|field| field == "s3") {
        Some(at) => s3_place(&mut rest, at).map(|place| (place, rest)),
        None => {
            let path = rest.iter().position(|field| field.starts_with('/'));
            let path = path.or_else(|| relative_path(&rest));
            let path = path.ok_or("it has neither a path nor a bucket")?;
            let path = rest.remove(path);
            Ok((BackupLocation::FileSystem { path }, rest))
        }
    }
}

/// Finds a relative path: the field that has no other form.
fn relative_path(fields: &[String]) -> Option<usize> {
    let shapeless = |field: &String| {
        !field.is_empty()
            && !matches!(
                field.as_str(),
                "filesystem" | "full" | "incremental" | "true" | "false"
            )
            && !is_sub_directory(field)
            && values::parse_time(field).is_none()
            && values::parse_duration(field).is_none()
            && values::parse_size(field).is_none()
            && parse_ts(field).is_none()
    };
    fields.iter().position(shapeless)
}

/// Endpoint, bucket, path and region are consecutive and in this order. They start at the endpoint, or else
/// after the word `s3`.
fn s3_place(fields: &mut Vec<String>, word: usize) -> Result<BackupLocation, &'static str> {
    let endpoint = fields.iter().position(|field| field.contains("://"));
    let from = endpoint.unwrap_or(word + 1);
    if fields.len() < from + 4 {
        return Err("its bucket is missing");
    }
    let mut taken = fields.drain(from..from + 4);
    let mut take = || taken.next().unwrap_or_default();
    let mut place = S3BackupLocation {
        endpoint: take(),
        bucket: take(),
        filepath: take(),
        region: take(),
        ..S3BackupLocation::default()
    };
    drop(taken);
    if place.bucket.is_empty() {
        return Err("its bucket is missing");
    }
    let is_role = |field: &&String| {
        ["arn:", "acs:", "qcs:"]
            .iter()
            .any(|start| field.starts_with(start))
    };
    place.role_arn = fields.iter().find(is_role).cloned();
    place.is_minio = fields.iter().any(|field| field == "true");
    Ok(BackupLocation::S3(place))
}

/// Parses a place in the format of the list.
fn shown_place(text: &str) -> Option<BackupLocation> {
    let part = |key: &str, until: &str| {
        let after = text.split_once(key)?.1;
        Some(
            after
                .split_once(until)
                .map_or(after, |(part, _)| part)
                .trim()
                .to_owned(),
        )
    };
    if text.contains("Bucket:") {
        return Some(BackupLocation::S3(S3BackupLocation {
            endpoint: part("Endpoint:", " Bucket:")?,
            bucket: part("Bucket:", " FilePath:")?,
            filepath: part("FilePath:", "\n").unwrap_or_default(),
            ..S3BackupLocation::default()
        }));
    }
    let path = part("Path:", "\n")?;
    Some(BackupLocation::FileSystem { path })
}

fn is_sub_directory(field: &str) -> bool {
    let id = field
        .strip_prefix("full-")
        .or_else(|| field.strip_prefix("incremental-"));
    id.is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// Parses a time stamp. It has at least fifteen digits before the hyphen, unlike other fields of a similar
/// form.
fn parse_ts(field: &str) -> Option<BackupTs> {
    let digits = field.split_once('-')?.0.len();
    if digits < 15 {
        return None;
    }
    field.parse().ok()
}

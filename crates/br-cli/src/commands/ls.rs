//! `br ls`: lists the entries of a backup.

use std::ffi::OsString;

use br_core::engine::ls::ls_to_depth;
use br_core::model::{Content, Entry, EntryKind, EntryPath, FileContent, escape};
use clap::Args;
use sha2::{Digest as _, Sha256};

use super::ls_order::{Sort, Sorter, is_near};
use super::paths::find_paths;
use super::which::{BackupAndPath, FilterArgs};
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::{EntryJson, to_line};
use crate::output::{Output, format};
use crate::values;

/// Maximum length of the holes of an inline file that is hashed.
const MAX_HOLES: u64 = 256 << 20;

const EXAMPLES: &str = "\
  br ls latest
  br ls latest -l home/anna/photos
  br ls latest:home/anna --depth 1
  br ls latest -l --sort size --reverse | head
  br ls latest --sha256 | (cd /restored && sha256sum -c)
  br ls latest --json | jq -r 'select(.size > 1e9) | .path'";

/// List the entries of a backup
///
/// Paths are relative to the target of a restore. br shows a backslash in a name as `\\`, and invalid UTF-8, invisible
/// characters and characters that change the order of the text as `\xHH`. br accepts a path as it is shown or as it is; an exact
/// match takes precedence.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct LsArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before; or a path in it: `ID:PATH`
    #[arg(value_name = "ID", value_parser = BackupAndPath::parser())]
    id: BackupAndPath,

    /// Only these paths and everything below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// Also show mode, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// Print SHA-256 sums of the files in the format of `sha256sum -c`
    #[arg(long, conflicts_with = "long")]
    sha256: bool,

    /// List only entries at most N levels below the paths, or below the root of the backup; 1 is the direct children
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = values::number(1..=32_768_usize, "the depth", "--depth 1")
    )]
    depth: Option<usize>,

    /// Order of the entries; for every order except the one by path, br keeps the output in memory, at most 512 MiB
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Sort::Path)]
    sort: Sort,

    /// Reverse the order
    #[arg(long)]
    reverse: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(args: &LsArgs, context: &CommandContext) -> CommandResult {
    let id = args.filter.apply(&args.id.id)?;
    let typed = args.id.paths(&args.paths)?;
    let repository = context.open().await?;
    let backup = context.find(&repository, &id).await?;
    let paths = find_paths(&typed, &repository, &backup, context).await?;
    let engine = context.engine();
    let depth = args.depth.unwrap_or(usize::MAX);
    let mut feed = ls_to_depth(&repository, backup.id, paths.clone(), depth, &engine);
    let output = &context.output;
    let mut lines = output.lines();
    let mut sorter = Sorter::new(args.sort, args.reverse);
    let mut without_sum = 0_u64;
    while let Some(entry) = feed.next().await {
        let entry = entry?;
        if !is_listed(&entry, &paths, args.depth) {
            continue;
        }
        let Some(line) = line(&entry, args, output) else {
            without_sum += u64::from(matches!(entry.kind, EntryKind::File(_)));
            continue;
        };
        match &mut sorter {
            Some(sorter) => sorter.push(&entry, line)?,
            None => lines.raw(&line)?,
        }
    }
    for line in sorter.into_iter().flat_map(Sorter::finish) {
        lines.raw(&line)?;
    }
    lines.finish()?;
    if without_sum > 0 {
        let files = format::counted(without_sum, "file has", "files have");
        output
            .console
            .warning(&format!("{files} very large holes and no stored SHA-256"));
    }
    Ok(ExitStatus::Ok)
}

/// Whether the user requested an entry. The engine also returns the parent folders of the requested paths.
fn is_listed(entry: &Entry, paths: &[EntryPath], depth: Option<usize>) -> bool {
    let root = [EntryPath::root()];
    let mut above = if paths.is_empty() { &root } else { paths }.iter();
    above.any(|path| {
        entry.path.is_within(path) && depth.is_none_or(|depth| is_near(depth, entry, path))
    })
}

/// The line of an entry, with its end; `None` if there is no sum of it.
fn line(entry: &Entry, args: &LsArgs, output: &Output) -> Option<Vec<u8>> {
    let text = if output.is_json() {
        to_line(&EntryJson::new(entry, sum(entry)))
    } else if args.sha256 {
        let sum = sha256(entry)?;
        // `sha256sum` reads raw names, but a terminal must only get visible characters.
        if !output.is_terminal() {
            return Some(sum_line(&sum, entry.path.as_bytes()));
        }
        format::visible(&format!("{}  {}", hex(&sum), entry.path)).into()
    } else if args.long {
        format::visible(&long_line(entry)).into()
    } else {
        format::visible(&entry.path.to_string()).into()
    };
    let mut line = text.into_bytes();
    line.push(b'\n');
    Some(line)
}

fn long_line(entry: &Entry) -> String {
    let owner = &entry.owner;
    let name = |name: &str, number: u32| match name {
        "" => number.to_string(),
        name => format::text(name),
    };
    let size = match &entry.kind {
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
            format!("{}, {}", device.major, device.minor)
        }
        _ => entry.size().to_string(),
    };
    let mut line = format!(
        "{} {:<8} {:<8} {size:>12} {} {}",
        format::mode(entry),
        name(&owner.user, owner.uid),
        name(&owner.group, owner.gid),
        format::file_time(entry.mtime),
        entry.path
    );
    if let EntryKind::Symlink(target) = &entry.kind {
        line.push_str(" -> ");
        line.push_str(&escape(target));
    }
    line
}

/// The SHA-256 of a file's content in hexadecimal.
pub(super) fn sum(entry: &Entry) -> Option<String> {
    sha256(entry).map(|sum| hex(&sum))
}

/// The SHA-256 of a file's content; `None` for everything else, and for a file with very large holes.
fn sha256(entry: &Entry) -> Option<[u8; 32]> {
    let EntryKind::File(file) = &entry.kind else {
        return None;
    };
    match &file.content {
        // Older versions stored an empty stream like this.
        Content::Chunks(chunks) if chunks.is_empty() => inline_sha256(file, &[]),
        Content::Chunks(_) => file.sha256,
        Content::Inline(bytes) => file.sha256.or_else(|| inline_sha256(file, bytes)),
        _ => file.sha256,
    }
}

fn inline_sha256(file: &FileContent, mut bytes: &[u8]) -> Option<[u8; 32]> {
    const ZEROS: [u8; 4096] = [0; 4096];
    if file.size.checked_sub(bytes.len() as u64)? > MAX_HOLES {
        return None;
    }
    let mut sha = Sha256::new();
    let mut position = 0;
    let mut zeros_until = |sha: &mut Sha256, end: u64, next: u64| {
        while position < end {
            let len = (end - position).min(ZEROS.len() as u64);
            sha.update(&ZEROS[..len as usize]);
            position += len;
        }
        position = next;
    };
    for extent in file.data_extents() {
        zeros_until(
            &mut sha,
            extent.offset,
            extent.offset.checked_add(extent.len)?,
        );
        let (here, rest) = bytes.split_at_checked(usize::try_from(extent.len).ok()?)?;
        sha.update(here);
        bytes = rest;
    }
    zeros_until(&mut sha, file.size, file.size);
    Some(sha.finalize().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of `sha256sum`: a backslash at the start means that the name has an escaped backslash or line break.
fn sum_line(sum: &[u8; 32], path: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(path.len() + 68);
    if path
        .iter()
        .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
    {
        line.push(b'\\');
    }
    line.extend(hex(sum).bytes());
    line.extend(b"  ");
    for byte in path {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use br_core::model::Extent;

    use super::*;

    #[test]
    fn file_name_is_escaped_like_sha256sum() {
        let line = |path: &[u8]| String::from_utf8(sum_line(&[0; 32], path)).unwrap();
        assert_eq!(line(b"a b"), format!("{}  a b\n", "00".repeat(32)));
        assert_eq!(
            line(b"a\\b\nc"),
            format!("\\{}  a\\\\b\\nc\n", "00".repeat(32))
        );
    }

    #[test]
    fn inline_file_is_hashed_with_its_holes() {
        let file = FileContent {
            size: 6000,
            holes: vec![Extent {
                offset: 1,
                len: 5000,
            }],
            content: Content::Inline(vec![7; 1000].into()),
            ..FileContent::default()
        };
        let mut whole = vec![0; 6000];
        whole[0] = 7;
        whole[5001..].fill(7);
        let Content::Inline(bytes) = &file.content else {
            unreachable!()
        };
        let expected: [u8; 32] = Sha256::digest(&whole).into();
        assert_eq!(inline_sha256(&file, bytes), Some(expected));
        // A size that does not match the bytes must not panic.
        assert_eq!(
            inline_sha256(
                &FileContent {
                    size: u64::MAX,
                    ..file.clone()
                },
                bytes
            ),
            None
        );
    }
}

//! Makes archives, byte for byte as the server writes them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use br_matrixone::BackupKind;
use br_matrixone::archive::{Archive, Digest, Folder, FrameWriter, Framing, Limits};

/// The layout of an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) framing: Framing,
    /// Every backup is in a separate folder, with a line next to it.
    pub(crate) nested: bool,
    /// Number of columns in `tae_list`: 3 or 5.
    pub(crate) columns: usize,
}

impl Shape {
    pub(crate) const ALL: [Self; 6] = [
        Self {
            framing: Framing::Framed,
            nested: true,
            columns: 5,
        },
        Self {
            framing: Framing::Raw,
            nested: true,
            columns: 5,
        },
        Self {
            framing: Framing::Framed,
            nested: false,
            columns: 5,
        },
        Self {
            framing: Framing::Raw,
            nested: false,
            columns: 5,
        },
        Self {
            framing: Framing::Framed,
            nested: false,
            columns: 3,
        },
        Self {
            framing: Framing::Raw,
            nested: false,
            columns: 3,
        },
    ];
    pub(crate) const FRAMED: Self = Self::ALL[0];
    pub(crate) const RAW: Self = Self::ALL[1];
}

/// A file of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ts: u64,
    /// Rewritten for the backup: it has no digest in the list.
    pub(crate) rewritten: bool,
}

/// An object of about this size with a matching header.
pub(crate) fn object(seed: u64, size: usize) -> Vec<u8> {
    let size = size.max(200);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(size);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(size);
    out[..8].copy_from_slice(&0xFFFF_FFFFu64.to_le_bytes());
    out[8..10].copy_from_slice(&1u16.to_le_bytes());
    let length = 100u32;
    out[11..15].copy_from_slice(&(size as u32 - 64 - length).to_le_bytes());
    out[15..19].copy_from_slice(&length.to_le_bytes());
    out
}

pub(crate) fn name(seed: u64) -> String {
    format!("018f7a41-1881-7999-bbd6-{seed:012x}_00000")
}

pub(crate) fn file(seed: u64, size: usize, ts: u64) -> File {
    File {
        path: name(seed),
        bytes: object(seed, size),
        ts,
        rewritten: false,
    }
}

pub(crate) fn framed(bytes: &[u8], framing: Framing) -> Vec<u8> {
    match framing {
        Framing::Raw => bytes.to_vec(),
        Framing::Framed => {
            let mut writer = FrameWriter::new(Vec::new());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
    }
}

pub(crate) fn id(number: u64) -> String {
    format!("01942b55-0f5a-7d64-8f2f-{number:012x}")
}

pub(crate) fn dir_of(number: u64) -> String {
    let kind = if number == 0 {
        BackupKind::Full
    } else {
        BackupKind::Incremental
    };
    format!("{kind}-{}", id(number))
}

/// Turns a small number into nanoseconds as large as real ones.
pub(crate) fn ts(number: u64) -> u64 {
    1_735_893_768_000_000_000 + number
}

pub(crate) const HK_DATA: &[u8] = b"\x08\xac\x02\x12\x11\x0a\x0d_mo_bootstrap\x10\x05";

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn put_proven(path: &Path, content: &[u8], framing: Framing) {
    put(path, &framed(content, framing));
    let digest = Digest::of(content).0;
    let beside = format!("{}.sha256", path.display());
    put(Path::new(&beside), &framed(&digest, framing));
}

/// Makes backup `number` of a cluster with these files. Does not copy files older than `base`.
pub(crate) fn backup(
    root: &Path,
    shape: Shape,
    number: u64,
    at: u64,
    base: Option<u64>,
    files: &[File],
) -> PathBuf {
    let kind = if number == 0 { "full" } else { "incremental" };
    let dir = if shape.nested {
        root.join(dir_of(number))
    } else {
        root.to_owned()
    };
    let (mut list, mut sum) = (String::new(), 0);
    for file in files {
        let copied = file.rewritten || base.is_none_or(|base| file.ts >= base);
        if copied {
            put(
                &dir.join("tae").join(&file.path),
                &framed(&file.bytes, shape.framing),
            );
        }
        let digest = if copied && !file.rewritten {
            Digest::of(&file.bytes).to_string()
        } else {
            String::new()
        };
        list += &format!("{},{},{digest}", file.path, file.bytes.len());
        if shape.columns == 5 {
            list += &format!(",{copied},{}-0", ts(file.ts));
        }
        list.push('\n');
        sum += file.bytes.len();
    }
    let mut line = format!("2025-01-03 08:42:{:02},{sum}", number % 60);
    if shape.columns == 5 {
        line += &format!(",{}-0,{kind}", ts(at));
    }
    write_list(&dir, shape, &list, &line);
    put_proven(&dir.join("hakeeper/hk_data"), HK_DATA, shape.framing);
    put_proven(
        &dir.join("config/tn.toml_018f70d1"),
        b"service-type = \"TN\"\n",
        Framing::Raw,
    );
    put_proven(
        &dir.join("backup_meta"),
        format!("id,{},\n", id(number)).as_bytes(),
        Framing::Raw,
    );
    let meta = b"buildinfo,GoVersion: go1.21|Version: v1.2.0,\nlaunchconfig,dn,tn.toml_018f70d1\nversion,0823,\n";
    put_proven(&dir.join("mo_meta"), meta, Framing::Raw);
    if shape.nested {
        let line = format!(
            "{},{sum},filesystem,,,,,,,false,{},2025-01-03 16:42:48 +0800,2.7s,2025-01-03 16:42:51 +0800,{}-0,{kind},{}\n",
            id(number),
            root.display(),
            ts(at),
            dir_of(number)
        );
        put_proven(
            &root.join(format!("{}.meta", id(number))),
            line.as_bytes(),
            Framing::Raw,
        );
    }
    dir
}

pub(crate) fn write_list(dir: &Path, shape: Shape, list: &str, sum: &str) {
    put_proven(&dir.join("tae/tae_list"), list.as_bytes(), shape.framing);
    put_proven(&dir.join("tae/tae_sum"), sum.as_bytes(), shape.framing);
}

/// A full backup: objects of all sizes around the edges of frames, a checkpoint, a collected list, a rewritten object.
pub(crate) fn cluster() -> Vec<File> {
    let sizes = [
        200, 2043, 2044, 2045, 4088, 5000, 65_536, 300_000, 1_100_000,
    ];
    let mut out: Vec<_> = sizes
        .iter()
        .zip(1..)
        .map(|(size, seed)| file(seed, *size, 10 * seed))
        .collect();
    let more = [
        ("ckp/meta_0-0_1735893768000000100-0.ckp", 21),
        ("gc/gc_0-0_1735893768000000090-0.ckp", 22),
    ];
    for (path, seed) in more {
        out.push(File {
            path: path.to_owned(),
            ..file(seed, 900, 90)
        });
    }
    let rewritten = name(3).replace("_00000", "_01000");
    out.push(File {
        path: rewritten,
        rewritten: true,
        ..file(23, 3000, 95)
    });
    out
}

/// A full backup at 100 and three incremental ones at 200, 300 and 400. Returns the files of each.
pub(crate) fn chain(root: &Path, shape: Shape) -> Vec<Vec<File>> {
    let mut all = vec![cluster()];
    backup(root, shape, 0, 100, None, &all[0]);
    for number in 1..4u64 {
        let mut files = all.last().unwrap().clone();
        // Each backup has its own checkpoints and rewritten objects; some objects are merged into others.
        files.retain(|file| !file.path.contains('/') && !file.rewritten);
        files.remove(number as usize);
        for seed in 0..5 {
            files.push(file(
                100 * number + seed,
                1000 * (seed as usize + 1),
                100 * number + 10 * seed + 5,
            ));
        }
        let end = ts(100 * (number + 1));
        let path = format!("ckp/meta_0-0_{end}-0.ckp");
        files.push(File {
            path,
            ..file(1000 + number, 700, 100 * number + 99)
        });
        let rewritten = name(5).replace("_00000", "_01000");
        files.push(File {
            path: rewritten,
            rewritten: true,
            ..file(2000 + number, 2500, 100 * number + 99)
        });
        backup(
            root,
            shape,
            number,
            100 * (number + 1),
            Some(100 * number),
            &files,
        );
        all.push(files);
    }
    all
}

pub(crate) fn open(root: &Path) -> Archive {
    Archive::open(&Folder::local(root), &Limits::default()).unwrap()
}

/// Compares a restored `mo-data` with the files of the cluster.
pub(crate) fn assert_restored(target: &Path, files: &[File], framing: Framing) {
    let shared = target.join("mo-data/shared");
    for file in files {
        let found = fs::read(shared.join(&file.path)).unwrap();
        assert!(found == framed(&file.bytes, framing), "{}", file.path);
    }
    assert_eq!(count(&shared), files.len());
    assert_eq!(
        fs::read(target.join("mo-data/local/hk_data")).unwrap(),
        framed(HK_DATA, framing)
    );
    assert_eq!(count(&target.join("mo-data/local")), 1);
}

pub(crate) fn count(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let count = |entry: fs::DirEntry| {
        if entry.file_type().unwrap().is_dir() {
            count(&entry.path())
        } else {
            1
        }
    };
    entries.map(|entry| count(entry.unwrap())).sum()
}

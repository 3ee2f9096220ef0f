use std::sync::Arc;

use br_core::model::{EntryPath, Owner};

use super::*;

#[test]
fn sizes() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_048_524, "1.0 MiB"),
        (102_349, "100 KiB"),
        (1_288_490_189, "1.2 GiB"),
        (u64::MAX, "16.0 EiB"),
    ];
    for (bytes, text) in cases {
        assert_eq!(size(bytes), text);
    }
}

#[test]
fn counts_and_durations() {
    assert_eq!(count(1), "1");
    assert_eq!(count(1000), "1,000");
    assert_eq!(count(1_234_567), "1,234,567");
    assert_eq!(counted(1, "file", "files"), "1 file");
    let text = |seconds| duration(Duration::from_secs_f64(seconds));
    assert_eq!(text(0.04), "0.0 s");
    assert_eq!(text(9.94), "9.9 s");
    assert_eq!(text(9.97), "10 s");
    assert_eq!(text(59.7), "1m 00s");
    assert_eq!(text(7_500.0), "2h 05m");
    assert_eq!(text(100_000.0), "1d 03h");
    assert_eq!(ratio(240, 100).as_deref(), Some("2.4:1"));
    assert_eq!(ratio(0, 0), None);
}

#[test]
fn times_of_files() {
    let time = |secs, nanos| FileTime { secs, nanos };
    assert_eq!(
        file_time_exact(time(0, 5)),
        "1970-01-01T00:00:00.000000005Z"
    );
    assert_eq!(
        file_time_exact(time(-1, 500_000_000)),
        "1969-12-31T23:59:59.500000000Z"
    );
    assert_eq!(
        file_time_exact(time(i64::MAX, 1)),
        "@9223372036854775807.000000001"
    );
    assert_eq!(file_time(time(i64::MIN, 0)), "@-9223372036854775808");
}

#[test]
fn long_path_is_shortened_in_the_middle() {
    let both = [b"/etc".to_vec(), b"/home/somebody/documents".to_vec()];
    assert_eq!(paths(&both), "/etc,/home/somebody/documents");
    assert_eq!(cut(&paths(&both), 16), "/etc,…/documents");
    assert_eq!(cut("short", 5), "short");
    // Characters of double width count as two.
    assert_eq!(cut("日本語日本語", 8), "日…本語");
    assert!(width(&cut("日本語日本語", 8)) <= 8);
    assert_eq!(paths(&[b"a\nb".to_vec()]), "a\\x0ab");
    let many = vec![b"x".to_vec(); 1_021];
    assert_eq!(
        paths(&many),
        format!("{} and 1,001 more", ["x"; 20].join(","))
    );
}

#[test]
fn invisible_characters_are_escaped() {
    assert_eq!(visible("a\\b\nc"), "a\\b\nc");
    assert_eq!(visible("\u{1b}[2J\r"), "\\x1b[2J\\x0d");
    assert_eq!(visible("txt.\u{202e}gpj"), "txt.\\xe2\\x80\\xaegpj");
}

#[test]
fn mode_is_formatted_like_ls() {
    let text = |kind, mode_bits| {
        mode(&Entry {
            path: EntryPath::root(),
            kind,
            mode: mode_bits,
            owner: Arc::new(Owner::default()),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        })
    };
    assert_eq!(text(EntryKind::Directory, 0o1777), "drwxrwxrwt");
    assert_eq!(text(EntryKind::Directory, 0o2750), "drwxr-s---");
    assert_eq!(
        text(
            EntryKind::File(br_core::model::FileContent::default()),
            0o4755
        ),
        "-rwsr-xr-x"
    );
    assert_eq!(
        text(
            EntryKind::File(br_core::model::FileContent::default()),
            0o7644
        ),
        "-rwSr-Sr-T"
    );
    assert_eq!(
        text(EntryKind::Symlink(Box::default()), 0o777),
        "lrwxrwxrwx"
    );
    assert_eq!(text(EntryKind::Fifo, 0), "p---------");
}

#[test]
fn size_is_parsed() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("512MiB", 512 << 20),
        ("512m", 512 << 20),
        ("1.5 GiB", 3 << 29),
        ("10GB", 10_000_000_000),
        ("7B", 7),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in [
        "",
        "MiB",
        "-1",
        "1XB",
        "1 parsec",
        "1e9",
        "99999999999999t",
        "1bb",
    ] {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn percentage_and_duration_are_parsed() {
    assert_eq!(parse_percent("5%"), Ok(0.05));
    assert_eq!(parse_percent("100 %"), Ok(1.0));
    for text in ["5", "101%", "-1%", "%", "NaN%"] {
        assert!(parse_percent(text).is_err(), "{text}");
    }
    for (text, days) in [
        ("0", 0),
        ("48h", 2),
        ("30d", 30),
        ("4w", 28),
        ("1y", 365),
        ("1440min", 1),
    ] {
        assert_eq!(
            parse_age(text),
            Ok(Duration::from_secs(days * 86_400)),
            "{text}"
        );
    }
    for wrong in ["1m", "2", "w", "1.5d", "99999999999999999w", "-1d"] {
        assert!(parse_age(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
    assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
    assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    for text in ["", "24", "1.5h", "h", "-1h", "1y", "99999999999999999d"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

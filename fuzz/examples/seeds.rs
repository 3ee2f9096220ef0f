//! Makes inputs to start from: a bundle in each form, what is in it, and what the objects of a repository contain.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use br_archive::{Attributes, BundleOptions, BundleTime, BundleWriter, Format, MemberPath};
use br_emqx::disk_log::LogWriter;
use br_emqx::meta::Meta;
use br_emqx::term::{Term, encode};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let save = |target: &str, name: &str, bytes: &[u8]| -> Result {
        fs::create_dir_all(corpus.join(target))?;
        Ok(fs::write(corpus.join(target).join(name), bytes)?)
    };
    let table = table()?;
    let config =
        b"mqtt { a = 10s, \"b c\" = [1, 2] }\ncert = \"\"\"~\n  x\n~\"\"\"\na.b.c = ${?x}\n";
    let name = std::env::temp_dir().join("br-fuzz-seeds");
    fs::create_dir_all(&name)?;
    for format in Format::ALL {
        for (edition, manifest) in [("ee", true), ("br", false)] {
            let time = BundleTime::new(1_767_323_045_678, 0)?;
            let options = BundleOptions::new(time, Meta::new(edition, "5.8.1"))
                .with_prefix("x")
                .with_manifest(manifest)
                .with_format(format, None);
            let mut writer = BundleWriter::create(&name, options)?;
            for (path, content) in [
                ("cluster.hocon", config.as_slice()),
                ("mnesia/emqx_psk", &table),
                ("data/é", b"content"),
            ] {
                let path = MemberPath::new(path)?;
                writer.add_bytes(&path, content, Attributes::plain(0))?;
            }
            let path = writer.finish()?.path;
            let bytes = fs::read(&path)?;
            fs::remove_file(&path)?;
            let name = format!("{edition}{}", format.extension());
            save("bundle", &name, &bytes)?;
            if format == Format::TarGz {
                let mut tar = Vec::new();
                flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut tar)?;
                save("bundle", &format!("{edition}.tar"), &tar)?;
                save("tar", edition, &tar)?;
            }
        }
    }
    save("meta", "ee", Meta::new("ee", "5.8.1").to_hocon().as_bytes())?;
    save("hocon", "config", config)?;
    save("table", "psk", &table)?;
    for (number, item) in items().iter().enumerate() {
        save("term", &number.to_string(), &encode(item))?;
    }
    for (number, (target, bytes)) in br_core::fuzzing::seeds().iter().enumerate() {
        save(target, &number.to_string(), bytes)?;
    }
    Ok(())
}

fn items() -> Vec<Term> {
    let pair = |name: &str, value| Term::Tuple(vec![Term::atom(name), value]);
    let atoms = |names: &[&str]| Term::List(names.iter().map(|name| Term::atom(name)).collect());
    let time = [1686, 238_470, 403_771].map(Term::Integer).to_vec();
    vec![
        Term::Tuple(vec![
            Term::atom("log_header"),
            Term::atom("backup_log"),
            Term::string("1.2"),
            Term::string("4.21.2"),
            Term::atom("emqx@127.0.0.1"),
            Term::Tuple(time),
        ]),
        Term::Tuple(vec![
            Term::atom("schema"),
            Term::atom("emqx_psk"),
            Term::List(vec![
                pair("name", Term::atom("emqx_psk")),
                pair("type", Term::atom("set")),
                pair("record_name", Term::atom("psk_entry")),
                pair("attributes", atoms(&["psk_id", "shared_secret"])),
            ]),
        ]),
        Term::Tuple(vec![
            Term::atom("emqx_psk"),
            Term::binary("id"),
            Term::integer(true, &[1; 20]),
        ]),
        Term::List(vec![
            Term::Tuple(Vec::new()),
            Term::string("é"),
            Term::binary([7]),
        ]),
    ]
}

fn table() -> Result<Vec<u8>> {
    let mut writer = LogWriter::new(Vec::new())?;
    for item in items().iter().take(3) {
        writer.write_item(&encode(item))?;
    }
    Ok(writer.finish()?)
}

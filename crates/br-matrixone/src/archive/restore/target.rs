//! The target of a restore.
//!
//! [`RestoreTarget`] has two folders: one for the objects and one for `hk_data`. Invariant: the paths of a backup are joined only to these
//! two.

use std::io::{self, BufWriter, Write};
use std::path::{Component, Path};

use br_storage::{FileWriter, Folder};

use super::super::error::{Error, Result};
use super::super::files;
use super::super::frame::{FrameWriter, Framing};
use super::super::path::join;
use super::tn_config::{Backend, FileService, TnConfig};

const SHARED: &str = "mo-data/shared";
const LOCAL: &str = "mo-data/local";
const BUFFER_BYTES: usize = 256 << 10;

/// One of the two folders.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) folder: Folder,
    /// The user's name for it; empty at the top of an object storage.
    pub(super) label: String,
    /// Whether its files are framed; `None` means as in the archive.
    pub(super) framing: Option<Framing>,
}

impl Part {
    /// The user's name for a file in it.
    pub(super) fn label_of(&self, path: &str) -> String {
        join(&self.label, path)
    }
}

/// The folders of the future MatrixOne.
#[derive(Debug, Clone)]
pub struct RestoreTarget {
    pub(super) shared: Part,
    pub(super) local: Part,
    /// The folder `mo-data`, which must be otherwise empty: an old log there does not match the restored data.
    pub(super) data: Option<(Folder, Vec<String>)>,
}

impl RestoreTarget {
    /// The folder in which MatrixOne is started, with `mo-data/shared` and `mo-data/local`.
    ///
    /// # Errors
    /// Currently none; the plan creates the folders when it is executed.
    pub fn local(root: &Path) -> Result<Self> {
        Self::local_with(root, &TnConfig::default())
    }

    /// The same with the folders and the framing from a configuration. The user must have named the configuration, because its folders may
    /// be anywhere.
    ///
    /// # Errors
    /// If it says that the data is in an object storage, or a folder leads out of `root` with `..`.
    pub fn local_with(root: &Path, config: &TnConfig) -> Result<Self> {
        let shared = part(root, config.shared.as_ref(), SHARED)?;
        let local = part(root, config.local.as_ref(), LOCAL)?;
        let data = shared
            .folder
            .parent()
            .filter(|(_, _)| shared.label.starts_with("mo-data/"));
        let data = data.map(|(folder, name)| {
            let name_of = |part: &Part| part.label.rsplit('/').next().map(str::to_owned);
            let mut names = vec![name, "etl".to_owned()];
            names.extend(name_of(&local));
            (folder, names)
        });
        Ok(Self {
            shared,
            local,
            data,
        })
    }

    /// A prefix in an object storage: objects are below `data/`, and `hk_data` is next to it.
    ///
    /// # Errors
    /// If the prefix is too long for further names.
    pub fn object(folder: &Folder) -> Result<Self> {
        let part = |folder: Folder, label: &str| Part {
            folder,
            label: label.to_owned(),
            framing: Some(Framing::Raw),
        };
        Ok(Self {
            shared: part(folder.folder("data")?, "data"),
            local: part(folder.clone(), ""),
            data: None,
        })
    }

    /// Sets whether files are framed, for a folder without a configuration.
    #[must_use]
    pub const fn with_framing(mut self, framing: Framing) -> Self {
        self.shared.framing = Some(framing);
        self.local.framing = Some(framing);
        self
    }

    /// The user's name for the folder of the objects: `mo-data/shared`.
    #[must_use]
    pub fn shared_label(&self) -> &str {
        &self.shared.label
    }

    /// The user's name for the folder of `hk_data`: `mo-data/local`, or empty in an object storage.
    #[must_use]
    pub fn local_label(&self) -> &str {
        &self.local.label
    }
}

fn part(root: &Path, service: Option<&FileService>, default: &str) -> Result<Part> {
    let backend = service.and_then(|service| service.backend.as_ref());
    if backend == Some(&Backend::S3) {
        return Err(Error::invalid(
            "by its configuration the cluster has its data in an object storage: restore to that",
        ));
    }
    let dir = service.and_then(|service| service.data_dir.as_deref());
    let dir = Path::new(dir.unwrap_or(default));
    if dir.components().any(|part| part == Component::ParentDir) {
        let text = format!("the data-dir {} has `..` in it", dir.display());
        return Err(Error::invalid(text));
    }
    // Without the `./` that configurations often have.
    let dir: std::path::PathBuf = dir
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    let folder = match dir.to_str().filter(|_| dir.is_relative()) {
        Some(below) => Folder::local(root).folder(below)?,
        None => Folder::local(&dir),
    };
    Ok(Part {
        folder,
        label: dir.display().to_string(),
        framing: backend.and_then(Backend::framing),
    })
}

/// Writes a file with or without frames.
pub(super) enum Output {
    Raw(BufWriter<FileWriter>),
    Framed(FrameWriter<FileWriter>),
}

impl Output {
    pub(super) fn new(writer: FileWriter, framing: Framing) -> Self {
        match framing {
            Framing::Raw => Self::Raw(BufWriter::with_capacity(BUFFER_BYTES, writer)),
            Framing::Framed => Self::Framed(FrameWriter::new(writer)),
        }
    }

    /// Publishes the file.
    pub(super) fn finish(self, path: &str) -> Result<()> {
        let writer = match self {
            Self::Raw(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error),
            Self::Framed(writer) => writer.finish(),
        };
        let writer = writer.map_err(|error| Error::io("cannot write", error).at(path))?;
        files::finish(writer, path)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Raw(writer) => writer.write(bytes),
            Self::Framed(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_configuration() {
        let target = RestoreTarget::local(Path::new("/mo")).unwrap();
        assert_eq!(
            (target.shared_label(), target.local_label()),
            (SHARED, LOCAL)
        );
        assert_eq!(target.shared.folder.to_string(), "/mo/mo-data/shared");
        let text = "[[fileservice]]\nname='SHARED'\nbackend='DISK-V2'\ndata-dir='./mo-data/shared2'\n\
            [[fileservice]]\nname='LOCAL'\nbackend='DISK'\ndata-dir='/var/mo/local2'\n";
        let config = TnConfig::parse(text).unwrap();
        let target = RestoreTarget::local_with(Path::new("/mo"), &config).unwrap();
        assert_eq!(target.shared_label(), "mo-data/shared2");
        assert_eq!(target.shared.framing, Some(Framing::Raw));
        assert_eq!(target.local.folder.to_string(), "/var/mo/local2");
        assert_eq!(target.local.framing, Some(Framing::Framed));
        for bad in ["backend='S3'", "backend='DISK'\ndata-dir='../x'"] {
            let config =
                TnConfig::parse(&format!("[[fileservice]]\nname='SHARED'\n{bad}\n")).unwrap();
            assert!(RestoreTarget::local_with(Path::new("/mo"), &config).is_err());
        }
    }
}

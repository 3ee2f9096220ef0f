//! Examination of members in order, and the report on all of them.

use std::collections::HashMap;
use std::io::Write;

use br_emqx::config::{losses, roots, secrets};
use br_emqx::hocon;
use br_emqx::meta::Meta;
use br_emqx::rules::{Node, Refusal, Version, check_import, check_meta};
use br_emqx::table::{self, TableReport};
use br_emqx::table_sets::{self, Importable, Release};
use sha2::{Digest as _, Sha256};

use super::tap::Tap;
use super::{ConfigReport, Finding, InspectedMember, Inspection};
use crate::error::{Error, Result};
use crate::manifest::{MANIFEST_PATH, MAX_MANIFEST_BYTES, Manifest, to_hex};
use crate::name::BundleName;
use crate::path::MemberPath;
use crate::progress::{BundleProgress, Event};
use crate::reader::Member;
use crate::select::{CONFIG_PATH, META_PATH, is_config, namespace, table_name};

/// Largest `META.hocon` that is read, in bytes.
const MAX_META_BYTES: u64 = 1 << 20;

/// Most bytes of all configurations together, because they stay in memory until the end of the bundle.
const MAX_CONFIG_BYTES: u64 = hocon::MAX_BYTES as u64;

/// The edition in bundles that br makes from content other than EMQX's.
pub(crate) const OWN_EDITION: &str = "br";

/// The first release with namespaces.
const NAMESPACES_SINCE: Release = (6, 0, 0);

/// The first release that indexes retained messages when it imports them.
const REINDEXES_SINCE: Release = (5, 7, 1);

/// Most members that EMQX ignores that a report names.
const MAX_STRAY: usize = 20;

/// A version later than every release.
const NEWEST_NODE: &str = "999.0";

/// Collects a report from members. Call it once for each member, in the order of the archive.
#[derive(Debug, Default)]
pub(crate) struct Examiner {
    meta: Option<Meta>,
    members: Vec<InspectedMember>,
    tables: Vec<TableReport>,
    configs: Vec<(ConfigReport, hocon::Object)>,
    manifest: Option<Manifest>,
    problems: Vec<Finding>,
    bytes: u64,
    /// Bytes of all configurations.
    config_bytes: u64,
    buffer: Vec<u8>,
}

/// The kind of a member, with its content.
#[derive(Debug)]
pub(crate) enum Examined {
    /// One of the small documents of a bundle: `META.hocon`, a configuration, the manifest.
    Document(Vec<u8>),
    /// A table; true if it is sound.
    Table(bool),
    /// Any other file.
    Other,
}

impl Examiner {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Reads a member to the end, and writes its content to `copy` too. If the member is not `wanted`, only computes its checksum.
    pub(crate) fn examine(
        &mut self,
        member: &mut Member<'_>,
        copy: Option<&mut dyn Write>,
        wanted: bool,
        progress: &mut dyn BundleProgress,
    ) -> Result<Examined> {
        let path = member.path().clone();
        let header = member.header().clone();
        let size = header.size;
        progress.event(Event::Member { path: &path, size });
        self.bytes += size;
        let (sha256, examined) = match document_limit(&path) {
            Some(limit) => self.document(member, limit, copy, wanted, progress)?,
            None => self.stream(member, copy, wanted, progress)?,
        };
        self.members.push(InspectedMember {
            path,
            header,
            sha256,
        });
        Ok(examined)
    }

    /// False once `META.hocon` shows that the bundle is not EMQX's. That file is not always the first member.
    pub(crate) fn may_be_emqx(&self) -> bool {
        self.meta.as_ref().is_none_or(Meta::is_emqx)
    }

    fn stream(
        &mut self,
        member: &mut Member<'_>,
        copy: Option<&mut dyn Write>,
        wanted: bool,
        progress: &mut dyn BundleProgress,
    ) -> Result<([u8; 32], Examined)> {
        let path = member.path().clone();
        let table = table_name(&path).filter(|_| wanted && self.may_be_emqx());
        // Written out, because the compiler does not shorten the lifetime inside an `Option` implicitly.
        #[expect(clippy::needless_match, reason = "it is not the same type")]
        let copy: Option<&mut dyn Write> = match copy {
            Some(copy) => Some(copy),
            None => None,
        };
        let mut tap = Tap::new(member, copy, progress);
        let mut examined = Examined::Other;
        if let Some(name) = table {
            let report = table::inspect(name, &mut tap).map_err(Error::read)?;
            examined = Examined::Table(report.is_sound());
            self.tables.push(report);
        }
        Ok((tap.finish(&mut self.buffer)?, examined))
    }

    fn document(
        &mut self,
        member: &mut Member<'_>,
        limit: u64,
        copy: Option<&mut dyn Write>,
        wanted: bool,
        progress: &mut dyn BundleProgress,
    ) -> Result<([u8; 32], Examined)> {
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        if is_config(member.path()) {
            self.config_bytes = self.config_bytes.saturating_add(member.header().size);
            if self.config_bytes > MAX_CONFIG_BYTES {
                let text = format!("the configurations have more than {MAX_CONFIG_BYTES} bytes");
                return Err(Error::refused(text).in_member(member.path().as_str()));
            }
        }
        let bytes = member.read_whole(limit)?;
        if let Some(file) = copy {
            let written = file.write_all(&bytes);
            written.map_err(|error| Error::io("cannot write a member", error))?;
        }
        progress.event(Event::Advance {
            bytes: bytes.len() as u64,
        });
        let path = member.path().clone();
        match path.as_str() {
            META_PATH => {
                let meta = Meta::parse(&bytes).map_err(|error| {
                    Error::from(error.refusal())
                        .because(error)
                        .in_member(META_PATH)
                })?;
                self.meta = Some(meta);
            }
            MANIFEST_PATH => match Manifest::parse(&bytes) {
                Ok(manifest) => self.manifest = Some(manifest),
                Err(error) => self.problem(&path, error.to_string()),
            },
            _ if wanted && self.may_be_emqx() => self.config(&path, &bytes),
            _ => {}
        }
        Ok((Sha256::digest(&bytes).into(), Examined::Document(bytes)))
    }

    fn config(&mut self, path: &MemberPath, bytes: &[u8]) {
        match hocon::parse(bytes) {
            Err(error) => self.problem(path, error.to_string()),
            Ok(object) => {
                let report = ConfigReport {
                    path: path.clone(),
                    namespace: namespace(path).map(str::to_owned),
                    roots: roots(&object).into_iter().map(str::to_owned).collect(),
                    secrets: secrets(&object),
                };
                self.configs.push((report, object));
            }
        }
    }

    fn problem(&mut self, path: &MemberPath, text: impl Into<String>) {
        self.problems.push(Finding::new(Some(path), text));
    }

    /// `META.hocon`, if it was among the members so far.
    pub(crate) const fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// Builds the inspection, with problems and warnings.
    pub(crate) fn finish(mut self, name: BundleName, node: Option<&Node>) -> Result<Inspection> {
        let meta = self.meta.take().ok_or(Refusal::MissingBackupMeta)?;
        let is_emqx = meta.is_emqx();
        if !is_emqx && self.claims_to_be_emqx(&meta) {
            return Err(Refusal::InvalidEdition.into());
        }
        if !is_emqx {
            let looked_at = |finding: &Finding| match &finding.member {
                Some(member) => !is_config(member),
                None => true,
            };
            self.problems.retain(looked_at);
            self.tables.clear();
            self.configs.clear();
        }
        let mut warnings = Vec::new();
        if let Some(node) = node {
            check_import(&meta, node)?;
        }
        if is_emqx {
            check_meta(&meta)?;
            // Without a node, assume the newest version, so that the user learns early what it would ignore.
            let newest = Version::parse(NEWEST_NODE)?;
            let version = node.map_or(&newest, |node| &node.version);
            self.judge_members(version, &mut warnings);
            self.judge_tables(version, &mut warnings);
            self.judge_configs(version, &mut warnings);
        }
        self.compare_manifest(&name, &mut warnings);
        Ok(Inspection {
            name,
            stored_bytes: 0,
            bytes: self.bytes,
            meta,
            is_emqx,
            members: self.members,
            tables: self.tables,
            configs: self.configs.into_iter().map(|(report, _)| report).collect(),
            manifest: self.manifest,
            problems: self.problems,
            warnings,
        })
    }

    /// True if only EMQX can have made the bundle: br's bundles have a manifest or br's own edition.
    fn claims_to_be_emqx(&self, meta: &Meta) -> bool {
        let is_content = |member: &InspectedMember| {
            is_config(&member.path) || table_name(&member.path).is_some()
        };
        meta.edition != OWN_EDITION
            && self.manifest.is_none()
            && self.members.iter().any(is_content)
    }

    /// Warns about members that EMQX ignores: neither configurations nor tables, or configurations of namespaces before EMQX has them.
    fn judge_members(&self, version: &Version, warnings: &mut Vec<Finding>) {
        for member in &self.members {
            let path = &member.path;
            let is_known = matches!(path.as_str(), META_PATH | CONFIG_PATH | MANIFEST_PATH)
                || table_name(path).is_some();
            let text = match namespace(path) {
                Some(_) if version.is_since(NAMESPACES_SINCE) => continue,
                Some(_) => "EMQX before 6.0.0 has no namespaces and passes over it",
                None if is_known => continue,
                None => "EMQX passes over it: it imports `cluster.hocon` and tables only",
            };
            warnings.push(Finding::new(Some(path), text));
            if warnings.len() >= MAX_STRAY {
                return;
            }
        }
    }

    /// Adds a problem for each defect of a table that EMQX imports, and warnings for the tables that it ignores.
    fn judge_tables(&mut self, version: &Version, warnings: &mut Vec<Finding>) {
        for table in &self.tables {
            let path = MemberPath::new(&format!("mnesia/{}", table.name)).ok();
            let mut found = |text: String, emqx, is_problem| {
                let mut finding = Finding::new(path.as_ref(), text);
                finding.emqx = emqx;
                if is_problem {
                    self.problems.push(finding);
                } else {
                    warnings.push(finding);
                }
            };
            let importable = table_sets::importable(&table.name, version);
            // No warning for an empty table: nothing is lost.
            let text = skipped(importable).filter(|_| table.rows > 0 || !table.is_sound());
            if let Some(text) = text {
                found(text, None, false);
            }
            let is_imported = table_sets::set_of(&table.name).is_some();
            // For a table that EMQX ignores, one defect is enough.
            let shown = if is_imported { usize::MAX } else { 1 };
            for problem in table.problems.iter().take(shown) {
                let emqx = problem.emqx_message(&table.name, &table.name);
                found(
                    problem.to_string(),
                    emqx,
                    is_imported && !problem.is_warning(),
                );
            }
            if let Some(text) = consequence(table, version) {
                found(text.to_owned(), None, false);
            }
        }
    }

    fn judge_configs(&self, version: &Version, warnings: &mut Vec<Finding>) {
        let has_namespaces = version.is_since(NAMESPACES_SINCE);
        let imported = |report: &ConfigReport| report.namespace.is_none() || has_namespaces;
        for (report, object) in self.configs.iter().filter(|(report, _)| imported(report)) {
            for loss in losses(object, Some(version)) {
                warnings.push(Finding::new(Some(&report.path), loss.to_string()));
            }
        }
    }

    /// Every member must be in the manifest, and every member of the manifest in the bundle, with the same content.
    fn compare_manifest(&mut self, name: &BundleName, warnings: &mut Vec<Finding>) {
        let Some(manifest) = &self.manifest else {
            return;
        };
        let mut problems = Vec::new();
        if manifest.name != name.directory() {
            let text = format!("the manifest is that of {}", manifest.name.escape_debug());
            problems.push(Finding::new(None, text));
        }
        let mut expected: HashMap<&str, _> = HashMap::new();
        for member in &manifest.members {
            expected.insert(member.path.as_str(), member);
            let path = MemberPath::new(&member.path).ok();
            if member.padded {
                let text = "it ended early when the bundle was made: zeros stand for the rest";
                problems.push(Finding::new(path.as_ref(), text));
            } else if member.changed {
                let text = "it changed while the bundle was made: it may mix two states";
                warnings.push(Finding::new(path.as_ref(), text));
            }
        }
        for member in &self.members {
            if member.path.as_str() == MANIFEST_PATH {
                continue;
            }
            let text = match expected.remove(member.path.as_str()) {
                None => "it is not in the manifest".to_owned(),
                Some(entry) if entry.size != member.header.size => {
                    let (is, was) = (member.header.size, entry.size);
                    format!("it has {is} bytes instead of {was}")
                }
                Some(entry) if entry.sha256 != member.sha256 => {
                    format!("its SHA-256 is not {}", to_hex(&entry.sha256))
                }
                Some(_) => continue,
            };
            problems.push(Finding::new(Some(&member.path), text));
        }
        let mut missing: Vec<_> = expected.into_keys().collect();
        missing.sort_unstable();
        for path in missing {
            let text = format!("{} is missing", path.escape_debug());
            problems.push(Finding::new(MemberPath::new(path).ok().as_ref(), text));
        }
        self.problems.append(&mut problems);
    }
}

/// Largest size of a member that is read into memory; `None` for members that are streamed.
fn document_limit(path: &MemberPath) -> Option<u64> {
    match path.as_str() {
        META_PATH => Some(MAX_META_BYTES),
        MANIFEST_PATH => Some(MAX_MANIFEST_BYTES),
        _ => is_config(path).then_some(hocon::MAX_BYTES as u64),
    }
}

/// What an import of a table changes unexpectedly in the target, or what the user must do afterwards.
fn consequence(table: &TableReport, version: &Version) -> Option<&'static str> {
    if table.rows == 0 {
        return None;
    }
    match table.name.as_str() {
        "emqx_admin" => {
            Some("its users replace those of the same name on the target, passwords included")
        }
        "emqx_app" => Some(
            "its API keys replace those of the same name on the target: programs that use these, such as the operator of \
             Kubernetes, need the new ones",
        ),
        "emqx_retainer_message"
            if table_sets::importable(&table.name, version) == Importable::Yes
                && !version.is_since(REINDEXES_SINCE) =>
        {
            Some(
                "EMQX before 5.7.1 does not index the messages that it imports: run `emqx ctl retainer reindex start` after \
                 the import",
            )
        }
        _ => None,
    }
}

/// Why EMQX would ignore a table without an error.
fn skipped(importable: Importable) -> Option<String> {
    match importable {
        Importable::Yes => None,
        Importable::NotBefore((major, minor, patch)) => Some(format!(
            "EMQX before {major}.{minor}.{patch} has no such table and passes over it"
        )),
        Importable::UnknownTable { renamed_to: None } => {
            Some("EMQX has no such table and passes over it".to_owned())
        }
        Importable::UnknownTable {
            renamed_to: Some(name),
        } => Some(format!(
            "EMQX passes over it, as it has been called {name} since: its records will be missing"
        )),
    }
}

//! What `br doctor` finds out about the schedule: whether a timer of systemd or a line of cron runs br.
//!
//! Invariant: this is advice only, because there are other schedulers, and files that this user may not read.

use std::path::{Path, PathBuf};

use crate::environment::variable;
use crate::output::doctor::Finding;
use crate::output::format;

/// Folders with units of systemd.
const SYSTEMD: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Files of cron, and folders with such files.
const CRON: [&str; 8] = [
    "/etc/crontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron/crontabs",
    "/var/spool/cron",
];
/// Maximum length of a file that is read.
const MAX_LEN: u64 = 1 << 20;
/// How to make a schedule. `br` is the program with the configuration file of this command.
fn fix(br: &str) -> String {
    format!(
        "add a line to /etc/cron.d/br, such as `0 2 * * * root {br} run`, or a systemd timer; cron looks for programs in /usr/bin and /bin only"
    )
}

/// What a job does.
#[derive(Debug, PartialEq, Eq)]
enum Runs {
    /// `br run` without a name.
    All,
    /// `br run` with these names.
    Sets(Vec<String>),
    /// `br backup`.
    Backup,
}

impl Runs {
    fn has(&self, set: &str) -> bool {
        match self {
            Self::All => true,
            Self::Sets(names) => names.iter().any(|name| name == set),
            Self::Backup => false,
        }
    }
}

/// Something that runs br.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    file: PathBuf,
    runs: Runs,
    /// False for a timer that the system does not start.
    is_enabled: bool,
}

/// Looks for jobs that run br, for each of these sets.
pub(super) fn look(sets: &[&str], br: &str) -> Vec<Finding> {
    let mut jobs = of_cron();
    jobs.extend(of_systemd());
    if jobs.is_empty() {
        let message = "no systemd timer and no line of cron that this user can read runs br";
        return vec![Finding::advice(message, fix(br))];
    }
    let mut findings: Vec<Finding> = jobs.iter().map(of_job).collect();
    for set in sets {
        let mut enabled = jobs.iter().filter(|job| job.is_enabled);
        if !enabled.any(|job| job.runs.has(set)) {
            let message = format!("no schedule runs the set {set}");
            findings.push(Finding::advice(message, fix(br)));
        }
    }
    findings
}

fn of_job(job: &Job) -> Finding {
    let file = format::path(&job.file);
    if job.is_enabled {
        return Finding::ok(format!("{file} runs br"));
    }
    let name = job.file.file_name().unwrap_or_default().display();
    let fix = format!("`systemctl enable --now {name}`");
    Finding::advice(
        format!("the timer {file} would run br, and is not enabled"),
        fix,
    )
}

/// Lines of cron.
fn of_cron() -> Vec<Job> {
    let files = CRON.iter().flat_map(|path| {
        let path = Path::new(path);
        if path.is_dir() {
            files_in(path)
        } else {
            vec![path.to_owned()]
        }
    });
    let mut jobs = Vec::new();
    for file in files {
        let text = read(&file).unwrap_or_default();
        jobs.extend(runs_in(&text).into_iter().map(|runs| Job {
            file: file.clone(),
            runs,
            is_enabled: true,
        }));
    }
    jobs
}

/// Timers of systemd whose service runs br.
fn of_systemd() -> Vec<Job> {
    let mut folders: Vec<PathBuf> = SYSTEMD.iter().map(PathBuf::from).collect();
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
    folders.extend(config.map(|folder| folder.join("systemd/user")));
    let mut jobs: Vec<Job> = Vec::new();
    for folder in &folders {
        for timer in files_in(folder) {
            let Some(stem) = name_of(&timer).strip_suffix(".timer").map(str::to_owned) else {
                continue;
            };
            let unit = read(&timer).and_then(|text| value_of(&text, "Unit="));
            let service = unit.unwrap_or_else(|| format!("{stem}.service"));
            let Some((text, instance)) = service_in(&folders, &service) else {
                continue;
            };
            let is_known = |job: &Job| name_of(&job.file) == name_of(&timer);
            if jobs.iter().any(is_known) {
                continue;
            }
            let is_enabled = folders.iter().any(|folder| {
                let link = folder.join("timers.target.wants").join(name_of(&timer));
                link.is_symlink() || link.exists()
            });
            let runs = runs_in(&text.replace("%i", &instance).replace("%I", &instance));
            jobs.extend(runs.into_iter().map(|runs| Job {
                file: timer.clone(),
                runs,
                is_enabled,
            }));
        }
    }
    jobs
}

/// The text of a service, and its instance if the file is a template.
fn service_in(folders: &[PathBuf], service: &str) -> Option<(String, String)> {
    let find = |name: &str| folders.iter().find_map(|folder| read(&folder.join(name)));
    if let Some(text) = find(service) {
        return Some((text, String::new()));
    }
    let (name, rest) = service.split_once('@')?;
    let instance = rest.strip_suffix(".service")?;
    Some((find(&format!("{name}@.service"))?, instance.to_owned()))
}

/// The last value of a key in a unit.
fn value_of(text: &str, key: &str) -> Option<String> {
    let mut values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key));
    values.next_back().map(|value| value.trim().to_owned())
}

/// What each line that runs br does.
fn runs_in(text: &str) -> Vec<Runs> {
    let joined = text.replace("\\\n", " ");
    joined.lines().filter_map(runs_of).collect()
}

/// What a line does, if it runs br.
fn runs_of(line: &str) -> Option<Runs> {
    if line.trim_start().starts_with(['#', ';']) {
        return None;
    }
    // A service has `ExecStart=-/usr/bin/br`, and a shell has quotes.
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || c == '=')
        .collect();
    let is_br = |word: &&str| {
        let path = word.trim_matches(|c: char| "'\"()@-+!:".contains(c));
        Path::new(path).file_name().is_some_and(|name| name == "br")
    };
    let at = words.iter().position(is_br)?;
    let rest = words.get(at + 1..).unwrap_or_default().iter();
    let mut rest = rest.map(|word| word.trim_matches(['\'', '"']));
    if rest.find(|word| matches!(*word, "run" | "backup"))? == "backup" {
        return Some(Runs::Backup);
    }
    let is_end = |word: &str| word.starts_with([';', '|', '&', '#']) || word.contains(['>', '<']);
    let mut sets = Vec::new();
    for word in rest.take_while(|word| !is_end(word)) {
        let name = word.trim_end_matches([';', ')', '\'', '"']);
        if !name.is_empty() && !name.starts_with('-') {
            sets.push(name.to_owned());
        }
        if word.contains(';') {
            break;
        }
    }
    Some(if sets.is_empty() {
        Runs::All
    } else {
        Runs::Sets(sets)
    })
}

/// The files in a folder; none if it cannot be read.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = items.map(|item| item.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// The text of a small file.
fn read(file: &Path) -> Option<String> {
    let data = file.metadata().ok()?;
    if !data.is_file() || data.len() > MAX_LEN {
        return None;
    }
    let bytes = std::fs::read(file).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_run_br_are_understood() {
        let sets = |names: &[&str]| Runs::Sets(names.iter().map(|&name| name.to_owned()).collect());
        for (line, expected) in [
            ("0 2 * * * root br run", Some(Runs::All)),
            ("0 2 * * * br run shop home", Some(sets(&["shop", "home"]))),
            (
                "0 2 * * * root /usr/local/bin/br --config /etc/br/x.toml run shop >/dev/null 2>&1",
                Some(sets(&["shop"])),
            ),
            (
                "@daily root sh -c 'br run shop; sync'",
                Some(sets(&["shop"])),
            ),
            ("ExecStart=-/usr/bin/br run", Some(Runs::All)),
            (
                "ExecStart=/usr/bin/br --config=/x run --quiet shop",
                Some(sets(&["shop"])),
            ),
            (
                "0 3 * * * br -r /srv/backup backup /home",
                Some(Runs::Backup),
            ),
            ("#0 2 * * * root br run", None),
            ("0 2 * * * root cd /etc/br && ls", None),
            ("0 2 * * * root brun run", None),
            ("Description=Runs br", None),
        ] {
            assert_eq!(runs_of(line), expected, "{line}");
        }
        assert_eq!(runs_in("a\nExecStart=br \\\n  run\n"), [Runs::All]);
    }
}

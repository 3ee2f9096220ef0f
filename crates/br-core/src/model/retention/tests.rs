//! Retention: comparison with restic and borg, cases that only br has, and properties.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;

use super::{Anomaly, GroupBy, KeepReason, Period, RetentionPlan, RetentionPolicy, RetentionRule};
use crate::model::{
    Backup, BackupId, BackupKind, Changes, Origin, OriginKind, Proof, ProofMethod, Totals,
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Noon of a Wednesday.
const START: i64 = 1_767_182_400;

/// The backup number `n`: complete, of 1,000 bytes in 100 files.
fn backup(n: usize, started: Timestamp) -> Backup {
    let id: BackupId = format!("00000000-0000-7000-8000-{n:012x}").parse().unwrap();
    Backup {
        id,
        kind: BackupKind::Full,
        base: None,
        origin: Some(Origin::new(OriginKind::Files)),
        host: "h".to_owned(),
        user: "u".to_owned(),
        paths: vec![b"/data".to_vec()],
        folder: Vec::new(),
        tags: Vec::new(),
        started,
        finished: started,
        tree: None,
        totals: Totals {
            entries: 100,
            files: 100,
            directories: 0,
            bytes: 1_000,
        },
        changes: Changes::default(),
        unread: Vec::new(),
        unread_count: 0,
        program: "test".to_owned(),
        note: None,
        pinned: false,
        proven: None,
        damaged: None,
        copy_of: None,
        rewrite_of: None,
        configuration: None,
        streams: Vec::new(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

/// Backups at these seconds after the start, in the order of their commits.
fn backups(times: impl IntoIterator<Item = i64>) -> Vec<Backup> {
    let times = times.into_iter().enumerate();
    times.map(|(n, time)| backup(n, at(time))).collect()
}

fn policy(rules: &str) -> RetentionPolicy {
    policy_in(rules, TimeZone::UTC)
}

/// A policy of rules such as `last=3 daily=7 within-weekly=1m`.
fn policy_in(rules: &str, zone: TimeZone) -> RetentionPolicy {
    let period = |name: &str| {
        let all = Period::ALL.into_iter();
        all.clone().find(|period| period.name() == name).unwrap()
    };
    let rule = |text: &str| {
        let (name, value) = text.split_once('=').unwrap();
        match (name, name.strip_prefix("within-")) {
            ("last", _) => RetentionRule::Last(value.parse().unwrap()),
            ("within", _) => RetentionRule::Within(value.parse().unwrap()),
            ("tag", _) => RetentionRule::Tags(value.split(',').map(str::to_owned).collect()),
            (_, Some(name)) => RetentionRule::EveryWithin(period(name), value.parse().unwrap()),
            (name, None) => RetentionRule::Every(period(name), value.parse().unwrap()),
        }
    };
    let rules = rules.split_whitespace().map(rule);
    rules.fold(RetentionPolicy::new(zone), RetentionPolicy::keep)
}

fn decide(policy: &RetentionPolicy, backups: &[Backup], now: Timestamp) -> RetentionPlan {
    RetentionPlan::decide(policy, backups.iter().cloned(), now)
}

/// The numbers of the backups that stay.
fn kept(policy: &RetentionPolicy, backups: &[Backup]) -> Vec<usize> {
    let now = at(400 * DAY);
    numbers(&decide(policy, backups, now), |reasons| !reasons.is_empty())
}

fn numbers(plan: &RetentionPlan, fits: impl Fn(&[KeepReason]) -> bool) -> Vec<usize> {
    let fitting = plan.decisions().filter(|one| fits(&one.reasons));
    let number = |id: BackupId| usize::from_str_radix(&id.to_string()[24..], 16).unwrap();
    let mut numbers: Vec<_> = fitting.map(|one| number(one.backup.id)).collect();
    numbers.sort_unstable();
    numbers
}

#[derive(Deserialize)]
struct Peers {
    timelines: BTreeMap<String, Line>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Line {
    zone: String,
    times: Vec<Timestamp>,
}

#[derive(Deserialize)]
struct Case {
    timeline: String,
    policy: String,
    kept: Vec<usize>,
    /// The program that gave this result: `restic` (0.14), `borg` (1.2.4), or `both`.
    by: String,
}

/// `peers.json` says which archives with these times the real programs kept. It leaves out cases in which the programs disagree: a rule of
/// borg does not count archives that an earlier rule keeps. Only borg keeps the oldest archive while a rule has periods left; restic does so
/// since 0.16.
#[test]
fn rules_keep_what_restic_and_borg_keep() {
    let peers: Peers = serde_json::from_str(include_str!("peers.json")).unwrap();
    assert!(peers.cases.len() >= 200);
    let mut wrong = Vec::new();
    for case in &peers.cases {
        let line = &peers.timelines[&case.timeline];
        let zone = TimeZone::get(&line.zone).unwrap();
        let times = line.times.iter().copied().enumerate();
        let backups: Vec<_> = times.map(|(n, time)| backup(n, time)).collect();
        let now = *line.times.last().unwrap();
        let plan = decide(&policy_in(&case.policy, zone), &backups, now);
        let is_rule = |reason: &KeepReason| {
            let newer = matches!(reason, KeepReason::Oldest(_)) && case.by == "restic";
            !newer && !matches!(reason, KeepReason::Newest | KeepReason::LastComplete)
        };
        let kept = numbers(&plan, |reasons| reasons.iter().any(is_rule));
        if kept != case.kept {
            let (timeline, policy) = (&case.timeline, &case.policy);
            wrong.push(format!(
                "{timeline}, {policy}: {kept:?}, {} {:?}",
                case.by, case.kept
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn protected_backups_stay_whatever_the_rules_say() {
    let mut all = backups((0..10).map(|n| n * DAY));
    all[1].pinned = true;
    all[2].proven = Some(Proof::new(at(0), ProofMethod::Check));
    all[3].proven = Some(Proof::new(at(0), ProofMethod::Drill));
    all[9].unread_count = 1;
    // Kept by no rule: tags that no backup has.
    assert_eq!(kept(&policy("tag=none"), &all), [1, 3, 8, 9]);
    assert_eq!(
        kept(&policy("tag=none").with_minimum(4), &all),
        [1, 3, 7, 8, 9]
    );
    all[0].tags = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(kept(&policy("tag=a,b"), &all), [0, 1, 3, 8, 9]);
    assert_eq!(kept(&policy("tag=a,c"), &all), [1, 3, 8, 9]);
    let by_id = RetentionPolicy::new(TimeZone::UTC).keep(RetentionRule::Id(all[5].id));
    assert_eq!(kept(&by_id, &all), [1, 3, 5, 8, 9]);
}

#[test]
fn policy_without_rule_keeps_everything() {
    let all = backups((0..5).map(|n| n * DAY));
    for rules in ["", "last=0", "daily=0 within=0h"] {
        assert!(policy(rules).is_empty(), "{rules}");
        assert_eq!(kept(&policy(rules), &all), [0, 1, 2, 3, 4], "{rules}");
    }
}

#[test]
fn groups_are_separate() {
    let mut all = backups((0..6).map(|n| n * HOUR));
    all[1].host = "other".to_owned();
    all[3].paths = vec![b"x/../y".to_vec()];
    all[3].folder = b"/".to_vec();
    all[4].paths = vec![b"/y".to_vec()];
    all[5].origin = Some(Origin::new(OriginKind::Stream));
    assert_eq!(kept(&policy("last=1"), &all), [1, 2, 4, 5]);
    let by_host = GroupBy::NOTHING.with_host(true);
    assert_eq!(kept(&policy("last=1").with_group_by(by_host), &all), [1, 5]);
    let one = policy("last=1").with_group_by(GroupBy::NOTHING);
    assert_eq!(kept(&one, &all), [5]);
}

/// Incomplete backups are marked with `i`, complete ones with `c`; one a day.
fn mixed(marks: &str) -> Vec<Backup> {
    let mut all = backups((0..marks.len() as i64).map(|n| n * DAY));
    for (backup, mark) in all.iter_mut().zip(marks.chars()) {
        backup.unread_count = u64::from(mark == 'i');
    }
    all
}

#[test]
fn incomplete_backups_do_not_count() {
    for (marks, rules, expected) in [
        ("ccccc", "last=2", &[3, 4][..]),
        // Both complete ones stay, and the incomplete ones after them.
        ("ccici", "last=2", &[1, 2, 3, 4]),
        ("cciii", "last=2", &[0, 1, 3, 4]),
        // Without any complete backup, the numbers apply to what there is.
        ("iiiii", "last=2", &[3, 4]),
        ("iiiii", "daily=3", &[2, 3, 4]),
        ("cccii", "daily=2", &[1, 2, 3, 4]),
        ("cccci", "daily=1", &[3, 4]),
        ("cicic", "daily=2", &[2, 3, 4]),
    ] {
        assert_eq!(
            kept(&policy(rules), &mixed(marks)),
            expected,
            "{marks} {rules}"
        );
    }
}

#[test]
fn incomplete_backup_of_the_same_day_does_not_replace_a_complete_one() {
    let mut all = backups([0, HOUR, DAY, DAY + HOUR]);
    all[1].unread_count = 1;
    all[3].unread_count = 1;
    assert_eq!(
        kept(&policy("daily=2"), &all),
        [0, 2, 3],
        "3 is the newest of all"
    );
}

#[test]
fn window_of_time_ends_at_the_newest_complete_backup() {
    let mut all = backups([0, 5 * DAY, 10 * DAY, 40 * DAY]);
    all[3].unread_count = 1;
    assert_eq!(kept(&policy("within=6d"), &all), [1, 2, 3]);
}

#[test]
fn backups_dated_in_the_future_stay_and_do_not_count() {
    let all = backups([0, DAY, 900 * DAY, 2 * DAY, 3 * DAY, 901 * DAY]);
    let plan = decide(&policy("daily=2"), &all, at(3 * DAY));
    assert_eq!(numbers(&plan, |reasons| !reasons.is_empty()), [2, 3, 4, 5]);
    let plan = decide(&policy("within=2d"), &all, at(3 * DAY));
    assert_eq!(numbers(&plan, |reasons| !reasons.is_empty()), [2, 3, 4, 5]);
    // A clock that is years behind removes nothing.
    let plan = decide(&policy("last=1"), &all, at(-900 * DAY));
    assert_eq!(plan.removed().count(), 0);
    // Half an hour is within the tolerance.
    let plan = decide(&policy("last=1"), &all[..2], at(DAY - HOUR / 2));
    assert_eq!(numbers(&plan, |reasons| !reasons.is_empty()), [1]);
}

#[test]
fn backdated_backups_do_not_push_out_real_ones() {
    let mut times: Vec<i64> = (0..10).map(|n| n * DAY).collect();
    let real = kept(&policy("daily=7"), &backups(times.clone()));
    assert_eq!(real, [3, 4, 5, 6, 7, 8, 9]);
    // Many backups that claim to be from other days, committed later.
    times.extend((0..50).map(|n| -(n + 1) * DAY));
    let after = kept(&policy("daily=7"), &backups(times));
    assert!(
        real.iter().all(|number| after.contains(number)),
        "{after:?}"
    );
}

#[test]
fn clock_that_was_ahead_for_one_backup_removes_no_other() {
    // The third backup was dated 20 days ahead.
    let mut times: Vec<i64> = (0..12).map(|n| n * DAY).collect();
    let right = kept(&policy("daily=5"), &backups(times.clone()));
    times[2] += 20 * DAY;
    let wrong = kept(&policy("daily=5"), &backups(times));
    assert!(
        right.iter().all(|number| wrong.contains(number)),
        "{wrong:?}"
    );
}

#[test]
fn clock_that_was_a_year_behind_for_a_week_removes_no_other() {
    let mut times: Vec<i64> = (0..20).map(|n| n * DAY).collect();
    let right = kept(&policy("daily=20"), &backups(times.clone()));
    assert_eq!(right.len(), 20);
    times[8..15].iter_mut().for_each(|time| *time -= 365 * DAY);
    assert_eq!(kept(&policy("daily=20"), &backups(times)), right);
}

#[test]
fn time_that_contradicts_both_sides_keeps_the_backup() {
    let all = backups([5 * DAY, 3 * DAY, DAY, 6 * DAY]);
    assert_eq!(kept(&policy("daily=1"), &all), [1, 3]);
}

#[test]
fn of_equal_times_the_last_commit_is_the_newest() {
    let all = backups([0, 0, 0, DAY, DAY]);
    assert_eq!(kept(&policy("last=2"), &all), [3, 4]);
    assert_eq!(kept(&policy("daily=2"), &all), [2, 4]);
}

#[test]
fn local_midnight_separates_days() {
    // 22:30 and 23:30 in UTC are two days in Berlin in winter.
    let all = backups([10 * HOUR + 1_800, 11 * HOUR + 1_800]);
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    assert_eq!(kept(&policy_in("daily=1", berlin.clone()), &all), [1]);
    assert_eq!(kept(&policy_in("daily=2", berlin), &all), [0, 1]);
    assert_eq!(kept(&policy("daily=1"), &all), [1]);
}

#[test]
fn strange_newest_backup_holds_its_group() {
    let change = |set: fn(&mut Totals)| {
        let mut all = backups((0..8).map(|n| n * DAY));
        set(&mut all[7].totals);
        all
    };
    let anomaly = |all: &[Backup]| {
        let plan = decide(&policy("last=2"), all, at(9 * DAY));
        let held = plan.removed().count() == 0;
        let anomaly = plan.groups[0].anomaly;
        assert_eq!(held, anomaly.is_some());
        anomaly
    };
    let usual = 1_000;
    assert_eq!(anomaly(&change(|_| ())), None);
    let empty = change(|totals| totals.bytes = 0);
    assert_eq!(anomaly(&empty), Some(Anomaly::Empty { usual }));
    let bytes = 499;
    let small = change(|totals| totals.bytes = 499);
    assert_eq!(anomaly(&small), Some(Anomaly::FewBytes { bytes, usual }));
    assert_eq!(anomaly(&change(|totals| totals.bytes = 500)), None);
    let few = change(|totals| totals.files = 49);
    assert_eq!(
        anomaly(&few),
        Some(Anomaly::FewFiles {
            files: 49,
            usual: 100
        })
    );
    assert_eq!(anomaly(&change(|totals| totals.files = 50)), None);
    let forced = policy("last=2").with_ignore_anomalies(true);
    assert_eq!(kept(&forced, &empty), [6, 7]);
    // Other groups are not held.
    let mut two = empty;
    for backup in &mut two[..3] {
        backup.host = "other".to_owned();
    }
    assert_eq!(kept(&policy("last=2"), &two), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn empty_backups_hold_the_group_however_many_there_are() {
    let mut all = backups((0..40).map(|n| n * DAY));
    for backup in &mut all[2..] {
        backup.totals.bytes = 0;
    }
    assert_eq!(kept(&policy("last=2"), &all).len(), 40);
}

#[test]
fn backup_with_time_of_1970_is_judged_by_its_place() {
    let mut times: Vec<i64> = (0..6).map(|n| n * DAY).collect();
    times[3] = -20_000 * DAY;
    assert_eq!(
        kept(&policy("within=30d"), &backups(times)),
        [0, 1, 2, 3, 4, 5]
    );
}

#[test]
fn minimum_does_not_count_backups_of_the_future() {
    let all = backups([0, DAY, 2 * DAY, 500 * DAY, 501 * DAY]);
    let plan = decide(&policy("tag=x").with_minimum(2), &all, at(3 * DAY));
    assert_eq!(numbers(&plan, |reasons| !reasons.is_empty()), [1, 2, 3, 4]);
}

#[test]
fn strange_backups_in_a_row_hold_the_group() {
    let mut all = backups((0..14).map(|n| n * DAY));
    for backup in &mut all[10..] {
        backup.totals.bytes = 10;
    }
    assert_eq!(kept(&policy("last=2"), &all).len(), 14, "four of them");
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let rule = prop_oneof![
        (0..5u32).prop_map(|n| format!("last={n}")),
        (0..5usize, 1..6u32).prop_map(|(at, n)| format!("{}={n}", Period::ALL[at].name())),
        (1..40u32).prop_map(|days| format!("within={days}d")),
        (0..5usize, 1..60u32).prop_map(|(at, n)| format!("within-{}={n}d", Period::ALL[at].name())),
    ];
    prop::collection::vec(rule, 1..4).prop_map(|rules| policy(&rules.join(" ")))
}

/// Backups with gaps of minutes to months; some are incomplete.
fn any_history() -> impl Strategy<Value = Vec<Backup>> {
    let gap = prop_oneof![60..HOUR, HOUR..DAY, DAY..3 * DAY, DAY..70 * DAY];
    prop::collection::vec((gap, prop::bool::weighted(0.2)), 1..40).prop_map(|gaps| {
        let mut time = -300 * DAY;
        let mut all = Vec::new();
        for (n, (gap, is_incomplete)) in gaps.into_iter().enumerate() {
            time += gap;
            let mut one = backup(n, at(time));
            one.unread_count = u64::from(is_incomplete);
            all.push(one);
        }
        all
    })
}

fn set(numbers: Vec<usize>) -> BTreeSet<usize> {
    numbers.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn newest_and_newest_complete_backup_stay(policy in any_policy(), all in any_history()) {
        let kept = kept(&policy, &all);
        prop_assert!(kept.contains(&(all.len() - 1)));
        if let Some(complete) = all.iter().rposition(Backup::is_complete) {
            prop_assert!(kept.contains(&complete));
        }
    }

    #[test]
    fn incomplete_backups_do_not_remove_complete_ones(policy in any_policy(), all in any_history()) {
        let with = set(kept(&policy, &all));
        let complete: Vec<_> = all.iter().filter(|one| one.is_complete()).cloned().collect();
        for number in kept(&policy, &complete) {
            prop_assert!(with.contains(&number), "{number}");
        }
    }

    /// A new backup with any time removes only backups of its own period, or the oldest backup of a rule if it begins a new period.
    #[test]
    fn new_backup_with_any_time_removes_only_what_its_period_replaces(
        policy in any_policy(), all in any_history(), shift in -400 * DAY..0i64,
    ) {
        let mut all = all;
        all.iter_mut().for_each(|one| one.unread_count = 0);
        let before = set(kept(&policy, &all));
        let newest = all.last().unwrap().started;
        let mut more = all.clone();
        more.push(backup(all.len(), newest.checked_add(SignedDuration::from_secs(shift)).unwrap()));
        let after = set(kept(&policy, &more));
        for number in before.difference(&after) {
            // Kept by number alone, by an older position, or in the period of the newest backup.
            let gone = all[*number].started;
            let by_number = policy.rules.iter().any(|rule| matches!(rule, RetentionRule::Last(_)));
            let shares_period = Period::ALL.iter().any(|period| {
                period.number(gone, &TimeZone::UTC) == period.number(newest, &TimeZone::UTC)
            });
            prop_assert!(by_number || shares_period, "{number}");
        }
    }

    #[test]
    fn more_rules_keep_more(one in any_policy(), other in any_policy(), all in any_history()) {
        let mut both = one.clone();
        both.rules.extend(other.rules.clone());
        let together = set(kept(&both, &all));
        if !one.is_empty() {
            prop_assert!(set(kept(&one, &all)).is_subset(&together));
        }
    }
}

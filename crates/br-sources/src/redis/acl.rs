//! What a user of Redis may do, and what it lacks for a backup.

use crate::server::MissingRights;

/// Where the statements are typed.
const PLACE: &str = "in `redis-cli`, as an administrator of the server; then `ACL SAVE` or `CONFIG REWRITE`, or a restart of the server forgets it";
/// The categories of the command `SYNC`, which cannot be tried: the server would make a snapshot.
const OF_SYNC: [&str; 3] = ["admin", "dangerous", "slow"];

/// What is known about each command that a backup needs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lacks {
    pub(super) info: bool,
    pub(super) replconf: bool,
    pub(super) sync: bool,
    pub(super) acl_list: bool,
    pub(super) config_get: bool,
}

impl Lacks {
    /// True if there is no snapshot without the rights.
    pub(super) const fn is_fatal(self) -> bool {
        self.info || self.sync
    }

    /// The rights; `None` if nothing is missing.
    pub(super) fn rights(self, user: &str) -> Option<MissingRights> {
        let all = [
            (self.info, "+info"),
            (self.replconf, "+replconf"),
            (self.sync, "+sync"),
            (self.acl_list, "+acl|list"),
            (self.config_get, "+config|get"),
        ];
        let rights = all.iter().filter(|(lacks, _)| *lacks);
        let rights: Vec<String> = rights.map(|(_, rule)| (*rule).to_owned()).collect();
        let statement = format!("ACL SETUSER {} {}", quoted(user), rights.join(" "));
        (!rights.is_empty()).then(|| MissingRights::new(rights, vec![statement], PLACE))
    }
}

/// A word for `redis-cli`.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// True if the rules of a user, as `ACL LIST` shows them, allow the command `SYNC`. `None` if the list does not have the user.
pub(super) fn allows_sync(list: &str, user: &str) -> Option<bool> {
    let line = list.lines().find_map(|line| {
        let (name, rules) = line.strip_prefix("user ")?.split_once(' ')?;
        (name == user).then_some(rules)
    })?;
    // Each selector is separate: one that allows the command is enough.
    let selectors = line.split(['(', ')']);
    Some(selectors.into_iter().any(selector_allows_sync))
}

fn selector_allows_sync(rules: &str) -> bool {
    let mut allows = false;
    for rule in rules.split(' ') {
        let (sign, name) = rule.split_at_checked(1).unwrap_or_default();
        let category = name.strip_prefix('@');
        let concerns = category.map_or(name == "sync", |category| {
            category == "all" || OF_SYNC.contains(&category)
        });
        match sign {
            "+" if concerns => allows = true,
            "-" if concerns => allows = false,
            _ if rule == "allcommands" => allows = true,
            _ if rule == "nocommands" => allows = false,
            _ => {}
        }
    }
    allows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_about_a_command_counts() {
        for (rules, expected) in [
            ("on nopass sanitize-payload ~* &* +@all", true),
            ("on #aa ~* resetchannels -@all +ping +info", false),
            ("on #aa -@all +sync", true),
            ("on #aa +@all -@dangerous", false),
            ("on #aa +@all -@dangerous +sync", true),
            ("on #aa +@all -sync", false),
            ("on #aa -@all +@admin", true),
            ("on #aa -@all +psync +@read", false),
            ("on #aa -@all (~x* -@all +sync)", true),
            ("on #aa allcommands", true),
        ] {
            let list = format!("user other on +@all\nuser br {rules}\n");
            assert_eq!(allows_sync(&list, "br"), Some(expected), "{rules}");
        }
        assert_eq!(allows_sync("user other on +@all\n", "br"), None);
    }

    #[test]
    fn the_statement_gives_only_what_is_missing() {
        let lacks = Lacks {
            sync: true,
            config_get: true,
            ..Lacks::default()
        };
        let missing = lacks.rights("b r").unwrap();
        assert_eq!(
            missing.statements,
            ["ACL SETUSER \"b r\" +sync +config|get"]
        );
        assert!(lacks.is_fatal() && Lacks::default().rights("br").is_none());
    }
}

//! User names of MatrixOne.

/// The account whose users may take backups.
const SYS: &str = "sys";

/// Returns the account in a user name: `user`, `account:user`, `account:user:role`, or the same with `#`,
/// optionally followed by a label for the proxy, `?cn=…`. A name without an account belongs to `sys`.
pub(super) fn account(user: &str) -> &str {
    let name = user.split_once('?').map_or(user, |(name, _)| name);
    let separator = if name.contains(':') { ':' } else { '#' };
    name.split_once(separator)
        .map_or(SYS, |(account, _)| account)
}

/// Returns whether a user belongs to the account that may take backups.
pub(super) fn is_sys(user: &str) -> bool {
    account(user).eq_ignore_ascii_case(SYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_found_in_every_form() {
        for (user, expected) in [
            ("dump", "sys"),
            ("dump?role=__MO_OB__", "sys"),
            ("dump?label=a:b", "sys"),
            ("sys:dump", "sys"),
            ("sys#root#moadmin", "sys"),
            ("acc1:admin:role", "acc1"),
            ("acc1#admin", "acc1"),
            ("acc1:a#b", "acc1"),
        ] {
            assert_eq!(account(user), expected, "{user}");
        }
        assert!(is_sys("SYS:root") && !is_sys("acc1:root"));
    }
}

//! Statements without their secrets.
//!
//! [`masked`] returns the text for a log. Invariant: it hides every text after a secret key, even if the statement is wrong.

use super::token::{Kind, tokens};

/// The keys with secret values.
const SECRET: [&str; 2] = ["access_key_id", "secret_access_key"];

/// The statement with `******` for keys and secrets.
#[must_use]
pub fn masked(sql: &str) -> String {
    let Ok(tokens) = tokens(sql) else {
        let word = sql.split_whitespace().next().unwrap_or_default();
        return format!("{word} … (cannot be read)");
    };
    let mut shown = String::new();
    let mut copied = 0;
    for (position, token) in tokens.iter().enumerate() {
        let Kind::Text(text) = &token.kind else {
            continue;
        };
        let is_secret = SECRET.iter().any(|key| key.eq_ignore_ascii_case(text));
        let mut rest = tokens[position + 1..].iter();
        let equals = rest.next().map(|token| &token.kind);
        let value = rest.next();
        if let (true, Some(Kind::Symbol('=')), Some(value)) = (is_secret, equals, value) {
            shown += &sql[copied..value.at.start];
            shown += "'******'";
            copied = value.at.end;
        }
    }
    shown + &sql[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_right_and_wrong_statements() {
        let sql = "BACKUP 'x' S3OPTION {'endpoint'='e','ACCESS_KEY_ID' = 'AK', \"secret_access_key\"='S''K'} TYP";
        let shown = masked(sql);
        assert_eq!(
            shown,
            "BACKUP 'x' S3OPTION {'endpoint'='e','ACCESS_KEY_ID' = '******', \"secret_access_key\"='******'} TYP"
        );
        assert!(!masked("BACKUP 'x' S3OPTION {'secret_access_key'='SK").contains("SK"));
    }
}

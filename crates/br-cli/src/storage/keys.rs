//! Credentials: which keys br uses, and where they come from.
//!
//! [`credentials`] decides. Invariant: incomplete or contradictory credentials are refused; each key is read in one place and
//! passed only to the library.

use std::path::Path;

use br_core::{AssumeRole, S3Credentials, S3Encryption, Secret};

use super::args::StorageArgs;
use super::{Variables, text_variable};
use crate::environment::not_empty;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::secret::{self, BadSecret};

/// Length of 32 bytes in base64.
const CUSTOMER_KEY_LEN: usize = 44;

/// The given keys; without any, the library looks in the same places as the AWS tools.
pub(super) fn credentials(
    args: &StorageArgs,
    variables: Variables<'_>,
) -> Result<S3Credentials, CommandError> {
    check_together(args)?;
    if args.no_sign_request {
        return Ok(S3Credentials::Anonymous);
    }
    if let Some(profile) = &args.profile {
        return Ok(S3Credentials::Profile(profile.clone()));
    }
    let id = match &args.access_key_id {
        Some(id) => Some(id.clone()),
        None => text_variable("BR_S3_ACCESS_KEY_ID", variables)?,
    };
    let secret = match (&args.secret_access_key_file, &args.secret_access_key) {
        (Some(file), _) => Some(read_key(file, "--secret-access-key-file")?),
        (None, Some(key)) => Some(key.clone()),
        (None, None) => secret_variable("BR_S3_SECRET_ACCESS_KEY", variables)?,
    };
    match (id, secret) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(S3Credentials::Keys {
            access_key_id,
            secret_access_key,
            session_token: None,
        }),
        (None, None) => Ok(S3Credentials::Ambient),
        (Some(_), None) => Err(CommandError::usage(
            "there is an access key id but no secret access key",
            "give it with --secret-access-key-file or BR_S3_SECRET_ACCESS_KEY",
        )),
        (None, Some(_)) => Err(CommandError::usage(
            "there is a secret access key but no access key id",
            "give it with --access-key-id or BR_S3_ACCESS_KEY_ID",
        )),
    }
}

/// Refuses options that contradict each other or that need another option.
fn check_together(args: &StorageArgs) -> Result<(), CommandError> {
    let key = [
        ("--access-key-id", args.access_key_id.is_some()),
        (
            "--secret-access-key-file",
            args.secret_access_key_file.is_some(),
        ),
        ("--secret-access-key", args.secret_access_key.is_some()),
    ];
    let key = key
        .into_iter()
        .find(|(_, typed)| *typed)
        .map(|(name, _)| name);
    let profile = args.profile.as_ref().map(|_| "--profile");
    let role = args.role_arn.as_ref().map(|_| "--role-arn");
    let together = |one: &str, other: &str| {
        let message = format!("{one} and {other} contradict each other");
        Err(CommandError::usage(message, "leave one of them out"))
    };
    if args.secret_access_key_file.is_some() && args.secret_access_key.is_some() {
        return together("--secret-access-key-file", "--secret-access-key");
    }
    if let (Some(profile), Some(key)) = (profile, key) {
        return together(profile, key);
    }
    if let (true, Some(other)) = (args.no_sign_request, key.or(profile).or(role)) {
        return together("--no-sign-request", other);
    }
    if args.external_id.is_some() && role.is_none() {
        let hint = "name the role with --role-arn";
        return Err(CommandError::usage("--external-id needs a role", hint));
    }
    Ok(())
}

/// The role to assume.
pub(super) fn role(args: &StorageArgs) -> Option<AssumeRole> {
    let role = AssumeRole::new(args.role_arn.clone()?);
    Some(role.with_external_id(args.external_id.clone()))
}

/// How the server encrypts. Errors do not repeat the value: it may be a key in the wrong place.
pub(super) fn encryption(args: &StorageArgs) -> Result<Option<S3Encryption>, CommandError> {
    let Some(how) = &args.server_side_encryption else {
        return Ok(None);
    };
    let encryption = match how.reveal().split_once(':') {
        None if how.reveal() == "kms" => S3Encryption::Kms,
        Some(("kms", key)) if !key.is_empty() => S3Encryption::KmsKey(key.to_owned()),
        Some(("customer-key-file", file)) if !file.is_empty() => {
            S3Encryption::CustomerKey(customer_key(Path::new(file))?)
        }
        _ => {
            let hint = "write kms, kms:KEY or customer-key-file:FILE";
            return Err(CommandError::usage(
                "br does not know this value of --server-side-encryption",
                hint,
            ));
        }
    };
    Ok(Some(encryption))
}

fn customer_key(file: &Path) -> Result<Secret, CommandError> {
    let key = read_key(file, "--server-side-encryption")?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let text = key.reveal();
    if text.len() == CUSTOMER_KEY_LEN && text.ends_with('=') && text.bytes().all(is_base64) {
        return Ok(key);
    }
    Err(refused(
        format!(
            "{} does not contain a key of 32 bytes in base64",
            file.display()
        ),
        "create one with `openssl rand -base64 32`, and keep a copy of it in another place",
    ))
}

/// A secret in an environment variable.
fn secret_variable(name: &str, variables: Variables<'_>) -> Result<Option<Secret>, CommandError> {
    let Some(value) = not_empty(name, variables(name))? else {
        return Ok(None);
    };
    let secret = secret::Secret::of_variable(value).and_then(|secret| secret.to_text());
    secret.map(Some).map_err(|error| {
        refused(
            format!("cannot use the secret in {name}"),
            &format!("set {name} to the secret, as one line of text"),
        )
        .because(&error)
    })
}

/// Reads a key from a file.
fn read_key(file: &Path, option: &str) -> Result<Secret, CommandError> {
    let key = secret::Secret::of_file(file, option).and_then(|secret| secret.to_text());
    key.map_err(|error| {
        let name = file.display();
        match error {
            BadSecret::Empty => refused(
                format!("the key file {name} is empty"),
                "write the key to it",
            ),
            error => refused(
                format!("cannot read the key file {name}"),
                &format!("check {option}: the file must contain only the key"),
            )
            .because(&error),
        }
    })
}

fn refused(message: impl Into<String>, hint: &str) -> CommandError {
    CommandError::new(ExitStatus::AccessDenied, message, hint)
}

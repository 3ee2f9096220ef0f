//! Tests of the exact text that a server receives.

use super::*;

const NEWEST: &str = "8.0.30-MatrixOne-v4.2.0";

fn request(target: BackupTarget, parallelism: Option<u16>, extent: Extent) -> BackupRequest {
    BackupRequest {
        label: "01942b54".to_owned(),
        target,
        parallelism,
        extent,
    }
}

fn folder(path: &str) -> BackupTarget {
    BackupTarget::FileSystem {
        path: path.to_owned(),
    }
}

fn bucket() -> S3Target {
    S3Target {
        endpoint: "http://minio:9000".to_owned(),
        bucket: "b".to_owned(),
        filepath: "backup1/incremental-01942b54".to_owned(),
        is_minio: true,
        keys: Some(S3Keys {
            access_key_id: "AK".into(),
            secret_access_key: "SK".into(),
        }),
        ..S3Target::default()
    }
}

fn built(request: &BackupRequest, greeting: &str) -> Result<BackupStatement, StatementError> {
    request.statement(&ServerVersion::parse(greeting).unwrap())
}

#[test]
fn a_backup_to_a_folder() {
    let request = request(folder("/backup/full-01942b54"), Some(8), Extent::Full);
    for (release, statement) in [
        (
            "v4.2.0",
            "BACKUP '01942b54' FILESYSTEM '/backup/full-01942b54' PARALLELISM '8' TYPE 'full'",
        ),
        (
            "v1.1.3",
            "BACKUP '01942b54' FILESYSTEM '/backup/full-01942b54' PARALLELISM '8'",
        ),
        (
            "v1.0.0",
            "BACKUP '01942b54' FILESYSTEM '/backup/full-01942b54'",
        ),
    ] {
        let built = built(&request, &format!("8.0.30-MatrixOne-{release}")).unwrap();
        assert_eq!(built.reveal(), statement);
        assert_eq!(built.to_string(), statement);
    }
}

#[test]
fn a_backup_to_a_bucket_hides_its_keys() {
    let base = Extent::Since("1735893768313706438-1".parse().unwrap());
    let request = request(BackupTarget::S3(bucket()), Some(64), base);
    let statement = |id, key| {
        format!(
            "BACKUP '01942b54' S3OPTION {{'endpoint'='http://minio:9000','access_key_id'='{id}',\
             'secret_access_key'='{key}','bucket'='b','filepath'='backup1/incremental-01942b54',\
             'region'='','is_minio'='true','parallelism'='64'}} \
             TYPE 'incremental' TIMESTAMP '1735893768313706438-1'"
        )
    };
    let built = built(&request, NEWEST).unwrap();
    assert_eq!(built.reveal(), statement("AK", "SK"));
    assert_eq!(built.to_string(), statement(MASK, MASK));
    assert!(!format!("{built:?}{request:?}").contains("SK"));
}

#[test]
fn values_are_quoted() {
    let mut target = bucket();
    target.is_minio = false;
    target.role_arn = Some("arn:aws:iam::1:role/r".to_owned());
    target.filepath = r"it's\here".to_owned();
    target.keys = None;
    let request = request(BackupTarget::S3(target), None, Extent::Full);
    assert_eq!(
        built(&request, "8.0.30-MatrixOne-v1.1.3").unwrap().reveal(),
        r"BACKUP '01942b54' S3OPTION {'endpoint'='http://minio:9000','bucket'='b','filepath'='it''s\\here','region'='','role_arn'='arn:aws:iam::1:role/r','is_minio'='false'}"
    );
}

#[test]
fn value_that_the_server_would_misread_is_refused() {
    let refused = |path: &str| {
        let request = request(folder(path), None, Extent::Full);
        built(&request, NEWEST).unwrap_err()
    };
    for (path, character) in [
        ("/a b", ' '),
        ("/a:b", ':'),
        ("/a+b", '+'),
        ("/a\u{a0}", '\u{a0}'),
    ] {
        assert_eq!(
            refused(path),
            StatementError::PathCharacter {
                path: path.to_owned(),
                character
            }
        );
    }
    assert!(matches!(refused(""), StatementError::Missing(_)));
    let fine = request(folder("/备份/it's(1)@x=%20"), None, Extent::Full);
    assert!(built(&fine, NEWEST).unwrap().reveal().contains("it''s"));

    let spoilt = |spoil: fn(&mut S3Target)| {
        let mut target = bucket();
        spoil(&mut target);
        let request = request(BackupTarget::S3(target), None, Extent::Full);
        built(&request, NEWEST).unwrap_err()
    };
    assert!(matches!(
        spoilt(|target| target.region = "cn\n".to_owned()),
        StatementError::ControlCharacter("the region")
    ));
    assert!(matches!(
        spoilt(|target| target.bucket = String::new()),
        StatementError::Missing("the bucket")
    ));
    assert!(matches!(
        spoilt(|target| target.endpoint = "http://u:p@host".to_owned()),
        StatementError::SecretInEndpoint
    ));
    let half = |target: &mut S3Target| {
        let empty = Secret::from("");
        target.keys.as_mut().unwrap().secret_access_key = empty;
    };
    assert!(matches!(spoilt(half), StatementError::Missing(_)));
}

#[test]
fn old_servers_make_no_incremental_backups() {
    let base = Extent::Since(BackupTs {
        physical: 5,
        logical: 0,
    });
    let error = built(
        &request(folder("/b"), None, base),
        "8.0.30-MatrixOne-v1.1.3",
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "MatrixOne v1.1.3 makes full backups only: incremental ones need v1.2.0 or newer; make a full backup"
    );
}

#[test]
fn the_server_cannot_repeat_a_key() {
    let mut target = bucket();
    target.keys.as_mut().unwrap().secret_access_key = "it's secret".into();
    let request = request(BackupTarget::S3(target), None, Extent::Full);
    let statement = built(&request, NEWEST).unwrap();
    for said in [
        "cannot sign with it's secret",
        "syntax error near \"'secret_access_key'='it''s sec\";",
        "no such option: it''s secret",
    ] {
        let redacted = statement.redact(said);
        assert!(
            !redacted.contains("sec\"") && !redacted.contains("s secret"),
            "{redacted}"
        );
    }
}

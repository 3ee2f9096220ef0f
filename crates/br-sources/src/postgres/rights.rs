//! What a login may read of one database, and what it lacks for a dump.
//!
//! Invariant: the statements name what `pg_dump` reads: tables and sequences without those of extensions, rows behind policies, and large objects.

use super::probe::FIRST_DATABASE;
use crate::server::MissingRights;

/// Where the statements are typed.
const PLACE: &str = "in `psql`, as a superuser";
/// The role that reads everything, and the first version that has it.
const READ_ALL: &str = "pg_read_all_data";
pub(super) const READ_ALL_SINCE: u32 = 14;

/// Tables and sequences that a dump reads, at most ten, with a mark before each.
macro_rules! dumped_tables {
    ($mark:literal, $condition:literal) => {
        concat!(
            "(SELECT format('",
            $mark,
            "%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
             AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AND ",
            $condition,
            " ORDER BY 1 LIMIT 10)"
        )
    };
}

/// What this user may not read in a database, with a mark before each line: `t` for tables and sequences; `f` for tables of which it sees only some rows, so that
/// `pg_dump` refuses to dump them; `l` for the number of large objects.
pub(super) const UNREADABLE: &str = concat!(
    dumped_tables!(
        "t",
        "c.relkind IN ('r', 'p', 'S') AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE WHEN c.relkind = 'S' \
         THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)"
    ),
    " UNION ALL ",
    dumped_tables!(
        "f",
        "c.relkind IN ('r', 'p') AND row_security_active(c.oid)"
    ),
    " UNION ALL SELECT 'l' || count(*) FROM pg_largeobject_metadata m WHERE NOT pg_has_role(m.lomowner, 'USAGE') \
     AND NOT EXISTS (SELECT 1 FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))"
);
/// Schemas whose tables this user may not read, for servers without the role that reads everything.
pub(super) const SCHEMAS: &str = "SELECT DISTINCT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1";

/// What the user may not read in one database.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    pub(super) database: String,
    /// False if the user may not even connect.
    pub(super) may_connect: bool,
    /// At most ten.
    pub(super) tables: Vec<String>,
    /// The schemas, for servers without the role that reads everything.
    pub(super) schemas: Vec<String>,
    /// At most ten.
    pub(super) filtered: Vec<String>,
    pub(super) large_objects: u64,
}

/// What a user lacks in all databases; `None` if it lacks nothing.
pub(super) fn missing(user: &str, major: u32, all: &[Unreadable]) -> Option<MissingRights> {
    let user = identifier(user);
    let (mut rights, mut statements) = (Vec::new(), Vec::new());
    for one in all.iter().filter(|one| !one.may_connect) {
        let database = identifier(&one.database);
        rights.push(format!("CONNECT on {}", one.database));
        statements.push(format!("GRANT CONNECT ON DATABASE {database} TO {user};"));
    }
    let has_unreadable = all.iter().any(|one| !one.tables.is_empty());
    if has_unreadable && major >= READ_ALL_SINCE {
        rights.push(READ_ALL.to_owned());
        statements.push(read_all(&user));
    }
    if all.iter().any(|one| !one.filtered.is_empty()) {
        rights.push("BYPASSRLS".to_owned());
        statements.push(format!("ALTER ROLE {user} BYPASSRLS;"));
    }
    for one in all {
        let mut own = Vec::new();
        if !one.tables.is_empty() && major < READ_ALL_SINCE {
            for schema in &one.schemas {
                rights.push(format!("SELECT on the tables of {}.{schema}", one.database));
                own.extend(on_schema(&identifier(schema), &user));
            }
        }
        if one.large_objects > 0 {
            rights.push(format!("SELECT on the large objects of {}", one.database));
            own.push(on_large_objects(&user));
        }
        if !own.is_empty() {
            statements.push(connect(&one.database));
            statements.append(&mut own);
        }
    }
    (!rights.is_empty()).then(|| MissingRights::new(rights, statements, PLACE))
}

/// The right to read also what others will create.
pub(super) fn of_future(user: &str) -> MissingRights {
    let statements = vec![read_all(&identifier(user))];
    MissingRights::new(vec![READ_ALL.to_owned()], statements, PLACE)
}

/// The right to read the passwords of roles.
pub(super) fn of_passwords(user: &str) -> MissingRights {
    let statements = vec![
        connect(FIRST_DATABASE),
        format!(
            "GRANT SELECT ON pg_catalog.pg_authid TO {};",
            identifier(user)
        ),
    ];
    MissingRights::new(vec!["SELECT on pg_authid".to_owned()], statements, PLACE)
}

fn read_all(user: &str) -> String {
    format!("GRANT {READ_ALL} TO {user};")
}

fn on_schema(schema: &str, user: &str) -> [String; 3] {
    [
        format!("GRANT USAGE ON SCHEMA {schema} TO {user};"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};"),
        format!("GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {user};"),
    ]
}

fn on_large_objects(user: &str) -> String {
    let user = user.replace('\'', "''");
    format!(
        "DO $br$ DECLARE object oid; BEGIN FOR object IN SELECT oid FROM pg_largeobject_metadata LOOP \
         EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO {}', object); END LOOP; END $br$;",
        user.replace('%', "%%")
    )
}

/// The command of `psql` that goes to a database of the same server.
fn connect(database: &str) -> String {
    if !database.contains(['=', ':']) {
        return format!("\\connect {}", identifier(database));
    }
    // It would be read as a connection string.
    let name = database.replace('\\', "\\\\").replace('\'', "\\'");
    let connection = identifier(&format!("dbname='{name}'"));
    format!("\\connect -reuse-previous=on {connection}")
}

/// A name in a statement.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_fit_the_version() {
        let one = Unreadable {
            database: "shop".to_owned(),
            may_connect: true,
            tables: vec!["public.item".to_owned()],
            schemas: vec!["public".to_owned(), "o\"dd".to_owned()],
            ..Unreadable::default()
        };
        let new = missing("reader", 15, std::slice::from_ref(&one)).unwrap();
        assert_eq!(new.statements, ["GRANT pg_read_all_data TO \"reader\";"]);
        let old = missing("reader", 13, &[one]).unwrap();
        assert_eq!(old.statements.len(), 7, "{old:?}");
        assert_eq!(old.statements[0], "\\connect \"shop\"");
        assert_eq!(
            connect("a = 'b"),
            "\\connect -reuse-previous=on \"dbname='a = \\'b'\""
        );
        assert_eq!(
            old.statements[4],
            "GRANT USAGE ON SCHEMA \"o\"\"dd\" TO \"reader\";"
        );
        let all = Unreadable {
            may_connect: true,
            ..Unreadable::default()
        };
        assert_eq!(missing("reader", 15, &[all]), None);
    }
}

use proptest::prelude::*;

use super::lex::unindent;
use super::*;

fn object(text: &str) -> Object {
    parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn value(text: &str) -> Value {
    object(&format!("k = {text}")).get("k").cloned().unwrap()
}

fn error(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

fn raw(text: &str) -> Value {
    Value::Raw(text.to_owned())
}

fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.into())
}

#[test]
fn scalars_keep_their_quotes_and_raw_text() {
    for text in [
        "1",
        "-1.5",
        "+5",
        "1e+5",
        "true",
        "null",
        "10s",
        "100MB",
        "50%",
        "a b",
        "a  b",
        "sha256",
        "a@b",
        "x-y_z",
        "${HOST}",
        "${?A}-${B}",
        "\"a\"b",
        "\"a\" \"b\"",
        "a|b",
        "tlsv1.3",
        ".5",
        "été",
        "/etc/x",
    ] {
        assert_eq!(value(text), raw(text));
        assert_eq!(value(&format!("{text}  # c")), raw(text));
        assert_eq!(value(&format!("{text}\t// c\nz = 1")), raw(text));
    }
    assert_eq!(value(r#""a b""#), "a b".into());
    assert_eq!(value("\"# // ${x}\""), "# // ${x}".into());
    assert_eq!(value(r#""""#), "".into());
    assert_eq!(value("\"\"\"\"\"\""), "".into());
}

#[test]
fn escapes_are_resolved_in_quotes_only() {
    assert_eq!(
        value(r#""\"\\\/\b\f\n\r\t""#),
        "\"\\/\u{8}\u{c}\n\r\t".into()
    );
    assert_eq!(value(r#""\u00e9\ud83d\ude00""#), "é😀".into());
    // EMQX keeps unknown escapes.
    assert_eq!(value(r#""^\d+\.x""#), r"^\d+\.x".into());
    assert_eq!(value("\"\"\"a\\n\\d\"b\"\"\""), "a\\n\\d\"b".into());
    for bad in [r#""\ud83d""#, r#""\u12g4""#, r#""\ud83d\u0041""#, r#""\u1"#] {
        assert!(
            error(&format!("k = {bad}")).contains("four hexadecimal digits"),
            "{bad}"
        );
    }
}

#[test]
fn multi_line_text_loses_the_indentation_its_lines_share() {
    let text = "a {\n  sql = \"\"\"~\n    SELECT\n      *\n\n    FROM \"t\"~\"\"\"\n}";
    let sql = object(text);
    assert_eq!(
        sql.get_path(&["a", "sql"]),
        Some(&"SELECT\n  *\n\nFROM \"t\"".into())
    );
    // If the closing quotes have a smaller indentation, the text ends in a line break.
    assert_eq!(unindent("~\n    a\n    b\n  ~"), "a\nb\n");
    assert_eq!(unindent("~\n    a\n    b\n~"), "a\nb\n");
    assert_eq!(unindent("~\r\n    a\r\n\r\n    b\r\n  ~"), "a\r\n\r\nb\r\n");
    assert_eq!(unindent("~\n  one~"), "one");
    assert_eq!(unindent("~\n    a\n  b~"), "  a\nb");
    assert_eq!(unindent("~x\n  a"), "~x\n  a");
    assert_eq!(value("\"\"\"\n  a\n\"\"\""), "\n  a\n".into());
}

#[test]
fn keys_are_paths_unless_quoted() {
    let root = object("a.b.c = 1, a.\"x.y\".z : 2\na { b.d = 3 }\n\"q r\" = 4\n1 = 5");
    assert_eq!(root.get_path(&["a", "b", "c"]), Some(&raw("1")));
    assert_eq!(root.get_path(&["a", "x.y", "z"]), Some(&raw("2")));
    assert_eq!(root.get_path(&["a", "b", "d"]), Some(&raw("3")));
    assert_eq!(root.get("q r"), Some(&raw("4")));
    assert_eq!(root.get("1"), Some(&raw("5")));
    assert_eq!(root.keys().collect::<Vec<_>>(), ["a", "q r", "1"]);
}

#[test]
fn duplicate_keys_merge_objects_and_replace_the_rest() {
    let root = object(
        "a {x = 1, y = {p = 1}}\na {x = 2, y = {q = 2}}\nb = [1]\nb = [2]\nc = 1\nc {d = 2}\nd {e = 1}\nd = 2",
    );
    assert_eq!(
        root.get("a"),
        object("a {x = 2, y {p = 1, q = 2}}").get("a")
    );
    assert_eq!(root.get("b"), Some(&list([raw("2")])));
    assert_eq!(root.get("c"), object("c {d = 2}").get("c"));
    assert_eq!(root.get("d"), Some(&raw("2")));
    assert_eq!(object("a = 1\na.b = 2"), object("a {b = 2}"));
    assert_eq!(value("{a = 1} {b = 2}"), value("{a = 1, b = 2}"));
    assert_eq!(value("[1] [2]"), value("[1, 2]"));
}

#[test]
fn plus_equals_appends() {
    assert_eq!(
        object("a += 1\na += {b = 2}\nc.d += x"),
        object("a = [1, {b = 2}]\nc {d = [x]}")
    );
    assert!(error("a = 1\na += 2").starts_with("line 2, column 1: `+=` needs a list"));
}

#[test]
fn separators_and_braces_are_as_free_as_in_hocon() {
    let same = object("a = 1\nb = [1, 2]\nc {d = 3}");
    for text in [
        "{a = 1, b = [1, 2], c {d = 3}}",
        "\u{feff}a=1,b=[1\n2,],c={d:3,},",
        "# c\r\na = 1 // c\r\nb = [\r\n  1\r\n  2\r\n]\r\nc\r\n{\r\nd = 3\r\n}\r\n",
        "  {\"a\"\n:\n1,\"b\":[1,2],\"c\":{\"d\":3}} # c",
    ] {
        assert_eq!(object(text), same, "{text}");
    }
    assert_eq!(object(""), Object::new());
    assert_eq!(object("{}"), Object::new());
    assert_eq!(object("a {}\nb = []").get("b"), Some(&list([])));
}

#[test]
fn errors_name_position_and_problem() {
    for (text, message) in [
        ("a = 1\n b = ]", "line 2, column 6: `]` instead of a value"),
        ("a", "line 1, column 2: the end instead of `=`, `:` or `{`"),
        (
            "é = \"x",
            "line 1, column 5: a quoted text begins here and does not end",
        ),
        (
            "a = \"x\ny\"",
            "line 1, column 5: a quoted text begins here and does not end",
        ),
        (
            "a {\n",
            "line 1, column 3: an object begins here and does not end",
        ),
        (
            "a = [1,",
            "line 1, column 5: a list begins here and does not end",
        ),
        (
            "a = \"\"\"x\"\"",
            "line 1, column 5: a text in triple quotes begins here and does not end",
        ),
        (
            "a = \"\"\"x\"\"\"\"",
            "line 1, column 12: four quotes in a row: text that ends in a quote is closed by ~\"\"\"",
        ),
        ("a = 1}", "line 1, column 6: `}` instead of a key"),
        (
            "a = [1}",
            "line 1, column 7: `}` instead of a comma or the end of the line",
        ),
        (
            "a = 0.0.0.0:1883",
            "line 1, column 12: `:` instead of a comma or the end of the line",
        ),
        ("a = b?", "line 1, column 6: `?` must be in quotes"),
        ("a = $b", "line 1, column 5: `$` must be in quotes"),
        (
            "a = ${b",
            "line 1, column 5: a substitution begins here and does not end",
        ),
        ("a = 1 + 2", "line 1, column 7: `+` must be in quotes"),
        (
            "a {} b {}",
            "line 1, column 6: `b` instead of a comma or the end of the line",
        ),
        ("a = 1,, b = 2", "line 1, column 7: `,` instead of a key"),
        ("a..b = 1", "line 1, column 3: `.` instead of a key"),
        (
            "include \"x\"",
            "line 1, column 1: `include` is not supported: a bundle is self-contained",
        ),
        (
            "a {\n include required(\"x\")\n}",
            "line 2, column 2: `include` is not supported: a bundle is self-contained",
        ),
        ("[1]", "line 1, column 1: `[` instead of a key"),
        ("{} a = 1", "line 1, column 4: `a` instead of the end"),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    assert_eq!(object("include = 1, include.d {x = 1}").len(), 1);
    assert_eq!(
        parse(b"a = \xff").unwrap_err(),
        HoconError::Utf8 { offset: 4 }
    );
    assert_eq!(parse(&vec![b' '; MAX_BYTES + 1]), Err(HoconError::TooLong));
}

#[test]
fn nesting_and_numbers_of_values_are_limited() {
    let nested = |n: usize| format!("k = {}{}", "[".repeat(n), "]".repeat(n));
    object(&nested(MAX_NESTING - 1));
    assert!(error(&nested(MAX_NESTING)).ends_with("nested deeper than 128"));
    let dotted = |n: usize| format!("{}a = 1", "a.".repeat(n - 1));
    object(&dotted(MAX_NESTING));
    assert!(error(&dotted(MAX_NESTING + 1)).ends_with("nested deeper than 128"));
    let many = format!("k = [{}]", "1,".repeat(MAX_VALUES));
    assert!(error(&many).ends_with("more than 1048576 values"));
}

/// A bundle may be hostile, so no text may take long or cause a panic. A quadratic algorithm would exceed the time limit of the test.
#[test]
fn hostile_text_ends_quickly() {
    let n = 200_000;
    for text in [
        "[".repeat(n),
        "{".repeat(n),
        "a.".repeat(n),
        format!("k = {}", "[".repeat(n)),
        format!("k = {}", "{".repeat(n)),
        "a{".repeat(n),
        "\"".repeat(n),
        format!("k = {}", "\"\" ".repeat(n)),
        format!("k = \"{}", "\\".repeat(n)),
        format!("k = {}", "${".repeat(n)),
        format!("k = {}", "a ".repeat(n)),
        format!("k = \"\"\"~\n{}", " \n".repeat(n)),
        "#\n".repeat(n),
        "a=[],".repeat(n),
        "a{b=1},".repeat(n),
        (0..n).map(|i| format!("k{i}=1\n")).collect(),
        (0..n).map(|i| format!("k.k{i}=1\n")).collect(),
        "a+=1\n".repeat(n),
    ] {
        let _ = parse(text.as_bytes()).map(|object| print(&object));
    }
}

#[test]
fn text_is_printed_as_emqx_prints_it() {
    let text = r#"authentication = [
  {
    backend = built_in_database
    mechanism = password_based
    password_hash_algorithm {name = sha256, salt_position = suffix}
  },
  {type = file}
]
empty {}
listeners {
  tcp {
    "a.b" {bind = "0.0.0.0:1883"}
  }
}
mqtt {max_packet_size = 1MB}
retainer {
  backend {
    index_specs = [[1, 2, 3], [1, 3]]
    storage_type = ram
    type = built_in_database
  }
}
rewrite = []
rules {
  one {
    actions = [
      "kafka:test"
    ]
    names = [a, "b", 3]
    regex = """^\d+\.x"""
    sql = """~
      SELECT
        *

      FROM
        "t/#"~"""
    tail = """~
      line
    ~"""
  }
}
"#;
    assert_eq!(
        print(&object(text)),
        text.replace(
            "\"a.b\" {bind = \"0.0.0.0:1883\"}",
            "\"a.b\" {\n      bind = \"0.0.0.0:1883\"\n    }"
        )
    );
}

#[test]
fn text_that_triple_quotes_would_change_is_escaped() {
    for (text, printed) in [
        ("a\"\"\"b", r#""a\"\"\"b""#),
        ("ends\\", r#""ends\\""#),
        // The lines share an indentation, which the parser would remove.
        ("  a\n  b", r#""  a\n  b""#),
        ("a\n\r", r#""a\n\r""#),
        ("a\u{1}\n", r#""a\u0001\n""#),
        ("\"", "\"\"\"~\n  \"~\"\"\""),
        ("a\tb", "\"\"\"a\tb\"\"\""),
        ("a\n\n", "\"\"\"~\n  a\n\n~\"\"\""),
        ("", r#""""#),
    ] {
        let root: Object = [("k".to_owned(), text.into())].into_iter().collect();
        assert_eq!(print(&root), format!("k = {printed}\n"));
        assert_eq!(object(&print(&root)), root);
    }
}

#[test]
fn raw_text_that_cannot_stand_alone_is_printed_in_quotes() {
    for text in [
        "a,b",
        " a",
        "a ",
        "",
        "\"a\"",
        "# x",
        "a//b",
        "{",
        "a=b",
        "\u{feff}x",
        "a\nb",
    ] {
        let root: Object = [("k".to_owned(), raw(text))].into_iter().collect();
        assert_eq!(
            object(&print(&root)).get("k"),
            Some(&text.into()),
            "{text:?}"
        );
    }
}

#[test]
fn objects_keep_their_order_and_compare_without_it() {
    let many = |range: &mut dyn Iterator<Item = u32>| -> Object {
        range
            .map(|i| (format!("k{i}"), raw(&i.to_string())))
            .collect()
    };
    let (up, down) = (many(&mut (0..100)), many(&mut (0..100).rev()));
    assert_eq!(up, down);
    assert_eq!(down.keys().next(), Some("k99"));
    assert_eq!(up.get("k57"), Some(&raw("57")));
    let mut changed = up.clone();
    assert_eq!(changed.insert("k57", "x"), Some(raw("57")));
    assert_ne!(changed, up);
    assert_eq!(changed.len(), 100);
}

#[test]
fn quotes_make_no_difference_to_the_meaning() {
    assert!(value("[\"10s\", {a = b}]").means_same(&value("[10s, {a = \"b\"}]")));
    assert!(!value("null").means_same(&value("\"null\"")));
    assert!(!value("[a]").means_same(&value("[a, b]")));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[a\"\\\\ \n\r\t~$]{0,12}",
        any::<String>(),
        "( {0,4}[a-z\"]{0,3}\n){0,5}[ a]{0,3}",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let raw_text = prop_oneof![
        "[a-z][a-z0-9_.-]{0,8}",
        "-?[0-9]{1,6}(\\.[0-9]{1,3})?",
        "[0-9]{1,4}(s|MB|%)",
        "\\$\\{\\??[A-Z.]{1,8}\\}",
        "[a-z]{1,4}( [a-z]{1,4}){1,3}",
        "\"[a-z,]{0,4}\" [a-z]",
    ];
    let leaf = prop_oneof![
        text().prop_map(Value::String),
        raw_text.prop_map(Value::Raw),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

fn objects(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    let key = prop_oneof!["[a-z_]{1,6}", text()];
    prop::collection::vec((key, inner), 0..5).prop_map(Object::from_iter)
}

proptest! {
    #[test]
    fn printed_configuration_is_parsed_to_the_same_value(root in objects(values())) {
        let printed = print(&root);
        let back = parse(printed.as_bytes());
        prop_assert_eq!(back.as_ref(), Ok(&root), "{}", printed);
        prop_assert_eq!(print(&root), back.map(|back| print(&back)).unwrap());
    }

    #[test]
    fn raw_text_of_any_kind_reads_back(text in text()) {
        let root: Object = [("k".to_owned(), Value::Raw(text.clone()))].into_iter().collect();
        let back = parse(print(&root).as_bytes()).unwrap();
        prop_assert_eq!(back.get("k").and_then(Value::as_text), Some(text.as_str()));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z0-9\"\\\\{}\\[\\],=:+#/$~. \n\r]{0,60}") {
        if let Ok(root) = parse(text.as_bytes()) {
            prop_assert_eq!(parse(print(&root).as_bytes()), Ok(root));
        }
    }
}

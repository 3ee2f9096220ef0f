use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(parts.concat());
    bytes
}

fn shown(parts: &[&[u8]]) -> String {
    decode(&bytes(parts)).unwrap().to_string()
}

fn refused(parts: &[&[u8]]) -> TermError {
    decode(&bytes(parts)).unwrap_err()
}

#[test]
fn every_tag_is_read() {
    assert_eq!(shown(&[&[97, 200]]), "200");
    assert_eq!(shown(&[&[98, 255, 255, 255, 254]]), "-2");
    assert_eq!(shown(&[&[110, 3, 1, 0, 0, 1]]), "-65536");
    assert_eq!(shown(&[&[111, 0, 0, 0, 2, 0, 1, 0]]), "1");
    assert_eq!(shown(&[&[70], &1.5_f64.to_be_bytes()]), "1.5");
    assert_eq!(shown(&[&[70], &1e22_f64.to_be_bytes()]), "1.0e22");
    let mut old_float = *b"1.50000000000000000000e+00\0\0\0\0\0";
    assert_eq!(shown(&[&[99], &old_float]), "1.5");
    old_float[0] = b'x';
    assert_eq!(refused(&[&[99], &old_float]), TermError::Float);
    assert_eq!(shown(&[&[104, 2, 97, 1, 106]]), "{1,[]}");
    assert_eq!(shown(&[&[105, 0, 0, 0, 1, 97, 1]]), "{1}");
    assert_eq!(shown(&[&[107, 0, 2], b"\"a"]), r#""\"a""#);
    assert_eq!(shown(&[&[107, 0, 2, 1, 2]]), "[1,2]");
    assert_eq!(shown(&[&[108, 0, 0, 0, 1, 97, 1, 106]]), "[1]");
    assert_eq!(shown(&[&[108, 0, 0, 0, 1, 97, 1, 97, 2]]), "[1|2]");
    assert_eq!(shown(&[&[108, 0, 0, 0, 0, 97, 2]]), "2");
    assert_eq!(shown(&[&[109, 0, 0, 0, 2], b"ok"]), r#"<<"ok">>"#);
    assert_eq!(
        shown(&[&[109, 0, 0, 0, 2], "é".as_bytes()]),
        r#"<<"é"/utf8>>"#
    );
    assert_eq!(shown(&[&[109, 0, 0, 0, 2, 0, 255]]), "<<0,255>>");
    assert_eq!(shown(&[&[109, 0, 0, 0, 0]]), "<<>>");
    assert_eq!(shown(&[&[77, 0, 0, 0, 2, 3, 1, 0xbf]]), "<<1,5:3>>");
    assert_eq!(shown(&[&[77, 0, 0, 0, 1, 8, 65]]), r#"<<"A">>"#);
    assert_eq!(
        shown(&[&[116, 0, 0, 0, 2, 97, 2, 106, 97, 1, 106]]),
        "#{1 => [],2 => []}"
    );
    assert_eq!(shown(&[&[100, 0, 1], b"a"]), "a");
    assert_eq!(shown(&[&[118, 0, 3], b"end"]), "'end'");
    assert_eq!(shown(&[&[119, 7], b"a@b c'\n"]), r"'a@b c\'\n'");
    assert_eq!(shown(&[&[119, 3], "\u{202e}".as_bytes()]), r"'\x{202e}'");
}

#[test]
fn terms_of_equal_meaning_are_equal() {
    let same = |a: &[&[u8]], b: &[&[u8]]| {
        let (a, b) = (decode(&bytes(a)).unwrap(), decode(&bytes(b)).unwrap());
        assert_eq!(a, b);
        assert_eq!(encode(&a), encode(&b));
        assert_eq!(decode(&encode(&a)).unwrap(), a);
    };
    same(&[&[100, 0, 1, 0xe9]], &[&[119, 2], "é".as_bytes()]);
    same(&[&[115, 1, 0xe9]], &[&[118, 0, 2], "é".as_bytes()]);
    same(&[&[110, 1, 0, 5]], &[&[97, 5]]);
    same(&[&[110, 0, 1]], &[&[98, 0, 0, 0, 0]]);
    same(
        &[&[111, 0, 0, 0, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]],
        &[&[110, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    );
    same(&[&[107, 0, 1, 7]], &[&[108, 0, 0, 0, 1, 97, 7, 106]]);
    let nested: &[u8] = &[108, 0, 0, 0, 1, 97, 7, 108, 0, 0, 0, 1, 97, 8, 106];
    same(&[nested], &[&[107, 0, 2, 7, 8]]);
    let key_order: &[u8] = &[116, 0, 0, 0, 2, 97, 2, 97, 0, 97, 1, 97, 0];
    same(
        &[key_order],
        &[&[116, 0, 0, 0, 2, 97, 1, 97, 0, 97, 2, 97, 0]],
    );
    same(&[&[77, 0, 0, 0, 1, 1, 0xff]], &[&[77, 0, 0, 0, 1, 1, 0x80]]);
    let node: &[u8] = &[100, 0, 1, b'n'];
    let utf8_node: &[u8] = &[119, 1, b'n'];
    let old_pid: &[&[u8]] = &[&[103], node, &[0, 0, 0, 1, 0, 0, 0, 2, 3]];
    same(
        old_pid,
        &[&[88], utf8_node, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]],
    );
    let old_port: &[&[u8]] = &[&[102], node, &[0, 0, 0, 1, 3]];
    same(old_port, &[&[89], utf8_node, &[0, 0, 0, 1, 0, 0, 0, 3]]);
    same(
        old_port,
        &[&[120], utf8_node, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]],
    );
    let reference: &[&[u8]] = &[&[114, 0, 1], node, &[3, 0, 0, 0, 9]];
    same(
        reference,
        &[&[90, 0, 1], utf8_node, &[0, 0, 0, 3, 0, 0, 0, 9]],
    );
    same(reference, &[&[101], node, &[0, 0, 0, 9, 3]]);
    same(
        &[&[113], node, node, &[97, 1]],
        &[&[113], utf8_node, utf8_node, &[97, 1]],
    );
    let long_port: &[&[u8]] = &[&[120], node, &[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]];
    same(long_port, long_port);
}

#[test]
fn terms_that_differ_in_erlang_differ() {
    let plus = decode(&bytes(&[&[70], &0.0_f64.to_be_bytes()])).unwrap();
    let minus = decode(&bytes(&[&[70], &(-0.0_f64).to_be_bytes()])).unwrap();
    assert_ne!(plus, minus);
    assert_ne!(encode(&plus), encode(&Term::Integer(0)));
    assert_ne!(encode(&Term::atom("a")), encode(&Term::binary("a")));
}

#[test]
fn keys_of_ordered_tables_equal_their_integers() {
    let key = |term: &Term| {
        let mut out = Vec::new();
        encode_ordered_key_into(term, &mut out);
        out
    };
    let float = |value| Term::Float(Float::new(value).unwrap());
    for (value, integer) in [
        (0.0, Term::Integer(0)),
        (-0.0, Term::Integer(0)),
        (-7.0, Term::Integer(-7)),
        (
            4_503_599_627_370_497.0,
            Term::Integer(4_503_599_627_370_497),
        ),
        (-9_223_372_036_854_775_808.0, Term::Integer(i64::MIN)),
        (
            18_446_744_073_709_551_616.0,
            Term::integer(false, &[0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ),
    ] {
        assert_eq!(key(&float(value)), key(&integer), "{value}");
        let list = |term| Term::List(vec![term]);
        assert_eq!(key(&list(float(value))), key(&list(integer)), "[{value}]");
    }
    assert_ne!(key(&float(0.5)), key(&Term::Integer(0)));
    assert_ne!(key(&float(f64::MAX)), key(&float(f64::MIN)));
    // In maps only values are compared in this way.
    let one = Term::map(vec![(float(1.0), Term::Integer(2))]).unwrap();
    let other = Term::map(vec![(Term::Integer(1), Term::Integer(2))]).unwrap();
    assert_ne!(key(&one), key(&other));
}

#[test]
fn malformed_terms_are_refused() {
    assert_eq!(decode(&[]), Err(TermError::Version));
    assert_eq!(decode(&[130, 106]), Err(TermError::Version));
    assert_eq!(refused(&[]), TermError::Truncated);
    assert_eq!(refused(&[&[106, 0]]), TermError::TrailingBytes);
    assert_eq!(refused(&[&[82, 0]]), TermError::Tag(82));
    assert_eq!(refused(&[&[70], &f64::NAN.to_be_bytes()]), TermError::Float);
    assert_eq!(refused(&[&[119, 1, 0xe9]]), TermError::Atom);
    assert_eq!(refused(&[&[118, 1, 0], &[b'a'; 256]]), TermError::Atom);
    assert_eq!(refused(&[&[77, 0, 0, 0, 1, 9, 0]]), TermError::BitString);
    assert_eq!(refused(&[&[77, 0, 0, 0, 0, 1]]), TermError::BitString);
    assert_eq!(
        refused(&[&[116, 0, 0, 0, 2, 97, 1, 106, 97, 1, 106]]),
        TermError::MapKeys
    );
    assert_eq!(refused(&[&[88, 97, 1]]), TermError::Atom);
    assert_eq!(refused(&[&[90, 0, 6, 119, 1, b'n']]), TermError::Opaque);
    for tag in [105, 108, 109, 111, 116] {
        assert_eq!(
            refused(&[&[tag, 255, 255, 255, 255, 0]]),
            TermError::Truncated,
            "{tag}"
        );
    }
}

#[test]
fn functions_round_trip() {
    let terms: &[u8] = &[
        119, 1, b'm', 97, 1, 97, 2, 88, 119, 1, b'n', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let size = 4 + 21 + 4 + terms.len() + 2;
    let head = [0; 21];
    let encoded = bytes(&[
        &[112, 0, 0, 0, size as u8],
        &head,
        &[0, 0, 0, 1],
        terms,
        &[97, 9],
    ]);
    assert_eq!(encode(&decode(&encoded).unwrap()), encoded);
    let mut wrong_size = encoded;
    wrong_size[5] += 1;
    assert_eq!(decode(&wrong_size), Err(TermError::Opaque));
}

#[test]
fn nesting_and_number_have_limits() {
    let nested = |levels: usize| {
        let mut encoded = vec![VERSION];
        encoded.extend([tag::SMALL_TUPLE, 1].repeat(levels));
        encoded.push(tag::NIL);
        decode(&encoded)
    };
    assert!(nested(usize::from(MAX_DEPTH) - 1).is_ok());
    assert_eq!(nested(usize::from(MAX_DEPTH)), Err(TermError::Depth));
    assert_eq!(nested(1 << 20), Err(TermError::Depth));
    let maps = |levels: usize| {
        let mut encoded = vec![VERSION];
        encoded.extend([tag::MAP, 0, 0, 0, 1].repeat(levels));
        encoded.resize(encoded.len() + levels + 1, tag::NIL);
        decode(&encoded)
    };
    assert!(maps(usize::from(MAX_COPIED_DEPTH)).is_ok());
    assert_eq!(
        maps(usize::from(MAX_COPIED_DEPTH) + 1),
        Err(TermError::Depth)
    );
    let mut many = bytes(&[&[tag::LARGE_TUPLE], &(MAX_TERMS + 1).to_be_bytes()]);
    many.resize(many.len() + MAX_TERMS as usize + 1, tag::NIL);
    assert_eq!(decode(&many), Err(TermError::TooManyTerms));
}

fn compressed(plain: &[u8], size: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    bytes(&[&[80], &size.to_be_bytes(), &encoder.finish().unwrap()])
}

#[test]
fn compressed_terms_are_inflated_within_their_size() {
    let zeros = Term::binary(vec![0; 100_000]);
    let plain = &encode(&zeros)[1..];
    let size = plain.len() as u32;
    let packed = compressed(plain, size);
    assert_eq!(decode(&packed), Ok(zeros));
    assert_eq!(
        decode(&compressed(plain, size - 1)),
        Err(TermError::Compressed)
    );
    assert_eq!(
        decode(&compressed(plain, size + 1)),
        Err(TermError::Compressed)
    );
    assert_eq!(
        decode(&compressed(plain, u32::MAX)),
        Err(TermError::Inflated)
    );
    assert_eq!(
        decode(&[packed.as_slice(), &[0]].concat()),
        Err(TermError::TrailingBytes)
    );
    assert_eq!(
        decode(&packed[..packed.len() - 9]),
        Err(TermError::Compressed)
    );
}

#[test]
fn texts_have_limits() {
    let big = Term::integer(true, &[0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(big.to_string(), "-18446744073709551616");
    let huge = Term::integer(false, &vec![0xab; 1 << 20]);
    assert_eq!(brief(&huge, 8), "16#ABABA…");
    assert_eq!(brief(&Term::atom("ok"), 2), "ok");
    assert_eq!(
        Term::integer(true, &[0, 0, 0, 0, 0, 0, 0, 0x80]),
        Term::Integer(i64::MIN)
    );
}

fn terms() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Term::Integer),
        (-300_i64..300).prop_map(Term::Integer),
        (any::<bool>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(is_negative, bytes)| Term::integer(is_negative, &bytes)),
        any::<f64>().prop_filter_map("finite", |value| Float::new(value).map(Term::Float)),
        ".{0,20}".prop_map(|text| Term::atom(&text)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Term::Binary),
        ".{0,20}".prop_map(|text| Term::string(&text)),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            many().prop_map(Term::Tuple),
            many().prop_map(Term::List),
            (many(), inner.clone()).prop_map(|(elements, tail)| Term::list(elements, tail)),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4)
                .prop_filter_map("keys differ", |pairs| Term::map(pairs).ok()),
        ]
    })
}

proptest! {
    #[test]
    fn terms_come_back(term in terms()) {
        prop_assert_eq!(decode(&encode(&term)), Ok(term));
    }

    #[test]
    fn hostile_bytes_are_a_term_or_an_error(term in terms(), at: prop::sample::Index, byte: u8) {
        let mut encoded = encode(&term);
        let at = at.index(encoded.len());
        encoded[at] = byte;
        if let Ok(term) = decode(&encoded) {
            prop_assert_eq!(decode(&encode(&term)), Ok(term.clone()));
            let _ = term.to_string();
        }
        let _ = decode(&encoded[..at]);
    }

    #[test]
    fn noise_is_a_term_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut noise = vec![VERSION];
        noise.extend(bytes);
        let _ = decode(&noise);
    }
}

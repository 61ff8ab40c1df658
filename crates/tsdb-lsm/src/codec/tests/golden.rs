//! The bytes of each mode and of each kind: the format as it is on disk. None of them may ever change.

use super::*;

/// Columns of values by mode, with their bytes.
fn value_columns() -> Vec<(Mode, Vec<f64>, &'static str)> {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    vec![
        (Mode::Constant, vec![1.5; 9], "00000000000000f83f"),
        (Mode::Decimal, vec![20.5, 20.25, 20.5, 21.0, 20.75], "0102002284201900020001d102"),
        (
            Mode::Decimal,
            vec![1.0, stale, 3.0, stale, 6.0],
            "010002010201020000000000f07f220601000300038054",
        ),
        (
            Mode::Decimal,
            vec![-0.0, 1.0, f64::INFINITY, 3.0],
            "0100020002000000000000000080000000000000f07f2a02020001000008",
        ),
        (
            Mode::FloatBits,
            vec![0.1, -0.0, f64::NAN, f64::NEG_INFINITY, 5e-324],
            "020acf99b3e6cc99b3b680010184808080808080f0ff01400085808080808080d8ff01030000000000d87f6666666666662ec0020000000000e07f0000000000000000030000000000d87f",
        ),
        (Mode::Raw, vec![0.1, -2.0], "039a9999999999b93f00000000000000c0"),
        (
            Mode::NearDecimal,
            near_decimals(),
            "04021a2b09010a000a000aae7b55c3135cf7aa8627b8ee550d4f70dd0b2b00010000020000106b1921087200",
        ),
        (
            Mode::NearMultiple,
            percentages(),
            "05000000000000884200000000000059406022808080a8e901808040001000cfd203000018995e64d36177914af34b877b4dda45687025cd105c2a1d7310eb35928d67176cd39fc101e2913451b93f705c59a87423c2cc41a5f3acd7e2ed4636dab09c5d8d3cad4dfc90790626ae01880b9428000100",
        ),
    ]
}

/// A sum of hundredths, as doubles have it.
fn near_decimals() -> Vec<f64> {
    (0..40)
        .scan(0.0, |sum, i| {
            *sum += f64::from(i * 7 % 11) / 100.0;
            Some(*sum)
        })
        .collect()
}

/// Shares of a total that is no power of two.
fn percentages() -> Vec<f64> {
    let total = 12_884_901_888.0;
    (0..40).map(|i| 100.0 * (f64::from(i * i * 104_729 % 65_537) * 4096.0 / total)).collect()
}

/// A walk of `count` small steps.
fn walk(count: i64) -> Vec<i64> {
    (0..count)
        .scan(100, |at, i| {
            *at += (i * i * 37 + i * 11) % 5 - 2;
            Some(*at)
        })
        .collect()
}

/// Columns of integers by transform and kind, with their bytes.
fn integer_columns() -> Vec<(Transform, Kind, Vec<i64>, &'static str)> {
    let steps = |n: i64| (0..n).map(|i| i / 7 * 3).collect::<Vec<_>>();
    vec![
        (Transform::Delta, Kind::Linear, vec![5, 15, 25, 35], "28090a02"),
        (Transform::Delta, Kind::Sparse, vec![0, 0, 0, 4, 4, 4, 9, 9], "29000100020303080a"),
        (
            Transform::Centre,
            Kind::Packed,
            vec![5, 9, -2, 7, 30, 6, 1_000_000, 5, 4, 3, 2, 1],
            "220a010006010dc7022420021c46410c06f6887a",
        ),
        (
            Transform::Delta,
            Kind::Packed,
            vec![i64::MIN, i64::MAX, 0, -1],
            "0affffffffffffffffff0101000101010102fdffffffffffffffff01",
        ),
        (Transform::Delta, Kind::Huffman, walk(20), "2bc60101010100005b6b0d822008"),
        (
            Transform::Delta,
            Kind::Huffman,
            walk(260),
            "2bc60101010100000b0b0b5b6badb5d65a6badb5d65a6badb5d65a6badb5d65a6badb5d65a6badb5d65a6b0d82200882200882200882201004411004411004411004044110044110044110040141100441100401",
        ),
        (
            Transform::Centre,
            Kind::Huffman,
            walk(20).iter().map(|k| k * k * 77).collect(),
            "23a8914c4d0008200060259ddc1da560ec35801ccd6dc015c56c207ddc7bd39d15e1662a424c08",
        ),
        (
            Transform::DeltaOfDelta,
            Kind::Huffman,
            (0..20).map(|i| i * i * 3 - i % 2).collect(),
            "33030202010600ffff0fbad65a6badb500",
        ),
        (
            Transform::Line,
            Kind::Huffman,
            (0..20).map(|i| i * 1000 + i * i % 7).collect(),
            "3b0401d00f010000bd5e0f1399c844",
        ),
        (
            Transform::Centre,
            Kind::Packed,
            (0..130).map(|i| if i == 70 { 1000 } else { i / 8 % 4 }).collect(),
            "22040100020103e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e470cc0f000003",
        ),
        (Transform::Delta, Kind::Runs, steps(200), "2c0003001c04280e010028000102"),
        (
            Transform::Delta,
            Kind::Dictionary,
            (0..30).map(|i| i % 3 * 70_000 + i).collect(),
            "2de1c50801e2c50802009fd11900008888888808",
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_values() {
    for (mode, values, expected) in value_columns() {
        let mut bytes = Vec::new();
        assert!(encode_mode(&values, mode, &mut Memo::default(), &mut bytes), "{mode:?}");
        assert_eq!(hex(&bytes), expected, "{mode:?}");
        assert_eq!(bits(&decode(&bytes, values.len())), bits(&values), "{mode:?}");
    }
}

#[test]
fn the_bytes_of_integers() {
    for (transform, kind, numbers, expected) in integer_columns() {
        let plan = Plan { domain: Domain::Numbers, transform: Some(transform), kind: Some(kind) };
        let mut bytes = Vec::new();
        assert!(encode_planned(&numbers, plan, &mut bytes), "{kind:?}");
        assert_eq!(hex(&bytes), expected, "{transform:?} {kind:?}");
        let mut back = vec![0; numbers.len()];
        decode_ints(&mut Reader::new(&bytes), numbers.len(), &mut Integers::new(&mut back))
            .unwrap();
        assert_eq!(back, numbers, "{transform:?} {kind:?}");
    }
}

#[test]
fn the_bytes_of_timestamps() {
    let regular: Vec<i64> =
        (0..5).map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000).collect();
    let late: Vec<i64> =
        regular.iter().zip([0, 3, 1, 0, 2]).map(|(t, ms)| t + ms * 1_000_000).collect();
    for (times, expected) in [
        (regular, "0000002a36fe9c971780c8afa025"),
        (late, "012a80defc9ffcbece972fc0843da49c010300072c42"),
        (vec![-7], "00f9ffffffffffffff00"),
    ] {
        let mut bytes = Vec::new();
        encode_times(&times, &mut bytes);
        assert_eq!(hex(&bytes), expected, "{times:?}");
    }
}

use super::{Moment, Span};

#[test]
fn a_time_in_gos_layouts() {
    let moment = Moment::at(1_709_209_805).unwrap(); // 29 February 2024, 12:30:05
    for (layout, expected) in [
        ("2006-01-02T15:04:05Z07:00", "2024-02-29T12:30:05Z"),
        ("Mon Jan _2 3:04:05PM MST 2006 -0700", "Thu Feb 29 12:30:05PM UTC 2024 +0000"),
        (
            "Janet Jan Monday Mondays _2006 002 __2 06 1 2 15.000 05,99",
            "Janet Feb Thursday Thursdays _2024 060  60 24 2 29 12.000 05",
        ),
        ("é 01 ü", "é 02 ü"),
    ] {
        assert_eq!(moment.format(layout), expected, "{layout}");
    }
}

#[test]
fn every_day_is_read_as_it_is_written() {
    let layout = "2006-01-02 002 15:04:05";
    for day in 0..730_000i64 {
        let moment = Moment::at(day * 86_400 - 62_135_596_800 + day % 86_400).unwrap();
        if day % 97 == 0 {
            assert!(Moment::parse(layout, &moment.format(layout)) == Some(moment), "{}", moment.printed());
        }
    }
}

#[test]
fn what_is_no_time_in_the_layout_is_none() {
    for (layout, text) in [
        ("2006-01-02", "2024-02-30"),
        ("2006-01-02", "2023-02-29"),
        ("2006-01-02", "2024-1-02"),
        ("2006-01-02", "2024-01-02 "),
        ("15:04", "24:00"),
        ("3PM", "x"),
        ("3:04PM", "13:04PM"),
        ("03:04", "23:04"),
        ("15:04 3", "30:04 1"),
        ("04 4", "60 1"),
        ("05 5", "60 1"),
        ("01 1", "13 1"),
        ("2006 002", "2023 366"),
        ("", "x"),
        ("é", "e"),
        ("Z07:00", "+25:00"),
        ("05.000", "05.1"),
        ("2006-01-02Z07:00", "0000-01-01+01:00"),
    ] {
        assert!(Moment::parse(layout, text).is_none(), "{layout} {text}");
    }
}

#[test]
fn the_hour_of_a_half_day_is_0_to_12() {
    for (text, expected) in [("0:04AM", 240), ("0:04PM", 43_440), ("12:04AM", 240), ("12:04PM", 43_440)] {
        let moment = Moment::parse("2006 3:04PM", &format!("1970 {text}"));
        assert_eq!(moment.map(Moment::unix), Some(expected), "{text}");
    }
}

#[test]
fn blanks_before_a_day_are_skipped() {
    for (layout, text) in
        [("2006-01-_2", "1970-01- 2"), ("2006-01-_2", "1970-01-02"), ("2006-__2", "1970-  2"), ("2006-__2", "1970-002")]
    {
        assert_eq!(Moment::parse(layout, text).map(Moment::unix), Some(86_400), "{layout} {text}");
    }
}

#[test]
fn durations_as_go_has_them() {
    for (text, expected) in [
        ("-1h30m", "-1h30m0s"),
        ("1.5h", "1h30m0s"),
        ("90s", "1m30s"),
        ("1500ms", "1.5s"),
        ("1m0.25s", "1m0.25s"),
        ("1.5us", "1.5µs"),
        ("3ns", "3ns"),
        ("2ms", "2ms"),
        ("0", "0s"),
        ("-.5s", "-500ms"),
        ("9223372036s", "2562047h47m16s"),
    ] {
        assert_eq!(Span::parse(text).map(Span::printed).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "-", "1", "h", "1x", ".s", "1.2.3s", "10000000000s", "1h-1m", "99999999999999999999h", "é"] {
        assert!(Span::parse(text).is_none(), "{text}");
    }
}

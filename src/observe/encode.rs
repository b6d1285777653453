//! The texts of an access record: journald's native form, JSON lines, a line for people.
//!
//! Pure: appends to a caller's buffer. Nothing in a record is trusted. In JSON each byte that isn't
//! plain ASCII becomes `\u00XX`, so that no text direction, escape sequence or broken UTF-8 reaches a
//! reader and the bytes can be had back; in lines for people it becomes `\xXX`; journald takes bytes
//! as they are, in its length-prefixed form.

use super::access::{Names, Record};
use super::ids;
use std::net::IpAddr;

/// Follows a value that was cut off.
const CUT: &[u8] = b"...";

/// The fields of journald's native protocol, for one record.
pub fn journal(record: &Record, names: &Names, out: &mut Vec<u8>) {
    out.reserve(1_536);
    out.extend_from_slice(b"MESSAGE=");
    summary(record, out);
    out.extend_from_slice(b"\nPRIORITY=");
    out.push(if record.status >= 500 { b'4' } else { b'6' });
    out.extend_from_slice(b"\nSYSLOG_IDENTIFIER=cloudcup\nMESSAGE_ID=");
    out.extend_from_slice(ids::ACCESS.as_bytes());
    out.push(b'\n');
    field(out, b"CUP_ROUTE", names.route(record).as_bytes(), false);
    field(out, b"CUP_POOL", names.pool(record).as_bytes(), false);
    field(out, b"CUP_BACKEND", names.backend(record).as_bytes(), false);
    if let Some(client) = record.client {
        out.extend_from_slice(b"CUP_CLIENT=");
        address(out, client);
        out.push(b'\n');
    }
    field(out, b"CUP_METHOD", record.method.as_bytes(), record.method.is_cut());
    field(out, b"CUP_HOST", record.host.as_bytes(), record.host.is_cut());
    field(out, b"CUP_PATH", record.path.as_bytes(), record.path.is_cut());
    for (name, value) in [
        (&b"CUP_STATUS="[..], u64::from(record.status)),
        (b"CUP_BYTES=", record.sent),
        (b"CUP_BYTES_RECEIVED=", record.received),
        (b"CUP_DURATION_US=", record.duration_us),
        (b"CUP_UPSTREAM_US=", u64::from(record.upstream_us)),
        (b"CUP_CONNECT_US=", u64::from(record.connect_us)),
        (b"CUP_WORKER=", u64::from(record.worker)),
        (b"CUP_SERIAL=", record.serial),
    ] {
        out.extend_from_slice(name);
        number(out, value);
        out.push(b'\n');
    }
    field(out, b"CUP_REQUEST_ID", record.request_id.as_bytes(), record.request_id.is_cut());
    field(out, b"CUP_FAULT", record.fault.as_bytes(), false);
    field(out, b"CUP_OFFENCE", record.offence.as_bytes(), false);
}

/// One field of the native protocol; none when it has no value. A value with a control character is
/// written with its length, so that it can't begin a field of its own.
fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8], cut: bool) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name);
    let cut = if cut { CUT } else { b"" };
    if !all(value, |byte| *byte >= b' ' && *byte != 0x7f) {
        out.push(b'\n');
        out.extend_from_slice(&((value.len() + cut.len()) as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.extend_from_slice(cut);
    out.push(b'\n');
}

/// One line of JSON. `wall_us` is what the record's end is on the wall clock, in µs since 1970.
pub fn json(record: &Record, names: &Names, wall_us: u64, out: &mut Vec<u8>) {
    out.reserve(1_024);
    out.extend_from_slice(b"{\"time\":\"");
    timestamp(out, wall_us);
    out.push(b'"');
    for (name, value, cut) in [
        (&b",\"route\":\""[..], names.route(record).as_bytes(), false),
        (b",\"pool\":\"", names.pool(record).as_bytes(), false),
        (b",\"backend\":\"", names.backend(record).as_bytes(), false),
        (b",\"method\":\"", record.method.as_bytes(), record.method.is_cut()),
        (b",\"host\":\"", record.host.as_bytes(), record.host.is_cut()),
        (b",\"path\":\"", record.path.as_bytes(), record.path.is_cut()),
        (b",\"request_id\":\"", record.request_id.as_bytes(), record.request_id.is_cut()),
        (b",\"fault\":\"", record.fault.as_bytes(), false),
        (b",\"offence\":\"", record.offence.as_bytes(), false),
    ] {
        if value.is_empty() {
            continue;
        }
        out.extend_from_slice(name);
        escape_json(out, value);
        if cut {
            out.extend_from_slice(CUT);
        }
        out.push(b'"');
    }
    if let Some(client) = record.client {
        out.extend_from_slice(b",\"client\":\"");
        address(out, client);
        out.push(b'"');
    }
    for (name, value) in [
        (&b",\"status\":"[..], u64::from(record.status)),
        (b",\"bytes\":", record.sent),
        (b",\"bytes_received\":", record.received),
        (b",\"duration_us\":", record.duration_us),
        (b",\"upstream_us\":", u64::from(record.upstream_us)),
        (b",\"connect_us\":", u64::from(record.connect_us)),
        (b",\"worker\":", u64::from(record.worker)),
        (b",\"serial\":", record.serial),
    ] {
        out.extend_from_slice(name);
        number(out, value);
    }
    out.extend_from_slice(b"}\n");
}

/// One line for people.
pub fn line(record: &Record, names: &Names, wall_us: u64, out: &mut Vec<u8>) {
    timestamp(out, wall_us);
    out.push(b' ');
    summary(record, out);
    for (word, value) in [
        (&b" route "[..], names.route(record)),
        (b" backend ", names.backend(record)),
        (b" fault ", record.fault),
        (b" offence ", record.offence),
    ] {
        if !value.is_empty() {
            out.extend_from_slice(word);
            escape_plain(out, value.as_bytes());
        }
    }
    out.push(b'\n');
}

/// `GET host/path 200 1.234 ms`, without anything a terminal would act upon.
fn summary(record: &Record, out: &mut Vec<u8>) {
    escape_plain(out, record.method.as_bytes());
    out.push(b' ');
    escape_plain(out, record.host.as_bytes());
    escape_plain(out, record.path.as_bytes());
    if record.path.is_cut() {
        out.extend_from_slice(CUT);
    }
    out.push(b' ');
    number(out, u64::from(record.status));
    out.push(b' ');
    number(out, record.duration_us / 1_000);
    let rest = (record.duration_us % 1_000) as u32;
    let [tens, ones] = pair(rest);
    out.extend_from_slice(&[b'.', b'0' + (rest / 100) as u8, tens, ones]);
    out.extend_from_slice(b" ms");
}

fn escape_json(out: &mut Vec<u8>, bytes: &[u8]) {
    let plain = |byte: &u8| (b' '..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\';
    if all(bytes, plain) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte if plain(byte) => out.push(*byte),
            byte => {
                out.extend_from_slice(b"\\u00");
                hexadecimal(out, *byte);
            }
        }
    }
}

fn escape_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    let plain = |byte: &u8| (b' '..0x7f).contains(byte) && *byte != b'\\';
    if all(bytes, plain) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if plain(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            hexadecimal(out, *byte);
        }
    }
}

/// Whether all bytes are `good`. Looks at each of them, since the compiler can do that many at a time.
fn all(bytes: &[u8], good: impl Fn(&u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & good(byte))
}

fn hexadecimal(out: &mut Vec<u8>, byte: u8) {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
}

/// A decimal number; by hand, because formatting costs several times as much.
fn number(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut text = [0u8; 20];
    let mut start = text.len();
    for place in text.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}

/// Two decimal digits.
fn pair(value: u32) -> [u8; 2] {
    [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        IpAddr::V6(v6) => {
            use std::io::Write;
            // Writing to a vector doesn't fail.
            let _ = write!(out, "{v6}");
        }
    }
}

/// RFC 3339 in UTC with microseconds.
pub fn timestamp(out: &mut Vec<u8>, wall_us: u64) {
    let seconds = wall_us / 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let clock = seconds % 86_400;
    let (year, month, day) = (year as u32, month as u32, day as u32);
    let (clock, micros) = (clock as u32, (wall_us % 1_000_000) as u32);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (at, value) in [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, clock / 3_600),
        (14, clock / 60 % 60),
        (17, clock % 60),
        (20, micros / 10_000),
        (22, micros / 100),
        (24, micros),
    ] {
        if let Some(place) = text.get_mut(at..at + 2) {
            place.copy_from_slice(&pair(value));
        }
    }
    out.extend_from_slice(&text);
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Counts from a
/// first of March, so that the leap day is the last of its year.
const fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let moon = (5 * of_year + 2) / 153;
    let month = if moon < 10 { moon + 3 } else { moon - 9 };
    let early = if month <= 2 { 1 } else { 0 };
    (era * 400 + year + early, month, of_year - (153 * moon + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::super::short::Short;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Takes the native form apart as journald does.
    fn parse_journal(mut bytes: &[u8]) -> HashMap<String, Vec<u8>> {
        let mut fields = HashMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n').expect("a line ends");
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            let (name, value) = match line.iter().position(|b| *b == b'=') {
                Some(at) => {
                    bytes = rest;
                    (&line[..at], line[at + 1..].to_vec())
                }
                None => {
                    let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                    assert_eq!(rest[8 + len], b'\n');
                    bytes = &rest[9 + len..];
                    (line, rest[8..8 + len].to_vec())
                }
            };
            let name = String::from_utf8(name.to_vec()).unwrap();
            let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(!name.starts_with('_') && name.chars().all(allowed), "{name}");
            assert!(fields.insert(name, value).is_none(), "twice");
        }
        fields
    }

    fn names() -> Names {
        let backends = vec!["10.0.0.1:80".to_string()];
        Names { serial: 3, routes: vec!["/a/*".into()], pools: vec![("api".into(), backends)] }
    }

    fn record() -> Record {
        Record {
            duration_us: 1_234,
            upstream_us: 900,
            connect_us: 50,
            received: 7,
            sent: 4_096,
            serial: 3,
            route: 0,
            pool: 0,
            backend: 0,
            status: 200,
            worker: 1,
            client: Some("192.0.2.1".parse().unwrap()),
            method: Short::new(b"GET"),
            host: Short::new(b"shop.example"),
            path: Short::new(b"/a/b"),
            request_id: Short::new(b"0abc"),
            ..Record::EMPTY
        }
    }

    #[test]
    fn the_journal_gets_the_fields_of_the_manual() {
        let mut out = Vec::new();
        journal(&record(), &names(), &mut out);
        let fields = parse_journal(&out);
        for (name, value) in [
            ("MESSAGE", "GET shop.example/a/b 200 1.234 ms"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "cloudcup"),
            ("MESSAGE_ID", ids::ACCESS),
            ("CUP_ROUTE", "/a/*"),
            ("CUP_POOL", "api"),
            ("CUP_BACKEND", "10.0.0.1:80"),
            ("CUP_CLIENT", "192.0.2.1"),
            ("CUP_METHOD", "GET"),
            ("CUP_HOST", "shop.example"),
            ("CUP_PATH", "/a/b"),
            ("CUP_STATUS", "200"),
            ("CUP_BYTES", "4096"),
            ("CUP_DURATION_US", "1234"),
            ("CUP_UPSTREAM_US", "900"),
            ("CUP_CONNECT_US", "50"),
            ("CUP_REQUEST_ID", "0abc"),
            ("CUP_WORKER", "1"),
            ("CUP_SERIAL", "3"),
        ] {
            assert_eq!(fields.get(name).map(Vec::as_slice), Some(value.as_bytes()), "{name}");
        }
        assert!(!fields.contains_key("CUP_FAULT") && !fields.contains_key("CUP_OFFENCE"));
        let failed =
            Record { status: 502, fault: "connect-failed", offence: "bare_lf", ..record() };
        out.clear();
        journal(&failed, &names(), &mut out);
        let fields = parse_journal(&out);
        assert_eq!(
            (&fields["PRIORITY"][..], &fields["CUP_FAULT"][..]),
            (&b"4"[..], &b"connect-failed"[..])
        );
        assert_eq!(fields["CUP_OFFENCE"], b"bare_lf");
    }

    #[test]
    fn lines_of_json_are_json() {
        let mut out = Vec::new();
        let long = Record { path: Short::new(&[b'x'; 999]), ..record() };
        json(&record(), &names(), 1_767_225_599_000_001, &mut out);
        json(&long, &Names::default(), 0, &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["time"], "2025-12-31T23:59:59.000001Z");
        assert_eq!(lines[0]["route"], "/a/*");
        assert_eq!(lines[0]["client"], "192.0.2.1");
        assert_eq!(lines[0]["duration_us"], 1_234);
        assert_eq!(lines[1]["time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(lines[1]["path"], format!("{}...", "x".repeat(220)));
        assert!(lines[1].get("route").is_none());
    }

    #[test]
    fn a_line_for_people() {
        let mut out = Vec::new();
        line(&Record { host: Short::new(b"a\x1b[31m"), ..record() }, &names(), 0, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01T00:00:00.000000Z GET a\\x1b[31m/a/b 200 1.234 ms route /a/* backend 10.0.0.1:80\n"
        );
    }

    #[test]
    fn the_calendar() {
        for (day, expect) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_512, (2026, 2, 28)),
            (20_513, (2026, 3, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(day), expect, "{day}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_stay_in_their_field(path: Vec<u8>, host: Vec<u8>, number: u64) {
            let record = Record { path: Short::new(&path), host: Short::new(&host), sent: number, ..record() };
            let mut out = Vec::new();
            journal(&record, &names(), &mut out);
            let fields = parse_journal(&out);
            if !path.is_empty() {
                let mut expect = path[..path.len().min(220)].to_vec();
                if path.len() > 220 { expect.extend_from_slice(CUT); }
                prop_assert_eq!(&fields["CUP_PATH"], &expect);
            }
            prop_assert!(fields["MESSAGE"].iter().all(|b| (b' '..0x7f).contains(b)));
            prop_assert_eq!(fields["CUP_BYTES"].clone(), number.to_string().into_bytes());

            out.clear();
            json(&record, &names(), 0, &mut out);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            prop_assert!(out.iter().all(|b| (b' '..0x7f).contains(b) || *b == b'\n'));
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            if !path.is_empty() && path.len() <= 220 {
                let back: Vec<u8> = value["path"].as_str().unwrap().chars().map(|c| c as u8).collect();
                prop_assert_eq!(back, path);
            }
            out.clear();
            line(&record, &names(), 0, &mut out);
            prop_assert!(out.iter().all(|b| (b' '..0x7f).contains(b) || *b == b'\n'));
        }
    }
}

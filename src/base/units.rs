//! Sizes and durations as people write them.

use std::time::Duration;

/// Parses a size such as `"64KiB"`, `"10MB"` or `"512"` (bytes). Units: `B KiB MiB GiB TiB` (powers
/// of 1024) and `kB KB MB GB TB` (powers of 1000). `None` when the text is no size or passes
/// `u64::MAX` bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Parses a duration such as `"500ms"`, `"30s"`, `"5min"`, `"1h"`, `"2d"` (units of
/// systemd.time(7): `us ms s min m h d`). A bare number is refused: its unit would be a guess.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    Some(match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" | "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3_600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    })
}

/// `duration` in the largest unit of [`parse_duration`] that shows it exactly.
pub fn format_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let units: [(u128, &str); 6] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "min"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let exact = units.iter().find(|(size, _)| micros != 0 && micros % size == 0);
    exact.map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", micros / size))
}

/// `bytes` in the largest binary unit of [`parse_size`] that shows it exactly.
pub fn format_size(bytes: u64) -> String {
    let units: [(u64, &str); 4] =
        [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = units.iter().find(|(size, _)| bytes != 0 && bytes % size == 0);
    exact.map_or_else(|| format!("{bytes}B"), |(size, unit)| format!("{}{unit}", bytes / size))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((super::ascii::parse_decimal(number.as_bytes())?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("512", 512), ("0", 0), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("10MB", 10_000_000)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5MiB", "1XB", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5min", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "-1s", "1.5s", "1 fortnight", "99999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for text in ["500ms", "30s", "5min", "2d", "0s", "1us"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
        for bytes in [0, 1, 1024, 65_536, 1_000_000] {
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }
}

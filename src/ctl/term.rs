//! Output for people: colour where it is wanted, tables, numbers, and text made harmless.
//!
//! Colour is asked for by marks of zero width inside the text, so that tables can be laid out first;
//! [`Screen::line`] turns the marks into escape sequences on a terminal and drops them elsewhere. Text
//! from outside goes through [`plain`] first, so it can hold neither marks nor escape sequences.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A colour, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Well.
    Good,
    /// Not as meant.
    Warn,
    /// Broken.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

const MARKS: [(char, &str); 6] = [
    ('\u{200b}', "\x1b[32m"),
    ('\u{200c}', "\x1b[33m"),
    ('\u{200d}', "\x1b[31m"),
    ('\u{2061}', "\x1b[2m"),
    ('\u{2062}', "\x1b[1m"),
    ('\u{2060}', "\x1b[0m"),
];

/// `text` in a tone.
pub fn tone(tone: Tone, text: impl AsRef<str>) -> String {
    let [good, warn, bad, dim, strong, end] = MARKS.map(|(mark, _)| mark);
    let mark = match tone {
        Tone::Good => good,
        Tone::Warn => warn,
        Tone::Bad => bad,
        Tone::Dim => dim,
        Tone::Strong => strong,
    };
    format!("{mark}{}{end}", text.as_ref())
}

/// `text` without anything that a terminal would act on.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if letter.is_control() || hidden {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

/// The terminal, file or pipe that output goes to.
#[derive(Debug)]
pub struct Screen {
    colour: bool,
    text: String,
}

impl Screen {
    /// Standard output; colour on a terminal unless `NO_COLOR` is set.
    pub fn stdout() -> Screen {
        Screen::new(std::io::stdout().is_terminal())
    }

    /// Standard error, likewise.
    pub fn stderr() -> Screen {
        Screen::new(std::io::stderr().is_terminal())
    }

    fn new(terminal: bool) -> Screen {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Screen { colour: terminal && wanted, text: String::new() }
    }

    /// Without colour, for tests of what is shown.
    #[cfg(test)]
    pub fn quiet() -> Screen {
        Screen { colour: false, text: String::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        for letter in line.as_ref().trim_end().chars() {
            match MARKS.iter().find(|(mark, _)| *mark == letter) {
                Some((_, sequence)) if self.colour => self.text.push_str(sequence),
                Some(_) => {}
                None => self.text.push(letter),
            }
        }
        self.text.push('\n');
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) {
        for line in table.lines() {
            self.line(line);
        }
    }

    /// What was added so far; nothing is left.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Writes it to standard output. A reader that went away is no error.
    pub fn print(mut self) {
        write_quietly(&mut std::io::stdout().lock(), &self.take());
    }

    /// Writes it through a pager when standard output is a terminal and `wanted`.
    pub fn page(mut self, wanted: bool) {
        let text = self.take();
        if !(wanted && std::io::stdout().is_terminal() && page(&text)) {
            write_quietly(&mut std::io::stdout().lock(), &text);
        }
    }

    /// Writes it to standard error.
    pub fn print_error(mut self) {
        write_quietly(&mut std::io::stderr().lock(), &self.take());
    }
}

/// Gives `text` to the pager of `PAGER`, or less; whether it took it.
fn page(text: &str) -> bool {
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    let mut words = pager.split_whitespace();
    let Some(program) = words.next().filter(|program| *program != "cat") else { return false };
    let child = Command::new(program)
        .args(words)
        // Short output stays on the screen, colours pass, long lines are cut.
        .env("LESS", "FRSX")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut pipe) = child.stdin.take() {
        write_quietly(&mut pipe, text);
    }
    child.wait().is_ok()
}

/// Writes and flushes; a closed pipe is the reader's choice and the end of our interest.
pub fn write_quietly(to: &mut impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// A table with headings; the columns in `right` are aligned to the right.
pub fn table(headings: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|text| tone(Tone::Strong, text.to_uppercase())));
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `1234567` as `1 234 567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `bytes` with a binary unit and one decimal.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A span of time in its two largest units.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min")];
    let mut out: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    out.push(format!("{}s", seconds % 60));
    out.truncate(2);
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1 234 567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(span(Duration::from_secs(5)), "5s");
        assert_eq!(span(Duration::from_secs(3_725)), "1h 2min");
        assert_eq!(span(Duration::from_secs(90_000)), "1d 1h");
    }

    #[test]
    fn text_from_outside_cannot_act_on_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(plain("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
        assert_eq!(plain("Ünïcode 漢字"), "Ünïcode 漢字");
    }

    #[test]
    fn colour_comes_only_where_it_is_wanted() {
        let line = format!("a {}", tone(Tone::Bad, "down"));
        let mut grey = Screen { colour: false, text: String::new() };
        grey.line(&line);
        assert_eq!(grey.take(), "a down\n");
        let mut bright = Screen { colour: true, text: String::new() };
        bright.line(&line);
        assert_eq!(bright.take(), "a \x1b[31mdown\x1b[0m\n");
    }

    #[test]
    fn marks_do_not_disturb_columns() {
        let mut table = table(&["name", "state", "n"], &[2]);
        table.add_row([tone(Tone::Good, "up"), "x".into(), "1".into()]);
        table.add_row(["longer".to_owned(), "y".into(), "100".into()]);
        let mut screen = Screen { colour: false, text: String::new() };
        screen.table(&table);
        assert_eq!(
            screen.take(),
            " NAME    STATE    N\n up      x        1\n longer  y      100\n"
        );
    }
}

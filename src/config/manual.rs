//! The reference of the format, written from the key tables: Markdown, and the man page
//! cloudcup.json(5).

use std::fmt::Write as _;

use super::keys;
use super::shape::{Key, Object, Shape};

/// What both forms tell before the tables.
const RULES: [&str; 5] = [
    "The configuration is one file of strict JSON in UTF-8, at most 16 MiB. Unknown keys and keys \
     that stand twice are errors; `$comment` is accepted in every object. All problems are told at \
     once, each with line, column, JSON pointer, what is allowed and the nearest known key.",
    "Sizes are bytes or a text such as `\"64KiB\"` (`B KiB MiB GiB TiB`, `kB MB GB TB`); durations \
     are a text such as `\"500ms\"` (`us ms s min h d`).",
    "`cloudcup --check FILE` and `cupctl validate FILE` check a file, `cupctl plan FILE` tells what \
     it would change, `cupctl show config --effective` writes the running configuration with every \
     default filled in, and `cloudcup --schema` prints a JSON Schema for editors.",
    "Paths are compared and forwarded as sent. An escape that means a plain byte is compared as that \
     byte; `%2F`, `%5C` and `%25` stay what they are. A path with a `.` or `..` segment in any \
     spelling, with a broken escape, an escaped NUL, a raw backslash or `#` is answered with 400.",
    "A file with the key `root` is a seed file: the form of the first Cloud Cup (`root`, `ssl`, \
     `routes`, `backends[].host`, `max_failure`, `strategy`), valid unchanged. There unknown keys \
     are warnings, `\"*\"` is required, an exact path also matches with one slash behind it, and \
     problems carry the seed's own identifiers.",
];

/// The reference in Markdown.
pub fn markdown() -> String {
    let mut out = String::from("# Configuration reference\n\n");
    out.push_str("Written by the program from its own tables; edit `src/config/keys.rs`.\n\n");
    for rule in RULES {
        let _ = write!(out, "{rule}\n\n");
    }
    for object in keys::ALL {
        let _ = write!(out, "## {}\n\n{}\n\n", title(object), object.text);
        out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in object.keys {
            let names = names(key, "`");
            let value = value_words(&key.shape, "`").replace('|', "\\|");
            let default = default_words(key).map_or(String::new(), |text| match key.default {
                Some(_) => format!("`{text}`"),
                None => text,
            });
            let text = key.text.replace('|', "\\|");
            let _ = writeln!(out, "| {names} | {value} | {default} | {text} |");
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The man page cloudcup.json(5), in man(7) macros.
pub fn man_page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(".TH CLOUDCUP.JSON 5 \"\" \"cloudcup {version}\" \"Cloud Cup\"\n");
    out.push_str(".SH NAME\ncloudcup.json \\- configuration of the reverse proxy cloudcup\n");
    out.push_str(".SH SYNOPSIS\n/etc/cloudcup/cloudcup.json\n.SH DESCRIPTION\n");
    for (at, rule) in RULES.iter().enumerate() {
        let break_before = if at > 0 { ".PP\n" } else { "" };
        let _ = write!(out, "{break_before}{}\n", roff(rule));
    }
    for object in keys::ALL {
        let _ = write!(out, ".SH {}\n{}\n", title(object).to_uppercase(), roff(object.text));
        for key in object.keys {
            let _ = write!(out, ".TP\n\\fB{}\\fR\n", roff(&names(key, "")));
            let mut line = format!("{} ", key.text);
            let _ = write!(line, "Value: {}.", value_words(&key.shape, ""));
            if let Some(default) = default_words(key) {
                let word = if key.default.is_some() { "Default: " } else { "" };
                let _ = write!(line, " {word}{default}.");
            }
            let _ = writeln!(out, "{}", roff(&line));
        }
    }
    out.push_str(".SH FILES\n.TP\n/etc/cloudcup/cloudcup.json\nThe configuration.\n.TP\n");
    out.push_str("/usr/share/cloudcup/cloudcup.schema.json\nIts JSON Schema.\n");
    out.push_str(".SH SEE ALSO\n.BR cloudcup (8),\n.BR cupctl (1),\n.BR systemd.socket (5)\n");
    out
}

fn title(object: &Object) -> String {
    let mut name = object.name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

fn names(key: &Key, quote: &str) -> String {
    let alias = key.alias.map(|alias| format!(" ({quote}{alias}{quote})")).unwrap_or_default();
    format!("{quote}{}{quote}{alias}", key.name)
}

fn default_words(key: &Key) -> Option<String> {
    match key.default {
        Some(default) => Some(default.to_owned()),
        None => key.required.then(|| "Required".to_owned()),
    }
}

fn value_words(shape: &Shape, quote: &str) -> String {
    let object = |object: &Object| format!("an object: see {quote}{}{quote}", title(object));
    match shape {
        Shape::Object(one) => object(one),
        Shape::OneOrMore(Shape::Object(one)) => {
            format!("{}, or an array of them", object(one))
        }
        Shape::List { item: Shape::Object(one), .. } => {
            format!("an array of objects: see {quote}{}{quote}", title(one))
        }
        Shape::List { item, .. } => format!("an array; each is {}", item.allowed()),
        Shape::Map { name, value } => {
            let value = value_words(value, quote);
            format!("an object; each {quote}{name}{quote} holds {value}")
        }
        _ => shape.allowed(),
    }
}

/// Text for man(7): no markup, nothing that starts a request by chance.
fn roff(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('`', "").replace('-', "\\-");
    match plain.starts_with(['.', '\'']) {
        true => format!("\\&{plain}"),
        false => plain,
    }
}

//! The vocabulary of the key tables: shapes of values.

/// An object with a fixed set of keys. `$comment` is accepted in each.
#[derive(Debug)]
pub struct Object {
    /// What it is called in messages and in the schema.
    pub name: &'static str,
    /// What it is.
    pub text: &'static str,
    /// Its keys, in the order of the manual.
    pub keys: &'static [Key],
    /// Keys of later versions; refused with words of their own.
    pub later: &'static [&'static str],
}

impl Object {
    /// What it is called behind "in".
    pub fn phrase(&self) -> String {
        match self.name {
            "document" => "the document".to_owned(),
            several if several.ends_with('s') => several.to_owned(),
            one => format!("a {one}"),
        }
    }
}

/// One key of an object.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Another name that means the same.
    pub alias: Option<&'static str>,
    /// What it holds.
    pub shape: Shape,
    /// The default, as JSON text; `None` where leaving it out means something that no value does.
    pub default: Option<&'static str>,
    /// Whether it must stand there.
    pub required: bool,
    /// What it means.
    pub text: &'static str,
}

impl Key {
    /// An optional key without a default.
    pub const fn new(name: &'static str, shape: Shape, text: &'static str) -> Key {
        Key { name, alias: None, shape, default: None, required: false, text }
    }

    /// With a default, as JSON text.
    pub const fn or(mut self, default: &'static str) -> Key {
        self.default = Some(default);
        self
    }

    /// Without a default: it is taken from further out.
    pub const fn inherited(mut self) -> Key {
        self.default = None;
        self
    }

    /// With another name.
    pub const fn alias(mut self, alias: &'static str) -> Key {
        self.alias = Some(alias);
        self
    }

    /// Must stand there.
    pub const fn required(mut self) -> Key {
        self.required = true;
        self
    }
}

/// Words that may stand somewhere.
#[derive(Debug)]
pub struct Word {
    /// Those of this version.
    pub now: &'static [&'static str],
    /// Those of later versions; refused with words of their own.
    pub later: &'static [&'static str],
}

/// What a value looks like.
#[derive(Debug)]
pub enum Shape {
    /// Checked elsewhere.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A whole number or `"auto"`.
    WholeOrAuto {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// One of these numbers.
    Status(&'static [u64]),
    /// Bytes, as a number or as `"64KiB"`.
    Size {
        /// The least, bytes.
        min: u64,
        /// The greatest, bytes.
        max: u64,
        /// Whether `"off"` may stand there.
        off: bool,
    },
    /// A duration such as `"30s"`, or `"off"`.
    Duration {
        /// The least, milliseconds.
        min_ms: u64,
        /// The greatest, milliseconds.
        max_ms: u64,
    },
    /// One of a set of words.
    Word(&'static Word),
    /// Where to listen.
    Listen,
    /// Where a backend is.
    Backend,
    /// An address or network, `10.0.0.0/8`.
    Network,
    /// Where access records go.
    AccessLog,
    /// A test of a named value: a string, strings or a boolean.
    Test,
    /// An array.
    List {
        /// Each item.
        item: &'static Shape,
        /// The least number of items.
        min: usize,
    },
    /// One, or an array of at least one.
    OneOrMore(&'static Shape),
    /// An object with keys of the user's choice.
    Map {
        /// What the keys are.
        name: &'static str,
        /// Each value.
        value: &'static Shape,
    },
    /// An object of this kind.
    Object(&'static Object),
}

impl Shape {
    /// What is allowed, in words that follow "must be".
    pub fn allowed(&self) -> String {
        let off = |off: bool| if off { " or \"off\"" } else { "" };
        match self {
            Shape::Any => "anything".to_owned(),
            Shape::Text => "a string".to_owned(),
            Shape::Flag => "true or false".to_owned(),
            Shape::Whole { min, max } if min == max => format!("{min}"),
            Shape::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Shape::WholeOrAuto { min, max } => {
                format!("a whole number from {min} to {max} or \"auto\"")
            }
            Shape::Status(list) => {
                let list: Vec<String> = list.iter().map(u64::to_string).collect();
                list_of(&list)
            }
            Shape::Size { min, max, off: may } => format!(
                "a size from {} to {}, such as \"8KiB\"{}",
                show_size(*min),
                show_size(*max),
                off(*may)
            ),
            Shape::Duration { min_ms, max_ms } => format!(
                "a duration from {} to {}, such as \"500ms\" or \"30s\", or \"off\"",
                show_millis(*min_ms),
                show_millis(*max_ms)
            ),
            Shape::Word(word) => {
                let words: Vec<String> = word.now.iter().map(|word| format!("\"{word}\"")).collect();
                list_of(&words)
            }
            Shape::Listen => "an address such as \"0.0.0.0:80\", \"[::]:80\" or \"unix:/path\"".into(),
            Shape::Backend => {
                "an address such as \"10.0.0.1:8080\", \"[fd00::1]:80\", \"name:80\" or \"unix:/path\""
                    .into()
            }
            Shape::Network => "an address or network such as \"10.0.0.0/8\"".to_owned(),
            Shape::AccessLog => "\"off\", \"journal\", \"stderr\" or \"file:/path\"".to_owned(),
            Shape::Test => "a string, an array of strings, or true or false".to_owned(),
            Shape::List { .. } => "an array".to_owned(),
            Shape::OneOrMore(_) => "an object or an array of objects".to_owned(),
            Shape::Map { .. } | Shape::Object(_) => "an object".to_owned(),
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
pub fn list_of(words: &[String]) -> String {
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

fn show_size(bytes: u64) -> String {
    crate::base::units::format_size(bytes)
}

fn show_millis(millis: u64) -> String {
    crate::base::units::format_duration(std::time::Duration::from_millis(millis))
}

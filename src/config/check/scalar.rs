//! Single values, read along their shape.

use std::time::Duration;

use ipnet::IpNet;

use crate::base::{ascii, units};
use crate::config::json::{Kind, Value};
use crate::config::plan::AccessLog;
use crate::config::shape::{Shape, Word};
use crate::config::words;
use crate::route::unprintable;

use super::{Checker, Fields, called, nearest, shown};

/// A value that may be left to the program.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Auto {
    Auto,
    Number(u64),
}

impl<'d> Fields<'d> {
    fn with_shape(self, name: &str) -> Option<(Value<'d>, &'static Shape)> {
        Some((self.get(name)?, &self.key(name)?.shape))
    }
}

impl Checker<'_> {
    fn out_of_range(&mut self, value: Value<'_>, shape: &Shape) {
        let message = format!("{} must be {}", called(value), shape.allowed());
        self.error("out-of-range", value, message);
    }

    /// A whole number of the key `name`, when it stands there and is right.
    pub(super) fn whole(&mut self, fields: Fields<'_>, name: &str) -> Option<u64> {
        let (value, shape) = fields.with_shape(name)?;
        self.number(value, shape)
    }

    fn number(&mut self, value: Value<'_>, shape: &Shape) -> Option<u64> {
        let Kind::Number(text) = value.kind() else {
            self.wrong_type(value, &shape.allowed());
            return None;
        };
        let number = ascii::parse_decimal(text.as_bytes());
        let fits = number.filter(|number| match shape {
            Shape::Whole { min, max }
            | Shape::WholeOrAuto { min, max }
            | Shape::Size { min, max, .. } => (min..=max).contains(&number),
            Shape::Status(list) => list.contains(number),
            _ => false,
        });
        if fits.is_none() {
            self.out_of_range(value, shape);
        }
        fits
    }

    /// A whole number or `"auto"`.
    pub(super) fn auto(&mut self, fields: Fields<'_>, name: &str) -> Option<Auto> {
        let (value, shape) = fields.with_shape(name)?;
        if value.kind() == Kind::Text("auto") {
            return Some(Auto::Auto);
        }
        self.number(value, shape).map(Auto::Number)
    }

    /// Bytes; `Some(None)` is `"off"`.
    pub(super) fn size(&mut self, fields: Fields<'_>, name: &str) -> Option<Option<u64>> {
        let (value, shape) = fields.with_shape(name)?;
        let Shape::Size { min, max, off } = shape else { return None };
        let Kind::Text(text) = value.kind() else {
            return self.number(value, shape).map(Some);
        };
        if *off && text == "off" {
            return Some(None);
        }
        match units::parse_size(text) {
            Some(size) if (min..=max).contains(&&size) => Some(Some(size)),
            Some(_) => {
                self.out_of_range(value, shape);
                None
            }
            None => {
                let message = format!("{:?} is no size", shown(text));
                let hint = format!("{} must be {}", called(value), shape.allowed());
                self.error_hint("bad-value", value, message, hint);
                None
            }
        }
    }

    /// A duration; `Some(None)` is `"off"`.
    pub(super) fn duration(&mut self, fields: Fields<'_>, name: &str) -> Option<Option<Duration>> {
        let (value, shape) = fields.with_shape(name)?;
        let Shape::Duration { min_ms, max_ms } = shape else { return None };
        let text = match value.kind() {
            Kind::Text("off") => return Some(None),
            Kind::Text(text) => text,
            Kind::Number(number) => {
                let message = format!("{} needs a unit", called(value));
                let hint = format!("write \"{}s\" for seconds", shown(number));
                self.error_hint("wrong-type", value, message, hint);
                return None;
            }
            _ => {
                self.wrong_type(value, &shape.allowed());
                return None;
            }
        };
        let range = Duration::from_millis(*min_ms)..=Duration::from_millis(*max_ms);
        match units::parse_duration(text) {
            Some(duration) if range.contains(&duration) => Some(Some(duration)),
            Some(_) => {
                self.out_of_range(value, shape);
                None
            }
            None => {
                let message = format!("{:?} is no duration", shown(text));
                let hint = format!("{} must be {}", called(value), shape.allowed());
                self.error_hint("bad-value", value, message, hint);
                None
            }
        }
    }

    pub(super) fn flag(&mut self, fields: Fields<'_>, name: &str) -> Option<bool> {
        let value = fields.get(name)?;
        match value.kind() {
            Kind::Flag(flag) => Some(flag),
            _ => {
                self.wrong_type(value, "true or false");
                None
            }
        }
    }

    pub(super) fn text<'d>(&mut self, fields: Fields<'d>, name: &str) -> Option<&'d str> {
        self.string(fields.get(name)?)
    }

    pub(super) fn string<'d>(&mut self, value: Value<'d>) -> Option<&'d str> {
        match value.kind() {
            Kind::Text(text) => Some(text),
            _ => {
                self.wrong_type(value, "a string");
                None
            }
        }
    }

    /// One of the words of a key.
    pub(super) fn word(&mut self, fields: Fields<'_>, name: &str) -> Option<&'static str> {
        let (value, shape) = fields.with_shape(name)?;
        match shape {
            Shape::Word(words) => self.one_word(value, words),
            _ => None,
        }
    }

    pub(super) fn one_word(&mut self, value: Value<'_>, words: &Word) -> Option<&'static str> {
        let shape_words = || words.now.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
        let Kind::Text(text) = value.kind() else {
            let allowed = crate::config::shape::list_of(&shape_words());
            let id = self.id("wrong-type", "InvalidStrategy");
            let message =
                format!("{} must be {allowed}, not {}", called(value), value.kind().article());
            self.error(id, value, message);
            return None;
        };
        if let Some(word) = words.now.iter().find(|word| **word == text) {
            return Some(word);
        }
        let id = self.id("not-supported", "UnsupportedStrategy");
        let allowed = format!("allowed: {}", crate::config::shape::list_of(&shape_words()));
        if words.later.contains(&text) {
            let message = format!("{text:?} is not supported in this version");
            self.error_hint(id, value, message, allowed);
            return None;
        }
        let id = self.id("bad-value", "UnsupportedStrategy");
        let hint = match nearest(text, words.now.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => allowed,
        };
        let message = format!("{} can't be {:?}", called(value), shown(text));
        self.error_hint(id, value, message, hint);
        None
    }

    pub(super) fn networks(&mut self, value: Value<'_>, min: usize) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for item in self.list(value, min) {
            let Some(text) = self.string(item) else { continue };
            match words::network(text) {
                Ok(net) => nets.push(net),
                Err((message, hint)) => self.error_hint("bad-value", item, message, hint),
            }
        }
        nets
    }

    pub(super) fn access_log(&mut self, fields: Fields<'_>, name: &str) -> Option<AccessLog> {
        let value = fields.get(name)?;
        let text = self.string(value)?;
        let file = text.strip_prefix("file:");
        match (text, file) {
            ("off", _) => Some(AccessLog::Off),
            ("journal", _) => Some(AccessLog::Journal),
            ("stderr", _) => Some(AccessLog::Stderr),
            (_, Some(path)) if path.starts_with('/') && !path.chars().any(unprintable) => {
                Some(AccessLog::File(path.to_owned()))
            }
            (_, Some(_)) => {
                self.error("bad-value", value, "the path of the log must be absolute");
                None
            }
            _ => {
                let hint = format!("{} must be {}", called(value), Shape::AccessLog.allowed());
                let message = format!("{:?} is no place for records", shown(text));
                self.error_hint("bad-value", value, message, hint);
                None
            }
        }
    }
}

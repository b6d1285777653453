//! The JSON Schema of the format, written from the key tables.
//!
//! It serves editors. It is more lenient than the checker where a schema can't say what is meant
//! (addresses, references, one action for a rule), and never stricter.

use super::json::Tree;
use super::keys;
use super::shape::{Key, Object, Shape};

/// The name that the shipped schema has of itself.
const ID: &str = "urn:cloudcup:configuration:1";

/// The JSON Schema (2020-12) of the current format and of seed documents, as text.
pub fn schema() -> String {
    let mut defs = Tree::Object(Vec::new());
    for object in keys::ALL.into_iter().chain([&keys::SEED_TOP]) {
        defs.put(&def_name(object), object_schema(object));
    }
    let reference = |object: &Object| Tree::from([("$ref", reference(object).into())]);
    Tree::from([
        ("$schema", "https://json-schema.org/draft/2020-12/schema".into()),
        ("$id", ID.into()),
        ("title", "Cloud Cup configuration".into()),
        ("type", "object".into()),
        ("if", Tree::from([("required", vec!["root"].into())])),
        ("then", reference(&keys::SEED_TOP)),
        ("else", reference(&keys::TOP)),
        ("$defs", defs),
    ])
    .pretty()
}

fn def_name(object: &Object) -> String {
    object.name.replace(' ', "-")
}

fn reference(object: &Object) -> String {
    format!("#/$defs/{}", def_name(object))
}

fn object_schema(object: &Object) -> Tree {
    let mut properties = Tree::from([("$comment", Tree::Object(Vec::new()))]);
    for key in object.keys {
        properties.put(key.name, key_schema(key, key.text));
        if let Some(alias) = key.alias {
            properties.put(alias, key_schema(key, &format!("The same as `{}`.", key.name)));
        }
    }
    let mut out = Tree::from([("description", object.text.into()), ("type", "object".into())]);
    out.put("properties", properties);
    let plain = |key: &&Key| key.required && key.alias.is_none();
    let required: Vec<&str> = object.keys.iter().filter(plain).map(|key| key.name).collect();
    if !required.is_empty() {
        out.put("required", required);
    }
    let either =
        object.keys.iter().find_map(|key| key.alias.filter(|_| key.required).map(|a| (key, a)));
    if let Some((key, alias)) = either {
        let one = |name: &str| Tree::from([("required", vec![name].into())]);
        out.put("oneOf", vec![one(key.name), one(alias)]);
    }
    let seed = std::ptr::eq(object, &keys::SEED_TOP);
    out.put("additionalProperties", seed);
    out
}

fn key_schema(key: &Key, text: &str) -> Tree {
    let mut out = Tree::from([("description", text.into())]);
    if let Tree::Object(members) = shape_schema(&key.shape) {
        for (name, tree) in members {
            out.put(&name, tree);
        }
    }
    if let Some(default) = key.default {
        out.put("default", Tree::Raw(default));
    }
    out
}

fn typed(name: &str) -> Tree {
    Tree::from([("type", name.into())])
}

fn constant(word: &str) -> Tree {
    Tree::from([("const", word.into())])
}

fn any_of(shapes: Vec<Tree>) -> Tree {
    Tree::from([("anyOf", shapes.into())])
}

fn pattern(text: &str) -> Tree {
    Tree::from([("type", "string".into()), ("pattern", text.into())])
}

fn whole(min: u64, max: u64) -> Tree {
    Tree::from([("type", "integer".into()), ("minimum", min.into()), ("maximum", max.into())])
}

fn shape_schema(shape: &Shape) -> Tree {
    const SIZE: &str = "^[0-9]+ ?(B|[KMGT]iB|[kKMGT]B)?$";
    const DURATION: &str = "^[0-9]+ ?(us|ms|s|min|m|h|d)$";
    match shape {
        Shape::Any => Tree::Object(Vec::new()),
        Shape::Text | Shape::Backend | Shape::Listen | Shape::Network => typed("string"),
        Shape::Flag => typed("boolean"),
        Shape::Whole { min, max } => whole(*min, *max),
        Shape::WholeOrAuto { min, max } => any_of(vec![whole(*min, *max), constant("auto")]),
        Shape::Status(list) => Tree::from([("enum", list.to_vec().into())]),
        Shape::Size { min, max, off } => {
            let mut shapes = vec![whole(*min, *max), pattern(SIZE)];
            shapes.extend(off.then(|| constant("off")));
            any_of(shapes)
        }
        Shape::Duration { .. } => any_of(vec![pattern(DURATION), constant("off")]),
        Shape::Word(word) => Tree::from([("enum", word.now.to_vec().into())]),
        Shape::AccessLog => pattern("^(off|journal|stderr|file:/.*)$"),
        Shape::Test => {
            let list = Tree::from([
                ("type", "array".into()),
                ("items", typed("string")),
                ("minItems", 1u32.into()),
            ]);
            any_of(vec![typed("string"), list, typed("boolean")])
        }
        Shape::List { item, min } => {
            let mut out = Tree::from([("type", "array".into()), ("items", shape_schema(item))]);
            if *min > 0 {
                out.put("minItems", *min as u64);
            }
            out
        }
        Shape::OneOrMore(item) => {
            let list = Tree::from([
                ("type", "array".into()),
                ("items", shape_schema(item)),
                ("minItems", 1u32.into()),
            ]);
            any_of(vec![shape_schema(item), list])
        }
        Shape::Map { value, .. } => {
            let comment = Tree::from([("$comment", Tree::Object(Vec::new()))]);
            Tree::from([
                ("type", "object".into()),
                ("properties", comment),
                ("additionalProperties", shape_schema(value)),
            ])
        }
        Shape::Object(object) => Tree::from([("$ref", reference(object).into())]),
    }
}

//! What a file had that its new format has no place for, kept in the metadata, from where it comes back.
//!
//! Under the key `pyfolds`: the metadata of a version 1 index, the chunks' types and order, what stood beside a state's
//! tensors. Under `state_dicts`: of which state dicts the arrays were gathered. Under `safetensors`: the texts of such a
//! file. Numbers that strict JSON lacks are written as `{"non_finite": "NaN"}`.
//!
//! In a safetensors file all of this is the text `fold`, which names its schema; what came from safetensors has its own
//! texts there and no other, unless there is something to keep.

use std::collections::HashMap;

use fold_format::json::{self, Form, Value};

use super::document::{Body, Document, Guards, Part};
use super::neurons::{self, Layout};
use crate::error::Error;

/// What a version 1 file had.
const PYFOLDS: &str = "pyfolds";
/// Chunk -> how its state dict was.
const STATE_DICTS: &str = "state_dicts";
/// The texts of a safetensors file.
const SAFETENSORS: &str = "safetensors";
/// A number that is not finite.
const NON_FINITE: &str = "non_finite";

/// The key under which a safetensors file of this project keeps what comes back.
const FOLD: &str = "fold";
/// In front of the name of a chunk that is text, among the texts of a safetensors file.
const CHUNK: &str = "chunk.";
/// What the text `fold` is called by: before it was, the text `format` was `fold`.
const SCHEMA: &str = "fold.safetensors/1";
/// The one chunk of a file that has tensors alone.
pub(super) const TENSORS: &str = "tensors";

/// The one entry of an object, where it is an object too.
fn sole<'a>(metadata: Option<&'a Value>, wanted: &str) -> Option<&'a Value> {
    match metadata.and_then(Value::as_object)? {
        [(key, value)] if &**key == wanted => value.as_object().map(|_| value),
        _ => None,
    }
}

/// What a version 1 file had, where metadata are that.
fn of_version_1(metadata: Option<&Value>) -> Option<&Value> {
    sole(metadata, PYFOLDS).filter(|kept| kept.get("chunks").and_then(Value::as_array).is_some())
}

/// The texts of a safetensors file, where metadata are those.
fn of_safetensors(metadata: Option<&Value>) -> Option<&Value> {
    let entries = |texts: &Value| {
        texts
            .as_object()
            .unwrap_or_default()
            .iter()
            .all(|(_, text)| text.as_str().is_some())
    };
    sole(metadata, SAFETENSORS).filter(|texts| entries(texts))
}

/// The key of somebody's metadata that [`unpack`] would take for what [`pack`] keeps there.
fn taken_for_ours(metadata: &Value) -> Option<&'static str> {
    let found = [
        (STATE_DICTS, read_layouts(metadata).is_some()),
        (PYFOLDS, of_version_1(Some(metadata)).is_some()),
        (SAFETENSORS, of_safetensors(Some(metadata)).is_some()),
    ];
    found.into_iter().find_map(|(key, is_ours)| is_ours.then_some(key))
}

/// The text of a document's metadata with all that is to come back.
///
/// # Errors
/// [`Error::Unheld`]: it would not be read back.
pub(super) fn pack(document: &Document) -> Result<String, Error> {
    printed(&packed(document)?)
}

fn printed(value: &Value) -> Result<String, Error> {
    let depth = depth(value);
    match depth > json::MAX_DEPTH {
        true => Err(Error::Unheld {
            what: format!("the metadata are nested {depth} deep once packed, too deep to be read back").into(),
            instead: "another target may take them".into(),
        }),
        false => Ok(value.print(Form::Stored)),
    }
}

fn packed(document: &Document) -> Result<Value, Error> {
    let own = document.metadata.clone().unwrap_or(Value::Object(Vec::new()));
    let mut packed = match document.origin {
        "fold-v1" => {
            let mut kept = own.as_object().unwrap_or_default().to_vec();
            kept.push(("chunks".into(), chunks(document)));
            Value::object([(PYFOLDS, strict(&Value::Object(kept)))])
        }
        "safetensors" => Value::object([(SAFETENSORS, own)]),
        _ => match taken_for_ours(&own) {
            Some(key) => {
                return Err(Error::Unheld {
                    what: format!(
                        "the metadata have a key `{key}` that would be read back as what is kept under it here"
                    )
                    .into(),
                    instead: "give it another name, or convert to version 1".into(),
                });
            }
            None => own,
        },
    };
    if let (Value::Object(entries), Some(layouts)) = (&mut packed, layouts(document)) {
        if entries.iter().any(|(key, _)| &**key == STATE_DICTS) {
            return Err(Error::Unheld {
                what: format!(
                    "the metadata have a key `{STATE_DICTS}` already, where it is kept how arrays came to be"
                )
                .into(),
                instead: "give it another name, or leave out `--state arrays`".into(),
            });
        }
        entries.push((STATE_DICTS.into(), layouts));
    }
    Ok(packed)
}

/// How deep arrays and objects are nested.
pub(super) fn depth(value: &Value) -> u32 {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(entries) => entries.iter().map(|(_, value)| depth(value)).max(),
        _ => return 0,
    };
    inner.unwrap_or(0).saturating_add(1)
}

/// Of which state dicts the chunks' arrays were gathered; none where no chunk's were.
fn layouts(document: &Document) -> Option<Value> {
    let layouts = document.parts.iter().filter_map(|part| match &part.body {
        Body::Tensors {
            layout: Some(layout), ..
        } => Some((part.name.as_str(), layout.to_json())),
        _ => None,
    });
    let layouts: Vec<_> = layouts.collect();
    (!layouts.is_empty()).then(|| Value::object(layouts))
}

/// The texts of a safetensors file that holds the tensors of a document.
///
/// # Errors
/// As [`pack`].
pub(super) fn texts(document: &Document) -> Result<Vec<(String, String)>, Error> {
    let is_plain = match document.parts.as_slice() {
        [part] => part.name == TENSORS && matches!(&part.body, Body::Tensors { others, .. } if others.is_empty()),
        _ => false,
    };
    let mut kept = vec![("schema", Value::from(SCHEMA))];
    if document.origin == "safetensors" && is_plain {
        let own = document
            .metadata
            .as_ref()
            .and_then(Value::as_object)
            .unwrap_or_default();
        let mut texts: Vec<_> = own
            .iter()
            .filter_map(|(key, text)| Some((key.to_string(), text.as_str()?.to_owned())))
            .collect();
        match layouts(document) {
            None => return Ok(texts),
            Some(layouts) if own.iter().all(|(key, _)| &**key != FOLD) => {
                kept.push(("origin", Value::from("safetensors")));
                kept.push(("kept", Value::object([(STATE_DICTS, layouts)])));
                texts.push((FOLD.to_owned(), printed(&Value::object(kept))?));
                return Ok(texts);
            }
            Some(_) => {}
        }
    }
    kept.push(("kept", packed(document)?));
    if document.origin != "fold-v1" && !is_plain {
        kept.push(("chunks", chunks(document)));
    }
    let mut texts = vec![
        ("format".to_owned(), "fold".to_owned()),
        (FOLD.to_owned(), printed(&Value::object(kept))?),
    ];
    for part in &document.parts {
        if let Body::Text(text) = &part.body {
            texts.push((format!("{CHUNK}{}", part.name), text.clone()));
        }
    }
    Ok(texts)
}

/// What [`texts`] kept.
pub(super) struct Kept {
    /// What [`pack`] gave.
    pub(super) metadata: Value,
    /// Chunks of tensors, and the names of those in them; none where it is not said which there were.
    pub(super) tensors: Option<Vec<(String, Vec<String>)>>,
    /// Chunks of text.
    pub(super) texts: Vec<(String, String)>,
}

/// What the texts of a safetensors file are. None where they are not what [`texts`] gave: they are metadata then.
pub(super) fn of_texts(texts: &[(Box<str>, Box<str>)]) -> Option<Kept> {
    let text = |wanted: &str| texts.iter().find(|(key, _)| &**key == wanted).map(|(_, text)| &**text);
    let packed = json::parse(text(FOLD)?.as_bytes()).ok()?;
    packed.as_object()?;
    if packed.get("schema").and_then(Value::as_str) == Some(SCHEMA) {
        let kept = packed.get("kept").filter(|kept| kept.as_object().is_some())?;
        if packed.get("origin").and_then(Value::as_str) == Some("safetensors") {
            let own = texts.iter().filter(|(key, _)| &**key != FOLD);
            let own = own.map(|(key, text)| (key.clone(), Value::from(&**text)));
            let mut entries = kept.as_object().unwrap_or_default().to_vec();
            entries.push((SAFETENSORS.into(), Value::object(own)));
            return Some(Kept {
                tensors: chunk_tensors(kept, None),
                metadata: Value::Object(entries),
                texts: Vec::new(),
            });
        }
        return Some(Kept {
            tensors: chunk_tensors(kept, packed.get("chunks")),
            metadata: kept.clone(),
            texts: chunk_texts(texts)?,
        });
    }
    // As this project wrote it before the schema had a name.
    (text("format") == Some("fold")).then_some(())?;
    Some(Kept {
        tensors: chunk_tensors(&packed, None),
        texts: chunk_texts(texts)?,
        metadata: packed,
    })
}

/// The texts that are chunks. None where there are others, which would be lost.
fn chunk_texts(texts: &[(Box<str>, Box<str>)]) -> Option<Vec<(String, String)>> {
    let others = texts.iter().filter(|(key, _)| !matches!(&**key, FOLD | "format"));
    others
        .map(|(key, text)| Some((key.strip_prefix(CHUNK)?.to_owned(), text.to_string())))
        .collect()
}

/// The type of a chunk that has none.
pub(super) const NO_TYPE: &str = "BYTE";

/// The chunks of a version 1 file: name, type, the order of the tensors, what stands beside them.
fn chunks(document: &Document) -> Value {
    let chunks = document.parts.iter().map(|part| {
        let mut entry = vec![
            ("name", Value::from(&*part.name)),
            ("ctype", Value::from(part.ctype.as_deref().unwrap_or(NO_TYPE))),
        ];
        if let Body::Tensors {
            tensors,
            others,
            layout,
        } = &part.body
        {
            if layout.is_none() {
                let names = tensors.iter().map(|tensor| Value::from(&*tensor.name));
                entry.push(("tensors", Value::Array(names.collect())));
            }
            if !others.is_empty() {
                entry.push(("others", Value::Object(others.clone())));
            }
        }
        Value::object(entry)
    });
    Value::Array(chunks.collect())
}

/// The document that was packed: its parts as the container has them, and the metadata that [`pack`] gave.
///
/// - `format`: of the file that both are from.
///
/// # Errors
/// The arrays of a state dict are not what was packed beside them.
pub(super) fn unpack(format: &'static str, metadata: Option<Value>, mut parts: Vec<Part>) -> Result<Document, Error> {
    let mut metadata = metadata;
    if let Some(layouts) = metadata.as_ref().and_then(read_layouts) {
        for part in &mut parts {
            if let Body::Tensors { layout, .. } = &mut part.body {
                *layout = layouts.get(part.name.as_str()).cloned();
            }
            neurons::restore(&mut part.body)?;
        }
        metadata = metadata.map(|metadata| metadata.without(STATE_DICTS));
    }
    if let Some(kept) = of_version_1(metadata.as_ref()) {
        // A file that came from version 1 is that file again.
        let kept = lenient(kept);
        return Ok(Document {
            format,
            origin: "fold-v1",
            parts: ordered(parts, &kept)?,
            metadata: Some(kept.without("chunks")),
            unread_metadata: None,
            guards: Guards::default(),
        });
    }
    if let Some(texts) = of_safetensors(metadata.as_ref()) {
        let is_empty = texts.as_object().unwrap_or_default().is_empty();
        return Ok(Document {
            format,
            origin: "safetensors",
            metadata: (!is_empty).then(|| texts.clone()),
            parts,
            unread_metadata: None,
            guards: Guards::default(),
        });
    }
    Ok(Document {
        format,
        origin: "fold-v2",
        metadata,
        parts,
        unread_metadata: None,
        guards: Guards::default(),
    })
}

/// Chunk -> layout; none where there are none, or one of them is something else: that is metadata like any other.
fn read_layouts(metadata: &Value) -> Option<HashMap<String, Layout>> {
    let layouts = metadata.get(STATE_DICTS)?.as_object()?;
    if layouts.is_empty() {
        return None;
    }
    layouts
        .iter()
        .map(|(chunk, layout)| Some((chunk.to_string(), Layout::of_json(layout)?)))
        .collect()
}

/// The names of the tensors of every chunk that was listed, in their order.
///
/// - `chunks`: the list; that of a version 1 file where there is none.
fn chunk_tensors(metadata: &Value, chunks: Option<&Value>) -> Option<Vec<(String, Vec<String>)>> {
    let layouts = read_layouts(metadata).unwrap_or_default();
    let of_version_1 = || metadata.get(PYFOLDS)?.get("chunks");
    let chunks = chunks.or_else(of_version_1).and_then(Value::as_array)?;
    let tensors = chunks.iter().filter_map(|chunk| {
        let name = chunk.get("name")?.as_str()?;
        let names = match layouts.get(name) {
            Some(layout) => layout.array_names(),
            None => {
                let names = chunk.get("tensors")?.as_array()?.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            }
        };
        Some((name.to_owned(), names))
    });
    Some(tensors.collect())
}

/// Parts in their first order, with their first types.
fn ordered(parts: Vec<Part>, kept: &Value) -> Result<Vec<Part>, Error> {
    let chunks = kept.get("chunks").and_then(Value::as_array).unwrap_or_default();
    let places = parts.iter().enumerate().map(|(at, part)| (part.name.clone(), at));
    let places: HashMap<String, usize> = places.collect();
    let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
    let mut ordered = Vec::new();
    for chunk in chunks {
        let name = chunk.get("name").and_then(Value::as_str);
        let place = name.and_then(|name| parts.get_mut(*places.get(name)?));
        let Some(mut part) = place.and_then(Option::take) else {
            continue;
        };
        part.ctype = chunk.get("ctype").and_then(Value::as_str).map(str::to_owned);
        if let Body::Tensors { tensors, others, .. } = &mut part.body {
            if let Some(kept) = chunk.get("others").and_then(Value::as_object) {
                *others = kept.to_vec();
            }
            // The container sorts by name; a state_dict has an order.
            if let Some(order) = chunk.get("tensors").and_then(Value::as_array) {
                let place: HashMap<&str, usize> = order.iter().filter_map(Value::as_str).zip(0..).collect();
                tensors.sort_by_cached_key(|tensor| place.get(&*tensor.name).copied().unwrap_or(usize::MAX));
            }
        }
        if part.ctype.as_deref() == Some("JSON")
            && let Body::Bytes(bytes) = &part.body
            && let Ok(text) = String::from_utf8(bytes.to_vec().map_err(super::unread)?)
        {
            part.body = Body::Text(text);
        }
        ordered.push(part);
    }
    ordered.extend(parts.into_iter().flatten());
    Ok(ordered)
}

/// A value that every reader of JSON takes.
fn strict(value: &Value) -> Value {
    match value {
        Value::Float(number) if !number.is_finite() => {
            Value::object([(NON_FINITE, Value::from(&*json::float_repr(*number)))])
        }
        Value::Array(items) => Value::Array(items.iter().map(strict).collect()),
        Value::Object(entries) => {
            let inner = Value::object(entries.iter().map(|(key, value)| (key.clone(), strict(value))));
            // What looks like a number that is not finite, and is an object, is packed once more.
            match entries.as_slice() {
                [(key, _)] if &**key == NON_FINITE => Value::object([(NON_FINITE, inner)]),
                _ => inner,
            }
        }
        other => other.clone(),
    }
}

/// What [`strict`] was given.
fn lenient(value: &Value) -> Value {
    let entries =
        |entries: &[(Box<str>, Value)]| Value::object(entries.iter().map(|(key, value)| (key.clone(), lenient(value))));
    match value {
        Value::Array(items) => Value::Array(items.iter().map(lenient).collect()),
        Value::Object(own) => match own.as_slice() {
            [(key, Value::String(text))] if &**key == NON_FINITE => match &**text {
                "NaN" => Value::Float(f64::NAN),
                "Infinity" => Value::Float(f64::INFINITY),
                "-Infinity" => Value::Float(f64::NEG_INFINITY),
                _ => value.clone(),
            },
            [(key, Value::Object(inner))] if &**key == NON_FINITE => entries(inner),
            own => entries(own),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strict_json_lacks_goes_round() {
        let text = r#"{"a":[NaN,1.5,-Infinity],"b":{"non_finite":"NaN"},"c":{"non_finite":{"non_finite":Infinity}},"d":{"non_finite":1,"e":2}}"#;
        let value = json::parse(text.as_bytes()).unwrap();
        let packed = strict(&value).print(Form::Stored);
        assert!(serde_json::from_str::<serde_json::Value>(&packed).is_ok(), "{packed}");
        let back = lenient(&json::parse(packed.as_bytes()).unwrap());
        assert_eq!(back.print(Form::Stored), text);
    }

    fn document(origin: &'static str, metadata: &str, layout: bool) -> Document {
        Document {
            format: "fold-v2",
            origin,
            metadata: Some(json::parse(metadata.as_bytes()).unwrap()),
            parts: vec![Part {
                name: TENSORS.to_owned(),
                ctype: None,
                body: Body::Tensors {
                    tensors: Vec::new(),
                    others: Vec::new(),
                    layout: layout.then(Layout::default),
                },
            }],
            unread_metadata: None,
            guards: Guards::default(),
        }
    }

    #[test]
    fn what_would_not_be_read_back_is_not_packed() {
        let deep = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(pack(&document("fold-v2", &deep(127), false)).is_ok());
        assert!(matches!(
            pack(&document("fold-v1", &deep(127), false)),
            Err(Error::Unheld { .. })
        ));
        assert!(matches!(
            texts(&document("fold-v2", &deep(127), false)),
            Err(Error::Unheld { .. })
        ));
        let own = r#"{"state_dicts":5}"#;
        assert_eq!(pack(&document("fold-v2", own, false)).unwrap(), own);
        assert!(matches!(
            pack(&document("fold-v2", own, true)),
            Err(Error::Unheld { .. })
        ));
        for own in [
            r#"{"pyfolds":{"chunks":[]}}"#,
            r#"{"safetensors":{"a":"b"}}"#,
            r#"{"safetensors":{}}"#,
            &format!(
                r#"{{"state_dicts":{{"a":{}}},"run":7}}"#,
                Layout::default().to_json().print(Form::Stored)
            ),
        ] {
            for packed in [
                pack(&document("fold-v2", own, false)).map(drop),
                texts(&document("fold-v2", own, false)).map(drop),
            ] {
                let error = packed.unwrap_err();
                assert!(
                    error
                        .to_string()
                        .contains("would be read back as what is kept under it here"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn metadata_of_others_are_not_taken_for_ours() {
        for own in [
            r#"{"pyfolds":"1.0.2","run":7}"#,
            r#"{"pyfolds":{"chunks":[]},"run":7}"#,
            r#"{"pyfolds":{"version":"1.0.2"}}"#,
            r#"{"safetensors":{"a":1}}"#,
            r#"{"state_dicts":{}}"#,
            r#"{"state_dicts":{},"run":7}"#,
        ] {
            let value = json::parse(own.as_bytes()).unwrap();
            let read = unpack("fold-v2", Some(value.clone()), Vec::new()).unwrap();
            assert_eq!((read.origin, read.metadata), ("fold-v2", Some(value)), "{own}");
        }
    }
}

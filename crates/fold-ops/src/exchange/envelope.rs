//! What a file had that its new format has no place for, kept in the metadata, from where it comes back.
//!
//! Under the key `pyfolds`: the metadata of a version 1 index, the chunks' types and order, what stood beside a state's
//! tensors. Under `state_dicts`: of which state dicts the arrays were gathered. Under `safetensors`: the texts of such a
//! file. Numbers that strict JSON lacks are written as `{"non_finite": "NaN"}`.

use std::collections::HashMap;

use fold_format::json::{self, Form, Value};

use super::document::{Body, Document, Part};
use super::neurons::{self, Layout};
use crate::error::Error;

/// What a version 1 file had.
const PYFOLDS: &str = "pyfolds";
/// Chunk -> how its state dict was.
const STATE_DICTS: &str = "state_dicts";
/// A number that is not finite.
const NON_FINITE: &str = "non_finite";

/// The text of a document's metadata with all that is to come back.
pub(super) fn pack(document: &Document) -> String {
    let own = document.metadata.clone().unwrap_or(Value::Object(Vec::new()));
    let mut packed = match document.origin {
        "fold-v2" => own,
        "fold-v1" => {
            let mut kept = own.as_object().unwrap_or_default().to_vec();
            kept.push(("chunks".into(), chunks(document)));
            Value::object([(PYFOLDS, strict(&Value::Object(kept)))])
        }
        // npz has none.
        _ if document.metadata.is_none() => own,
        origin => Value::object([(origin, own)]),
    };
    let layouts: Vec<_> = document
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Tensors {
                layout: Some(layout), ..
            } => Some((part.name.as_str(), layout.to_json())),
            _ => None,
        })
        .collect();
    if let Value::Object(entries) = &mut packed
        && !layouts.is_empty()
    {
        entries.push((STATE_DICTS.into(), Value::object(layouts)));
    }
    packed.print(Form::Stored)
}

/// The chunks of a version 1 file: name, type, the order of the tensors, what stands beside them.
fn chunks(document: &Document) -> Value {
    let chunks = document.parts.iter().map(|part| {
        let mut entry = vec![
            ("name", Value::from(&*part.name)),
            ("ctype", Value::from(part.ctype.as_deref().unwrap_or("BYTE"))),
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
    let Some(kept) = metadata
        .as_ref()
        .and_then(|metadata| metadata.get(PYFOLDS))
        .map(lenient)
    else {
        let of_safetensors = metadata
            .as_ref()
            .and_then(Value::as_object)
            .filter(|entries| entries.len() == 1)
            .and_then(|entries| entries.first())
            .filter(|(key, _)| &**key == "safetensors");
        if let Some((_, texts)) = of_safetensors {
            return Ok(Document {
                format,
                origin: "safetensors",
                metadata: Some(texts.clone()),
                parts,
            });
        }
        return Ok(Document {
            format,
            origin: "fold-v2",
            metadata,
            parts,
        });
    };
    // A file that came from version 1 is that file again.
    Ok(Document {
        format,
        origin: "fold-v1",
        parts: ordered(parts, &kept)?,
        metadata: Some(kept.without("chunks")),
    })
}

/// Chunk -> layout; none where one of them is something else, which is then metadata like any other.
fn read_layouts(metadata: &Value) -> Option<HashMap<String, Layout>> {
    let layouts = metadata.get(STATE_DICTS)?.as_object()?;
    layouts
        .iter()
        .map(|(chunk, layout)| Some((chunk.to_string(), Layout::of_json(layout)?)))
        .collect()
}

/// The names of the tensors of every chunk that a version 1 file had, in their order.
pub(super) fn chunk_tensors(metadata: &Value) -> Vec<(String, Vec<String>)> {
    let layouts = read_layouts(metadata).unwrap_or_default();
    let chunks = metadata.get(PYFOLDS).and_then(|kept| kept.get("chunks"));
    let chunks = chunks.and_then(Value::as_array).unwrap_or_default();
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
    tensors.collect()
}

/// Parts in their first order, with their first types.
fn ordered(mut parts: Vec<Part>, kept: &Value) -> Result<Vec<Part>, Error> {
    let chunks = kept.get("chunks").and_then(Value::as_array).unwrap_or_default();
    let mut ordered = Vec::new();
    for chunk in chunks {
        let name = chunk.get("name").and_then(Value::as_str);
        let Some(at) = parts.iter().position(|part| Some(part.name.as_str()) == name) else {
            continue;
        };
        let mut part = parts.swap_remove(at);
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
    ordered.extend(parts);
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
}

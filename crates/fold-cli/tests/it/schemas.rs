//! Every JSON object that a command prints is what its schema in docs/schemas says.

use std::path::Path;

use serde_json::Value;

use super::{code, fold, json, train};

/// Reads a schema and closes it: what is not described is an error here, though a reader must ignore it.
fn schema(name: &str) -> Result<Value, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schemas/{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("docs/schemas/{name}.json: {error}"))?;
    let mut schema = serde_json::from_str(&text).map_err(|error| format!("docs/schemas/{name}.json: {error}"))?;
    close(&mut schema);
    Ok(schema)
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.get("properties").is_some_and(Value::is_object) && object.contains_key("type") {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What is wrong with an object that a command printed.
pub(crate) fn complaints(object: &Value) -> Vec<String> {
    let name = object["schema"].as_str().and_then(|name| name.strip_prefix("fold."));
    let Some(name) = name.and_then(|name| name.strip_suffix("/1")) else {
        return vec![format!("no key `schema` of the form fold.NAME/1 in {object}")];
    };
    match schema(name) {
        Ok(schema) => {
            let validator = jsonschema::validator_for(&schema).unwrap();
            let found = validator.iter_errors(object);
            found
                .map(|error| format!("fold.{name}/1, at {}: {error}", error.instance_path()))
                .collect()
        }
        Err(error) => vec![error],
    }
}

#[test]
fn a_planted_fault_is_found() {
    let good = serde_json::json!({"schema": "fold.error/1", "exit_code": 74, "code": "FOLD-E0406", "message": "no"});
    assert_eq!(complaints(&good), Vec::<String>::new());
    for (key, value) in [
        ("exit_code", Value::from(99)),
        ("code", Value::from("E0406")),
        ("extra", Value::from(1)),
        ("schema", Value::from("fold.nothing/1")),
        ("schema", Value::from("fold.error/2")),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(complaints(&bad).len(), 1, "{bad}");
    }
    let mut bad = good;
    bad.as_object_mut().unwrap().remove("message");
    assert_eq!(complaints(&bad).len(), 1);
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let run = out.to_str().unwrap();
    let output = train(&out, "2").arg("--json").output().unwrap();
    assert_eq!(code(&output), 0);
    json(&output);
    let newest = out.join("step-00000002.fold");
    let newest = newest.to_str().unwrap();
    let absent = dir.path().join("absent");
    let absent = absent.to_str().unwrap();
    // `json` validates.
    for (arguments, exit) in [
        (&["verify", run][..], 0),
        (&["verify", absent], 10),
        (&["verify", run, "--level", "quick"], 0),
        (&["inspect", run, "--stats"], 0),
        (&["inspect", absent], 10),
        (&["eval", newest, "--data", "digits"], 0),
        (&["eval", absent, "--data", "digits"], 10),
        (&["explain", "E0301"], 0),
        (&["explain", "--list"], 0),
        (&["explain", "E9999"], 2),
        (&["scrub", run], 0),
        (&["scrub", absent], 10),
        (&["prune", run, "--keep-last", "1"], 0),
        (&["prune", absent, "--keep-last", "1"], 10),
        (&["doctor", run], 0),
        (&["doctor", absent], 1),
        (&["train", "--data", "digits", "--out", run], 21),
    ] {
        let output = fold(arguments).arg("--json").output().unwrap();
        assert_eq!(code(&output), exit, "{arguments:?}");
        let object = json(&output);
        if object.get("exit_code").is_some() {
            assert_eq!(object["exit_code"], exit, "{arguments:?}");
        }
    }
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-advanced/testdata/pyfolds-1.0.2");
    let mut simulate = fold(&["simulate", "--json", "--config"]);
    simulate
        .arg(case.join("n17_consolidation_ties.json"))
        .arg("--input")
        .arg(case.join("n17_consolidation_ties.npz"));
    let simulated = simulate
        .arg("--output")
        .arg(dir.path().join("trace.npz"))
        .output()
        .unwrap();
    assert_eq!(code(&simulated), 0, "{}", super::stderr(&simulated));
    json(&simulated);
    let damaged = out.join("step-00000001.fold");
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes[100] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    for command in ["verify", "scrub", "inspect"] {
        let object = json(&fold(&[command, run, "--json"]).output().unwrap());
        assert!(object.to_string().contains("FOLD-E0"), "{command}: {object}");
    }
    let object = json(
        &fold(&["prune", run, "--keep-last", "1", "--apply", "--json"])
            .output()
            .unwrap(),
    );
    assert_eq!(
        (object["applied"].as_bool(), object["removed"].as_array().map(Vec::len)),
        (Some(true), Some(1))
    );
}

//! Any layers of random parts give what a naive merge gives.

use std::collections::BTreeMap;

use mullama_config::{Loader, Origin};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Files;

/// What one layer says.
type Part = BTreeMap<&'static str, Value>;

fn part() -> impl Strategy<Value = Part> {
    let numbers = prop::sample::select(vec![
        "server.port",
        "server.threads",
        "server.limits.max_choices",
        "server.http.max_headers",
        "engine.queue",
        "engine.sequences",
        "engine.speculation.tokens",
        "sampling.top_k",
        "generation.keep",
        "generation.max_tokens",
    ]);
    let number = (numbers, 1_u32..=16).prop_map(|(path, number)| (path, json!(number)));
    let names = prop::collection::vec("[a-z]{1,3}", 0..3);
    let list = (prop::sample::select(vec!["generation.stop", "server.auth.allowed_hosts"]), names)
        .prop_map(|(path, names)| (path, json!(names)));
    let flag = (prop::sample::select(vec!["model.mlock", "performance.slots"]), any::<bool>())
        .prop_map(|(path, flag)| (path, json!(flag)));
    let models =
        prop::collection::vec((0_u32..5).prop_map(|layers| json!({ "path": "/dev/null", "gpu_layers": layers })), 0..2)
            .prop_map(|models| ("models", json!(models)));
    let one = prop_oneof![6 => number, 2 => list, 2 => flag, 1 => models];
    prop::collection::vec(one, 0..8).prop_map(|parts| parts.into_iter().collect())
}

fn nested(part: &Part) -> Value {
    let mut tree = json!({});
    for (path, value) in part {
        let mut place = &mut tree;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value.clone();
    }
    tree
}

fn toml(part: &Part) -> String {
    let value = |value: &Value| match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let one = |item: &Value| format!("{{ path = {}, gpu_layers = {} }}", item["path"], item["gpu_layers"]);
            format!("[{}]", items.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    };
    part.iter().map(|(path, given)| format!("{path} = {}\n", value(given))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_are_merged_as_a_naive_merge_does(parts in prop::collection::vec(part(), 5..=5)) {
        let files = Files::new();
        let variables = toml(&parts[3]).lines().map(|line| {
            let (path, value) = line.split_once(" = ").unwrap();
            (format!("MULLAMA_{}", path.replace('.', "__").to_uppercase()), value.to_owned())
        }).collect::<Vec<_>>();
        let mut loader = Loader::new()
            .system_file(files.write("s.toml", &toml(&parts[0])))
            .user_file(files.write("u.json", &nested(&parts[1]).to_string()))
            .file(files.write("f.toml", &toml(&parts[2])))
            .environment(variables);
        for (path, value) in &parts[4] {
            loader = loader.flag(path, value, "--flag");
        }
        let loaded = loader.load();
        let loaded = loaded.map_err(|error| TestCaseError::fail(error.to_string()))?;

        let mut naive = Part::new();
        let mut last = BTreeMap::new();
        for (at, part) in parts.iter().enumerate() {
            for (path, value) in part {
                naive.insert(path, value.clone());
                last.insert(*path, at);
            }
        }
        let entries: BTreeMap<_, _> = loaded.entries().into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        for (path, value) in &naive {
            let origin = if *path == "models" {
                let models = serde_json::to_value(&loaded.config().models).unwrap();
                let short: Vec<Value> = models.as_array().unwrap().iter()
                    .map(|model| json!({ "path": model["path"], "gpu_layers": model["gpu_layers"] })).collect();
                prop_assert_eq!(&json!(short), value);
                loaded.origin(path)
            } else {
                let entry = &entries[*path];
                let shown: Value = serde_json::from_str(entry.value.as_deref().unwrap()).unwrap();
                prop_assert_eq!(&shown, value, "{}", path);
                entry.origin.clone()
            };
            let layer = match &origin {
                Origin::File { path, .. } => match path.file_name().unwrap().to_str().unwrap() {
                    "s.toml" => 0,
                    "u.json" => 1,
                    _ => 2,
                },
                Origin::Environment { .. } => 3,
                _ => 4,
            };
            prop_assert_eq!(layer, last[*path], "{} comes from {}", path, origin);
        }
        for (path, entry) in &entries {
            let said = naive.contains_key(path.as_str()) || path.starts_with("models[");
            prop_assert!(said || entry.origin == Origin::Default, "{}: {}", path, entry.origin);
        }
    }
}

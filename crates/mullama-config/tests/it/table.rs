//! Every field: its default, and what a file, a variable and a flag make of it; and what is said of a value that it cannot
//! have.

use std::fmt::Write as _;

use mullama_config::{Apply, FieldInfo, Loader, MullamaConfig, fields, schema, template};
use serde_json::{Value, json};

use crate::Files;

/// The fields with their schemas, but for those in lists of tables.
fn all() -> Vec<(FieldInfo, Value)> {
    let schema = schema();
    let of = |path: &str| path.split('.').fold(schema.clone(), |schema, name| schema["properties"][name].clone());
    fields()
        .into_iter()
        .filter(|field| field.variable.is_some())
        .map(|field| (field.clone(), of(&field.path)))
        .collect()
}

/// A value that is not the default, as TOML writes it.
fn sample(path: &str, schema: &Value) -> String {
    match path {
        "server.host" => "\"::1\"".to_owned(),
        "model.path"
        | "model.chat_template_file"
        | "server.auth.api_key_file"
        | "server.auth.admin_key_file"
        | "server.tls.certificate"
        | "server.tls.key" => "\"/dev/null\"".to_owned(),
        "models" => "[{ path = \"/dev/null\" }]".to_owned(),
        "model.kv_overrides" => "[{ key = \"a\", value = { int = 1 } }]".to_owned(),
        "model.lora" => "[{ path = \"/dev/null\", scale = 0.5 }]".to_owned(),
        "sampling.logit_bias" => "[{ bias = 1.0, token = 3 }]".to_owned(),
        "conversion.audio.loudness" => "-23.5".to_owned(),
        "conversion.image.background" => "[1, 2, 3]".to_owned(),
        "server.cors.origins" => "[\"https://example.org\"]".to_owned(),
        _ => plain(schema),
    }
}

fn plain(schema: &Value) -> String {
    let other = |values: Vec<Value>| values.into_iter().find(|value| *value != schema["default"]).unwrap();
    if let Some(names) = schema["enum"].as_array() {
        return other(names.clone()).to_string();
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => other(vec![json!(true), json!(false)]).to_string(),
        "integer" => {
            let low = schema["minimum"].as_i64().unwrap();
            other(vec![json!(low), json!(low + 1)]).to_string()
        }
        "number" => other(vec![json!(0.25), json!(0.5)]).to_string(),
        "string" => "\"x\"".to_owned(),
        "array" => format!("[{}]", plain(&schema["items"])),
        other => panic!("{other}"),
    }
}

/// What else must be said for the sample to be allowed.
fn beside(path: &str) -> &'static str {
    match path {
        "engine.kv_capacity" => "engine.kv_layout = 'unified'",
        "server.tls.certificate" => "server.tls.key = '/dev/null'",
        "server.tls.key" => "server.tls.certificate = '/dev/null'",
        _ => "",
    }
}

#[test]
fn every_field_has_its_default_and_is_set_by_file_variable_and_flag() {
    let files = Files::new();
    for (field, schema) in all() {
        let path = &field.path;
        let value = sample(path, &schema);
        let base = || Loader::new().system_file(files.write("beside.toml", beside(path)));
        let check = |loader: Loader, how: &str| {
            let loaded = loader.load().unwrap_or_else(|error| panic!("{path} by {how}: {error}"));
            if path == "models" {
                assert_eq!(loaded.config().models[0].path, "/dev/null");
                return;
            }
            let entry = loaded.entries().into_iter().find(|entry| entry.path == *path).unwrap();
            let expected = if field.secret { "[\"***\"]" } else { &value };
            assert_eq!(entry.value.as_deref(), Some(expected), "{path} by {how}");
            assert!(entry.origin.is_given(), "{path} by {how}");
        };
        let file = files.write("a.toml", &format!("{path} = {value}\n"));
        check(base().file(&file), "TOML");
        let json: Value = toml_to_json(&value);
        let nested = path.rsplit('.').fold(json.clone(), |inner, name| json!({ name: inner }));
        check(base().file(files.write("a.json", &nested.to_string())), "JSON");
        let text = json.as_str().map_or(value.clone(), str::to_owned);
        check(base().environment([(field.variable.clone().unwrap(), text)]), "variable");
        check(base().flag(path, json, "--flag"), "flag");

        let default = Loader::new().load().unwrap();
        let entry = default.entries().into_iter().find(|entry| entry.path == *path);
        if let Some(entry) = entry {
            assert!(!entry.origin.is_given());
            assert_ne!(entry.value.as_deref(), Some(value.as_str()), "{path}: the sample is the default");
            let shown = entry.value.map(|value| toml_to_json(&value));
            assert_eq!(shown.as_ref(), schema.get("default").filter(|value| !value.is_null()), "{path}");
        }
    }
}

/// The few forms of the samples.
fn toml_to_json(text: &str) -> Value {
    let mut json = text.replace("{ ", "{\"").replace(" = ", "\": ").replace(", value\"", ", \"value\"");
    for name in ["scale", "token"] {
        json = json.replace(&format!(", {name}\""), &format!(", \"{name}\""));
    }
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{text}: {json}: {error}"))
}

/// All messages together are compared with `messages.txt`; with the variable `BLESS` they are written there.
#[test]
fn what_is_said_of_wrong_values_is_known() {
    let mut told = String::new();
    for (field, schema) in all() {
        let wrong = match schema["type"].as_str() {
            Some("integer" | "number") => vec![json!("x"), json!(-99_999_999_999_i64), json!(1e15)],
            Some("boolean") => vec![json!(1)],
            Some("array") => vec![json!("x"), json!([{ "no": 1 }])],
            _ => vec![json!(5), json!([])],
        };
        for value in wrong {
            let error = Loader::new().flag(&field.path, &value, &field.path).load().unwrap_err();
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                writeln!(told, "{problem}").unwrap();
            }
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/messages.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    for (at, (told, known)) in told.lines().zip(known.lines()).enumerate() {
        assert_eq!(told, known, "line {} of messages.txt", at + 1);
    }
    assert_eq!(told.lines().count(), known.lines().count());
}

#[test]
fn the_table_has_every_field_of_the_structs_and_no_other() {
    fn walk(table: &str, value: &Value, paths: &mut Vec<String>) {
        for (name, value) in value.as_object().unwrap() {
            let path = if table.is_empty() { name.clone() } else { format!("{table}.{name}") };
            match value {
                Value::Object(_) => walk(&path, value, paths),
                _ => paths.push(path),
            }
        }
    }
    let mut structs = Vec::new();
    walk("", &serde_json::to_value(MullamaConfig::default()).unwrap(), &mut structs);
    // Each request, or conversion, has its own.
    structs.retain(|path| !["sampling.grammar", "conversion.image.resize"].contains(&path.as_str()));
    structs.sort();
    let mut table: Vec<_> = all().into_iter().map(|(field, _)| field.path).collect();
    table.sort();
    assert_eq!(table, structs);
    for field in fields() {
        assert!(field.doc.len() > 10 && field.doc.ends_with('.'), "{}: {}", field.path, field.doc);
    }
}

#[test]
fn when_changes_take_effect_is_known_of_each_field() {
    let apply = |path: &str| fields().into_iter().find(|field| field.path == path).unwrap().apply;
    assert_eq!(apply("server.auth.api_keys"), Apply::Live);
    assert_eq!(apply("logging.level"), Apply::Live);
    assert_eq!(apply("sampling.temperature"), Apply::NextRequest);
    assert_eq!(apply("model.path"), Apply::ReloadModel);
    assert_eq!(apply("models[].lora[].scale"), Apply::ReloadModel);
    assert_eq!(apply("server.port"), Apply::Restart);
}

#[test]
fn the_schema_is_that_of_the_template_and_of_the_documents() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let files = Files::new();
    let check = |text: &str| {
        let table: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let json = serde_json::to_value(table).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(errors, [""; 0], "{text}");
    };
    let template = template();
    check(&template);
    Loader::new().file(files.write("a.toml", &template)).load().unwrap();
    // With every comment that is a value made one.
    let values: String =
        template.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
    assert!(values.contains("\nport = 8080\n") && values.contains("\n[[models]]\n"));
    check(&values);
    // A TOML document for each block of that kind.
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    let blocks: Vec<&str> = document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    blocks.into_iter().for_each(check);
    for wrong in [json!({ "port": 1 }), json!({ "server": { "port": 70_000 } }), json!({ "logging": { "level": "x" } })]
    {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

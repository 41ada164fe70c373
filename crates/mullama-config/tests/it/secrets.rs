//! Keys are in no output.

use mullama_config::{AuthConfig, Loader, MullamaConfig, Secret, ServeConfig};

use crate::Files;

const CANARY: &str = "sk-canary-7f3a";

#[test]
fn a_key_is_printed_nowhere() {
    let files = Files::new();
    let file = files.write("a.toml", &format!("[server.auth]\napi_keys = ['{CANARY}', '{CANARY}2']\n"));
    let loader = Loader::new().file(file).flag("server.port", 1, "--port");
    let loaded = loader.load().unwrap();
    assert_eq!(loaded.config().server.auth.api_keys[1].expose(), format!("{CANARY}2"));
    let shown = format!(
        "{loaded:?} {:?} {} {:?} {:?}",
        loaded.config(),
        serde_json::to_string(loaded.config()).unwrap(),
        loaded.entries(),
        loaded.config().web_config(),
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("***"));
}

#[test]
fn a_key_is_in_no_message() {
    let files = Files::new();
    for text in [
        format!("[server.auth]\napi_keys = '{CANARY}'"),
        format!("[server.auth]\napi_keys = ['{CANARY}', 5]"),
        format!("[server.auth]\napi_kyes = ['{CANARY}']"),
        format!("[server.auth]\napi_keys = ['{CANARY}', ' ']"),
        format!("[server.auth]\napi_keys = ['{CANARY}'\nhost = 5"),
        format!("[server]\nauth = '{CANARY}'\nport = -1"),
        format!("server = ['{CANARY}']"),
    ] {
        let loader = Loader::new().file(files.write("a.toml", &text));
        let error = loader.load().unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.problems());
        assert!(!shown.contains("canary"), "{text}: {shown}");
    }
    let variables =
        [("MULLAMA_SERVER__AUTH__API_KEYS", format!("['{CANARY}'")), ("MULLAMA_API_KEY", CANARY.to_owned())];
    let loader = Loader::new().environment(variables).flag("server.auth.api_keys", 5, "--api-key");
    let shown = format!("{:?}", loader.load().unwrap_err());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn numbers_that_are_keys_stay_texts() {
    let files = Files::new();
    let loaded = Loader::new().file(files.write("a.toml", "[server.auth]\napi_keys = ['0', '1']")).load().unwrap();
    let keys: Vec<_> = loaded.config().server.auth.api_keys.iter().map(Secret::expose).collect();
    assert_eq!(keys, ["0", "1"]);
    let loaded = Loader::new().environment([("MULLAMA_API_KEY", "12345")]).load().unwrap();
    assert_eq!(loaded.config().server.auth.api_keys[0].expose(), "12345");
}

#[test]
fn a_key_of_the_program_is_none_of_the_output_either() {
    let auth = AuthConfig::new().api_keys(vec![Secret::from(CANARY)]);
    let config = MullamaConfig::new().server(ServeConfig::new().auth(auth)).build().unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    assert_eq!(config.web_config().api_keys, [CANARY]);
}

#[test]
#[cfg(unix)]
fn files_that_others_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    let keys = files.write("keys", "one\n");
    let plain = files.write("plain.toml", &format!("[server.auth]\napi_key_file = '{}'\n", keys.display()));
    let secret = files.write("secret.toml", "[server.auth]\napi_keys = ['x']\n");
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let warnings = |file: &std::path::Path| {
        let loaded = Loader::new().file(file).load().unwrap();
        loaded.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for path in [&keys, &plain, &secret] {
        mode(path, 0o644);
    }
    let told = warnings(&plain);
    assert!(told.len() == 1 && told[0].contains("keys` holds secrets, but has the permissions 644"), "{told:?}");
    assert_eq!(warnings(&secret).len(), 1);
    for allowed in [0o640, 0o600, 0o400] {
        mode(&keys, allowed);
        mode(&secret, allowed);
        assert_eq!(warnings(&plain).len() + warnings(&secret).len(), 0, "{allowed:o}");
    }
    mode(&secret, 0o620);
    assert_eq!(warnings(&secret).len(), 1);
}

//! Files that change while the program runs: only what is whole and right takes the place of what was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mullama_config::{Apply, ConfigWatcher, Loader};

use crate::Files;

fn text(port: u32) -> String {
    format!("[engine]\nqueue = {port}\n")
}

fn start(file: &Path) -> ConfigWatcher {
    ConfigWatcher::start(Loader::new().file(file)).unwrap()
}

fn queue(watcher: &ConfigWatcher) -> u32 {
    watcher.current().config().engine.queue
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_that_is_written_again_is_read_again() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let watcher = start(&file);
    let subscribed = watcher.subscribe();
    assert_eq!(queue(&watcher), 1);
    files.write("a.toml", &text(2));
    until("written", || queue(&watcher) == 2);
    assert!(subscribed.has_changed().unwrap());
    let stats = watcher.stats();
    assert_eq!((stats.reloads, stats.failures), (1, 0));
}

#[test]
fn a_broken_file_changes_nothing_and_is_counted_once() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let watcher = start(&file);
    for (at, broken) in ["[engine\n", "[engine]\nqueue = 0\n", "[engin]\nqueue = 3\n"].into_iter().enumerate() {
        files.write("a.toml", broken);
        until(broken, || watcher.stats().failures > at as u64);
        assert_eq!(queue(&watcher), 1);
    }
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(watcher.stats().failures, 3);
    let error = watcher.reload().unwrap_err();
    assert!(error.to_string().contains("did you mean") || error.problems()[0].hint.is_some(), "{error}");
    files.write("a.toml", &text(4));
    until("mended", || queue(&watcher) == 4);
}

#[test]
fn a_file_that_is_gone_or_empty_changes_nothing() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let user = files.write("user.toml", "[engine]\nsequences = 2\n");
    let watcher = ConfigWatcher::start(Loader::new().user_file(&user).file(&file)).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("gone", || watcher.stats().failures == 1);
    files.write("a.toml", &text(2));
    until("back", || queue(&watcher) == 2);
    files.write("user.toml", "");
    until("empty", || watcher.stats().failures == 2);
    assert_eq!(watcher.current().config().engine.sequences, 2);
    // Another file that changes brings the empty one no nearer.
    files.write("a.toml", &text(3));
    until("still empty", || watcher.stats().failures == 3);
    assert_eq!((queue(&watcher), watcher.current().config().engine.sequences), (2, 2));
    // Told to, it is what it is.
    assert!(watcher.reload().unwrap());
    assert_eq!((queue(&watcher), watcher.current().config().engine.sequences), (3, 4));
}

#[test]
fn a_file_that_is_written_in_two_halves_is_read_once() {
    use std::io::Write as _;
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let watcher = start(&file);
    let mut half = std::fs::File::create(&file).unwrap();
    half.write_all(b"[engine]\nque").unwrap();
    half.sync_all().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    half.write_all(b"ue = 5\n").unwrap();
    drop(half);
    until("whole", || queue(&watcher) == 5);
    assert_eq!(watcher.stats().failures, 0);
}

#[test]
fn an_editor_may_rename() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let watcher = start(&file);
    for port in 2..5 {
        std::fs::rename(files.write("a.toml.new", &text(port)), &file).unwrap();
        until("renamed", || queue(&watcher) == port);
    }
    // As vim does with a backup: away, then anew.
    std::fs::rename(&file, files.path("a.toml~")).unwrap();
    files.write("a.toml", &text(9));
    until("anew", || queue(&watcher) == 9);
    assert_eq!(watcher.stats().failures, 0);
}

#[test]
#[cfg(unix)]
fn links_may_be_pointed_elsewhere() {
    use std::os::unix::fs::symlink;
    let files = Files::new();
    // As Kubernetes mounts a ConfigMap.
    for (folder, port) in [("..one", 1), ("..two", 2)] {
        std::fs::create_dir(files.path(folder)).unwrap();
        files.write(&format!("{folder}/a.toml"), &text(port));
    }
    symlink("..one", files.path("..data")).unwrap();
    symlink("..data/a.toml", files.path("a.toml")).unwrap();
    let watcher = start(&files.path("a.toml"));
    assert_eq!(queue(&watcher), 1);
    symlink("..two", files.path("..new")).unwrap();
    std::fs::rename(files.path("..new"), files.path("..data")).unwrap();
    until("swapped", || queue(&watcher) == 2);
    // And what it points to may be written.
    files.write("..two/a.toml", &text(3));
    until("written", || queue(&watcher) == 3);
}

#[test]
fn a_dry_run_may_refuse() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1));
    let allowed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&allowed);
    let dry_run = move |old: &mullama_config::Loaded, new: &mullama_config::Loaded| {
        assert_ne!(old.config(), new.config());
        if asked.load(Ordering::Relaxed) { Ok(()) } else { Err(Vec::new()) }
    };
    let watcher = ConfigWatcher::with_dry_run(Loader::new().file(&file), dry_run).unwrap();
    files.write("a.toml", &text(2));
    until("refused", || watcher.stats().failures == 1);
    assert_eq!(queue(&watcher), 1);
    allowed.store(true, Ordering::Relaxed);
    assert!(watcher.reload().unwrap());
    assert_eq!(queue(&watcher), 2);
}

#[test]
fn what_waits_for_a_restart_is_known() {
    let files = Files::new();
    let file = files.write("a.toml", "[server]\nport = 1\nauth.api_keys = ['a']\n[sampling]\ntop_k = 3\n");
    let watcher = start(&file);
    let before = watcher.current();
    files.write("a.toml", "[server]\nport = 2\nauth.api_keys = ['b']\n[[models]]\npath = '/dev/null'\n");
    assert!(watcher.reload().unwrap());
    assert!(!watcher.reload().unwrap());
    let changes = before.changes(&watcher.current());
    let of = |path: &str| changes.iter().find(|change| change.path == path).unwrap_or_else(|| panic!("{changes:#?}"));
    let port = of("server.port");
    assert_eq!((port.from.as_deref(), port.to.as_deref(), port.apply), (Some("1"), Some("2"), Apply::Restart));
    let keys = of("server.auth.api_keys");
    assert_eq!(
        (keys.from.as_deref(), keys.to.as_deref(), keys.apply),
        (Some("[\"***\"]"), Some("[\"***\"]"), Apply::Live)
    );
    assert_eq!(of("sampling.top_k").to.as_deref(), Some("40"));
    assert_eq!(of("models[0].path").from, None);
    let pending: Vec<_> = watcher.pending().into_iter().map(|change| change.path).collect();
    assert!(
        pending.contains(&"server.port".to_owned()) && !pending.contains(&"sampling.top_k".to_owned()),
        "{pending:?}"
    );
}

/// The watch looks meanwhile, too, so that the counts are not exact; those are in the crate's own tests.
#[test]
fn of_two_hundred_changes_half_of_them_broken_the_last_good_one_is_in_force() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1_000));
    let watcher = start(&file);
    for at in 1..=100 {
        files.write("a.toml", &text(at));
        watcher.reload().unwrap();
        assert_eq!(queue(&watcher), at);
        files.write("a.toml", "broken");
        watcher.reload().unwrap_err();
        assert_eq!(queue(&watcher), at);
    }
    let stats = watcher.stats();
    assert!(stats.reloads >= 100 && stats.failures >= 100, "{stats:?}");
}

#[test]
fn of_a_hundred_changes_in_a_second_the_last_one_counts() {
    let files = Files::new();
    let file = files.write("a.toml", &text(1_000));
    let watcher = start(&file);
    for at in 1..=100 {
        std::fs::rename(files.write("a.toml.new", &text(at)), &file).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    until("the last one", || queue(&watcher) == 100);
    assert_eq!(watcher.stats().failures, 0);
}

#[test]
fn values_that_are_live_change_over_http_until_the_program_ends() {
    use mullama_web::Configuration as _;
    use serde_json::json;
    let files = Files::new();
    let file = files.write("a.toml", "[sampling]\ntop_k = 3\n");
    let loader = Loader::new().file(&file).flag("server.limits.max_choices", 2, "--flag");
    let watcher = ConfigWatcher::start(loader).unwrap();
    let patch = json!({ "sampling": { "top_k": 9 }, "server": { "limits": { "max_choices": 5 }, "auth": { "api_keys": ["sk-canary"] } } });
    let changes = watcher.change(patch).unwrap();
    assert_eq!(changes.as_array().unwrap().len(), 3, "{changes}");
    let now = |watcher: &ConfigWatcher| {
        let current = watcher.current();
        (current.config().sampling.top_k, current.config().server.limits.max_choices)
    };
    assert_eq!(now(&watcher), (9, 5));
    assert_eq!(watcher.current().origin("sampling.top_k"), mullama_config::Origin::Runtime);
    let shown = format!("{changes} {} {watcher:?} {:?}", watcher.show(), watcher.current());
    assert!(!shown.contains("canary"), "{shown}");
    // Files that change do not undo it; null does.
    files.write("a.toml", "[sampling]\ntop_k = 4\nmin_keep = 1\n");
    assert!(watcher.reload().unwrap());
    assert_eq!((now(&watcher), watcher.current().config().sampling.min_keep), ((9, 5), 1));
    watcher.change(json!({ "sampling": { "top_k": null } })).unwrap();
    assert_eq!(now(&watcher), (4, 5));
    // All or nothing.
    let refused = |patch: serde_json::Value| watcher.change(patch).unwrap_err();
    assert_eq!(
        refused(json!({ "server": { "port": 1 }, "sampling": { "top_k": 1 } })),
        ["server.port: it stays 8080 while the program runs: it takes effect only with a restart"]
    );
    // What is the same now hides what the files come to say.
    assert_eq!(refused(json!({ "server": { "port": 8080 } })).len(), 1);
    assert_eq!(
        refused(json!({ "model": { "path": "/dev/null" } })),
        ["model.path: it stays \"\" while the program runs: models change with the files"]
    );
    assert_eq!(
        refused(json!({ "sampling": { "top_kk": 1 } })),
        ["there is no field `sampling.top_kk` (did you mean `sampling.top_k`?)"]
    );
    assert_eq!(refused(json!({ "sampling": { "top_p": 2 }, "logging": { "level": "x" } })).len(), 2);
    assert_eq!(refused(json!(5)), ["the whole: the patch must be an object"]);
    assert_eq!(now(&watcher), (4, 5));
    // The same value from elsewhere.
    assert_eq!(watcher.change(json!({ "sampling": { "top_k": 4 } })).unwrap(), json!([]));
    assert_eq!(watcher.current().origin("sampling.top_k"), mullama_config::Origin::Runtime);
}

#[test]
fn a_change_over_http_does_not_read_the_files() {
    use mullama_web::Configuration as _;
    use serde_json::json;
    let files = Files::new();
    let model = files.write("m.gguf", "");
    let text = "[server.auth]\napi_keys = ['a']\n[sampling]\ntop_k = 3\n[model]\n";
    let file = files.write("a.toml", &format!("{text}path = '{}'\n", model.display()));
    let watcher = start(&file);
    std::fs::remove_file(&model).unwrap();
    for broken in ["", "[serv"] {
        files.write("a.toml", broken);
        watcher.change(json!({ "sampling": { "top_p": 0.5 } })).unwrap();
        let current = watcher.current();
        let keys = current.config().server.auth.api_keys.len();
        assert_eq!((keys, current.config().sampling.top_k, current.config().sampling.top_p), (1, 3, 0.5));
    }
    // Files that it names itself are looked at.
    let gone = json!({ "server": { "auth": { "api_key_file": "/no/such" } } });
    assert!(watcher.change(gone).unwrap_err()[0].contains("cannot read `/no/such`"));
    std::fs::remove_file(&file).unwrap();
    watcher.change(json!({ "sampling": { "top_p": null } })).unwrap();
    assert_eq!(watcher.current().config().server.auth.api_keys.len(), 1);
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_refused_without_being_waited_for() {
    let files = Files::new();
    let pipe = files.path("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let large = files.write("large.toml", &format!("#{}\n", "x".repeat(1 << 20)));
    let keys = files.write("keys.toml", &format!("server.auth.api_key_file = '{}'\n", pipe.display()));
    let model = files.write("model.toml", &format!("model.path = '{}'\n", pipe.display()));
    let folder = files.path("");
    for (file, reason) in [
        (&pipe, "it is a pipe"),
        (&folder, "it is a folder"),
        (&large, "more than 1048576 bytes"),
        (&"/dev/zero".into(), "it is a device"),
        (&keys, "it is a pipe"),
        (&model, "it is a pipe"),
    ] {
        let error = Loader::new().file(file).load().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    Loader::new().file("/dev/null").load().unwrap();
    // A key is no setting: as many lines as a megabyte has are read in time.
    let many = files.write("many.toml", &"a=1\n".repeat((1 << 20) / 4));
    Loader::new().file(many).load().unwrap_err();
    let list = files.write("list.toml", &format!("[server.cors]\norigins = [\n{}]\n", "'*',\n".repeat(200_000)));
    Loader::new().file(list).load().unwrap();
}

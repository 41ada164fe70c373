//! `clients`: other people's client libraries, at pinned versions, against the running server.

mod cases;
mod install;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use xshell::Shell;

use self::cases::Count;
use crate::server::Server;
use crate::setup::{self, Mode, Purpose};
use crate::workspace;

/// Takes names of clients; none means all.
pub(crate) fn run(sh: &Shell, names: &[&str]) -> Result<()> {
    for name in names {
        let known = CLIENTS.map(|client| client.name).join(", ");
        ensure!(CLIENTS.iter().any(|client| client.name == *name), "`{name}` is not a client; there are {known}");
    }
    setup::run(sh, Purpose::Test, Mode::Install)?;
    let program = workspace::build_program(sh)?;
    let places = install::run(sh)?;

    let serve = |name: &str, flags: &[&OsStr]| {
        let mut command = Command::new(&program);
        command.arg("serve").args(flags);
        Server::start(command, &places.log(name), START_PATIENCE)
    };
    let chat = serve("chat", &["--api-key".as_ref(), KEY.as_ref()])?;
    let model = workspace::root().join(EMBED_MODEL);
    let embedder =
        model.is_file().then(|| serve("embed", &[model.as_os_str(), "--embeddings".as_ref()])).transpose()?;
    let mut variables = vec![("MULLAMA_CHAT_URL", chat.url()), ("MULLAMA_CHAT_KEY", KEY.to_owned())];
    if let Some(server) = &embedder {
        variables.push(("MULLAMA_EMBED_URL", server.url()));
        variables.push(("MULLAMA_EMBED_MODEL", stem(&model)));
    }

    let mut count = Count::default();
    for client in CLIENTS.iter().filter(|client| names.is_empty() || names.contains(&client.name)) {
        println!("\n== {}", client.name);
        count.add(&cases::run(&places, client, &variables)?);
    }
    println!();
    count.failures.iter().for_each(|line| println!("{line}"));
    if embedder.is_none() {
        println!("note: ../shared with the model for embeddings is not here: the cases that need it did not run");
    }
    for (server, name) in [(Some(chat), "chat"), (embedder, "embed")] {
        if let Some(server) = server
            && let Some(status) = server.end()?
        {
            count.failed(format!("the server for {name} ended with {status}; see {}", places.log(name).display()));
        }
    }
    println!("clients: {} passed, {} failed, {} skipped", count.passed, count.failures.len(), count.skipped);
    if !count.failures.is_empty() {
        bail!("{} cases failed", count.failures.len());
    }
    Ok(())
}

/// Where everything lies that is installed and written.
struct Places {
    /// `target/clients`.
    folder: PathBuf,
    /// The scripts of the repository.
    scripts: PathBuf,
    /// The virtual environment's interpreter.
    python: PathBuf,
    /// Node, out of a package in the virtual environment.
    node: PathBuf,
}

impl Places {
    fn log(&self, server: &str) -> PathBuf {
        self.folder.join(format!("{server}.log"))
    }

    /// The scripts for Node, beside the packages that they use.
    fn node_folder(&self) -> PathBuf {
        self.folder.join("node")
    }
}

/// One client library and its cases.
struct Client {
    name: &'static str,
    files: &'static [&'static str],
}

impl Client {
    fn is_node(&self) -> bool {
        self.files.iter().all(|file| Path::new(file).extension().is_some_and(|extension| extension == "mjs"))
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

const START_PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "the-key-of-the-client-tests";
const EMBED_MODEL: &str = "../shared/models/embed/all-MiniLM-L6-v2-q8_0.gguf";

const CLIENTS: [Client; 7] = [
    Client { name: "openai", files: &["test_openai.py", "test_openai_errors.py", "test_openai_responses.py"] },
    Client { name: "anthropic", files: &["test_anthropic.py"] },
    Client { name: "langchain", files: &["test_langchain.py"] },
    Client { name: "ollama", files: &["test_ollama.py"] },
    Client { name: "openai-node", files: &["openai.test.mjs"] },
    Client { name: "ai-sdk", files: &["ai-sdk.test.mjs"] },
    Client { name: "schemathesis", files: &["test_schemathesis.py"] },
];

//! A server of this build, for as long as the cases run.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// What is served.
pub(super) struct Wanted<'a> {
    /// Names the log: NAME.log.
    pub(super) name: &'a str,
    /// `None`: the model inside the program. A file serves embeddings.
    pub(super) model: Option<&'a Path>,
    pub(super) key: Option<&'a str>,
}

/// A running server; killed when this is dropped.
pub(super) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts it and waits until it takes requests.
    pub(super) fn start(program: &Path, logs: &Path, wanted: &Wanted<'_>) -> Result<Self> {
        let port = free_port()?;
        let log = logs.join(format!("{}.log", wanted.name));
        let output = File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
        let mut command = Command::new(program);
        command.arg("serve");
        if let Some(model) = wanted.model {
            command.arg(model).arg("--embeddings");
        }
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        if let Some(key) = wanted.key {
            command.args(["--api-key", key]);
        }
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command.spawn().with_context(|| format!("failed to start {}", program.display()))?;
        let mut server = Self { process, port };
        println!("clients: the server for {} is on port {port}, its log is {}", wanted.name, log.display());
        let deadline = Instant::now() + START_PATIENCE;
        while !server.is_ready() {
            if let Some(status) = server.process.try_wait()? {
                bail!("the server ended with {status}; see {}", log.display());
            }
            ensure!(Instant::now() < deadline, "not ready after {START_PATIENCE:?}; see {}", log.display());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills it. Tells how it ended if it had ended before, which no case may bring about.
    pub(super) fn end(mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(5)))?;
            connection.write_all(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut status = vec![0; 12];
            connection.read_exact(&mut status)?;
            Ok(status)
        };
        ask().is_ok_and(|status| status.ends_with(b" 200"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

const START_PATIENCE: Duration = Duration::from_secs(60);

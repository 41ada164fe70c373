//! A server in a process of its own, for as long as something is tried or measured on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// A running server; killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts `command` with a free port of loopback, its outputs into the file `log`, and waits until GET /health answers
    /// 200: it has loaded its model.
    pub(crate) fn start(mut command: Command, log: &Path, patience: Duration) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let port = free_port()?;
        let output = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command.spawn().with_context(|| format!("failed to start {program}"))?;
        let mut server = Self { process, port };
        println!("a server is starting on port {port}, its log is {}", log.display());
        let deadline = Instant::now() + patience;
        while !server.is_ready() {
            if let Some(status) = server.process.try_wait()? {
                bail!("{program} ended with {status}; see {}", log.display());
            }
            ensure!(Instant::now() < deadline, "{program} is not ready after {patience:?}; see {}", log.display());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills it. Tells how it ended if it had ended before, which nothing may bring about.
    pub(crate) fn end(mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<[u8; 12]> {
            let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(5)))?;
            connection.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut status = [0; 12];
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

//! A server that has no more file descriptors; in a process of its own, whose limit is small.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mullama_web::{Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::{Count, app, assert_alive, connect};

/// In the environment of the process that serves: the file to write its address to.
const ROLE: &str = "MULLAMA_TEST_SERVES_AT";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn without_file_descriptors_the_server_rests_and_recovers() {
    if let Some(path) = std::env::var_os(ROLE) {
        return serve(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("address");
    let script = "ulimit -n 48 && exec \"$0\" --exact --test-threads 1 \
                  raw::files::without_file_descriptors_the_server_rests_and_recovers";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(ROLE, &path);
    let child = Killed(command.stdout(std::process::Stdio::null()).spawn().unwrap());
    let address = address(&path).await;
    assert_alive(address).await;

    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(connect(address).await);
    }
    let last = clients.last_mut().unwrap();
    last.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let before = cpu_ticks(child.0.id());
    let answered = timeout(Duration::from_secs(1), last.read(&mut [0; 16])).await;
    assert!(answered.is_err(), "the limit of file descriptors was not reached");
    let ticks = cpu_ticks(child.0.id()) - before;
    assert!(ticks < 30, "{ticks} of 100 ticks went into waiting");

    drop(clients);
    assert_alive(address).await;
}

async fn serve(path: &Path) {
    // Longer than the test, so that connections which say nothing stay.
    let config = ServerConfig { head_timeout_ms: 60_000, ..ServerConfig::default() };
    let server = Server::bind(&([127, 0, 0, 1], 0).into()).config(config).listen().unwrap();
    let draft = path.with_extension("draft");
    std::fs::write(&draft, server.address().to_string()).unwrap();
    std::fs::rename(&draft, path).unwrap();
    let served = timeout(Duration::from_secs(60), server.serve(app(&Count::default()).into_make_service())).await;
    assert!(served.is_err(), "{served:?}");
}

async fn address(path: &Path) -> SocketAddr {
    let start = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text.parse().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the server does not start");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What a process has computed, in ticks of 10 ms; 0 where the system does not tell.
fn cpu_ticks(process: u32) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0 };
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

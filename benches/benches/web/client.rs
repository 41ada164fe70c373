//! A small client of HTTP/1.1, which costs next to nothing: it reads what this server writes, and no more.

use std::io::{Error, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Answers of known length must fit into the buffer.
    pub(crate) async fn open(address: SocketAddr, buffer: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; buffer] })
    }

    /// Sends a request; the answer, its head included.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        let (mut filled, mut whole) = (0, None);
        loop {
            filled += self.read(filled).await?;
            if whole.is_none() {
                whole = length(&self.buffer[..filled])?;
            }
            if whole == Some(filled) {
                return Ok(&self.buffer[..filled]);
            }
        }
    }

    /// Sends a request for a stream and reads it to its end. `seen` is told that the events from one number up to another
    /// one have come. How many there were.
    pub(crate) async fn stream(&mut self, request: &[u8], mut seen: impl FnMut(u32, u32)) -> Result<u32> {
        self.stream.write_all(request).await?;
        let (mut events, mut head, mut end) = (0, true, [0; END.len()]);
        loop {
            let filled = self.read(0).await?;
            let bytes = &self.buffer[..filled];
            if std::mem::take(&mut head) {
                ok(bytes)?;
            }
            let before = events;
            for &byte in bytes {
                // An event ends with two line breaks; nothing else has two in a row.
                events += u32::from(byte == b'\n' && end[END.len() - 1] == b'\n');
                end.rotate_left(1);
                end[END.len() - 1] = byte;
            }
            if events > before {
                seen(before, events);
            }
            if end == *END {
                return Ok(events);
            }
        }
    }

    async fn read(&mut self, from: usize) -> Result<usize> {
        match self.stream.read(&mut self.buffer[from..]).await? {
            0 => Err(Error::other("the connection ended, or the answer is larger than the buffer")),
            bytes => Ok(bytes),
        }
    }
}

/// The last chunk.
const END: &[u8; 5] = b"0\r\n\r\n";

fn ok(answer: &[u8]) -> Result<()> {
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(Error::other(String::from_utf8_lossy(answer).into_owned()))
}

/// Of an answer with its head, when the head is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    ok(answer)?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.map(|length| Some(end + 4 + length)).ok_or_else(|| Error::other("no content-length"))
}

/// The body of a request for a conversation.
pub(crate) fn body(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"system","content":"Answer shortly."}},{{"role":"user","content":"What is the capital of France?"}}]}}"#
    )
}

pub(crate) fn post(model: &str, stream: bool) -> Vec<u8> {
    let body = body(model, stream);
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into()
}

//! As much of HTTP/1.1 as a load generator needs: plain TCP, a connection for each request, bodies read as they come.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Error, Result};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    /// What stands before the paths, without a slash at its end.
    prefix: String,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: BufReader<Body>,
}

/// The bytes of a body, as soon as they are there.
#[derive(Debug)]
pub(super) struct Body {
    connection: BufReader<TcpStream>,
    rest: Rest,
}

/// What of the body is to come.
#[derive(Debug)]
enum Rest {
    /// So many bytes of a chunk, and more chunks.
    Chunk(u64),
    /// So many bytes.
    Bytes(u64),
    /// All until the connection ends.
    Connection,
}

impl Address {
    /// Reads `http://HOST[:PORT][/PREFIX]`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let wrong = |problem: &str| {
            let hint = "give an address like http://127.0.0.1:8080";
            Error::usage(format!("--against is {url}: {problem}"), hint)
        };
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it must begin with http:// (there is no TLS)"))?;
        let (place, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        // An IPv6 address has colons of its own, in brackets.
        let colon = place.rfind(':').filter(|at| !place[*at..].contains(']'));
        let (host, port) = match colon {
            Some(at) => (&place[..at], place[at + 1..].parse().map_err(|_| wrong("the port is no number"))?),
            None => (place, 80),
        };
        if host.is_empty() || url.contains(char::is_whitespace) || place.contains('@') {
            return Err(wrong("it has no host"));
        }
        let prefix = prefix.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Self { host: host.to_owned(), port, prefix })
    }

    /// Sends a request without a body.
    pub(super) fn fetch(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[])
    }

    /// Sends a request with this JSON.
    pub(super) fn post(&self, path: &str, json: &[u8]) -> Result<Answer> {
        self.send("POST", path, json)
    }

    /// The full address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}:{}{}{path}", self.host, self.port, self.prefix)
    }

    /// An error of the connection.
    pub(super) fn fault(&self, path: &str, source: io::Error) -> Error {
        Error::Network { url: self.url(path), source }
    }

    fn send(&self, method: &str, path: &str, json: &[u8]) -> Result<Answer> {
        self.try_send(method, path, json).map_err(|source| self.fault(path, source))
    }

    fn try_send(&self, method: &str, path: &str, json: &[u8]) -> io::Result<Answer> {
        let mut connection = self.connect()?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let Self { host, port, prefix } = self;
        let mut request = format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            json.len()
        )
        .into_bytes();
        request.extend(json);
        connection.write_all(&request)?;
        Answer::read(connection)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_matches(['[', ']']);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Answer {
    fn read(connection: TcpStream) -> io::Result<Self> {
        let mut connection = BufReader::new(connection);
        let mut left = MAX_HEAD;
        let status = line(&mut connection, &mut left)?;
        let status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| malformed("it is no answer in HTTP"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut connection, &mut left)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header has no colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let rest = if find("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
            Rest::Chunk(0)
        } else if let Some(length) = find("content-length") {
            Rest::Bytes(length.parse().map_err(|_| malformed("Content-Length is no number"))?)
        } else {
            Rest::Connection
        };
        Ok(Self { status, headers, body: BufReader::new(Body { connection, rest }) })
    }

    /// A header's value; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The rest of the body, as much of it as one can want.
    pub(super) fn text(self) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.body.take(MAX_TEXT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if matches!(self.rest, Rest::Chunk(0)) {
            let size = line(&mut self.connection, &mut 4_096)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk has no size"))?;
            // Trailers are of no interest: the connection ends here.
            self.rest = if size == 0 { Rest::Bytes(0) } else { Rest::Chunk(size) };
        }
        let (Rest::Chunk(left) | Rest::Bytes(left)) = &mut self.rest else { return self.connection.read(buffer) };
        if *left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.connection.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= count as u64;
        if matches!(self.rest, Rest::Chunk(0)) && !line(&mut self.connection, &mut 2)?.is_empty() {
            return Err(malformed("a chunk is longer than it says"));
        }
        Ok(count)
    }
}

/// A line without its end, which takes `left` bytes at most.
fn line(input: &mut impl BufRead, left: &mut u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(*left).read_until(b'\n', &mut bytes)?;
    *left -= bytes.len() as u64;
    if bytes.pop() != Some(b'\n') {
        return Err(if *left == 0 { malformed("a line is too long") } else { io::ErrorKind::UnexpectedEof.into() });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| malformed("a line is not UTF-8"))
}

pub(super) fn malformed(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

const PATIENCE: Duration = Duration::from_secs(600);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEAD: u64 = 1 << 16;
const MAX_TEXT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_may_have_a_port_and_a_prefix() {
        let read = |url| Address::parse(url).map(|address| address.url("/x"));
        assert_eq!(read("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080/x");
        assert_eq!(read("http://host/").unwrap(), "http://host:80/x");
        assert_eq!(read("http://[::1]:81/a/b/").unwrap(), "http://[::1]:81/a/b/x");
        assert_eq!(read("http://host:1/v1").unwrap(), "http://host:1/x");
        for wrong in ["https://host", "host:80", "http://", "http://:80", "http://host:x", "http://a b", "http://u@h"] {
            assert_eq!(read(wrong).unwrap_err().kind(), mullama_core::ErrorKind::InvalidInput, "{wrong}");
        }
    }
}

//! What remains of a server when all is taken away but sockets and timers: the limit of what can be reached.

use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// Gives this answer to each so many bytes of one connection.
pub(crate) async fn echo(request: usize, answer: Vec<u8>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; request];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&answer).await?;
        }
        Result::Ok(())
    }));
    Ok(address)
}

/// Streams of as many tokens in as many bytes as the server's, each in a write of its own; all requests get the same.
pub(crate) async fn pour((streams, tokens): (usize, u32), interval: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(tokio::spawn(async move {
        for _ in 0..streams {
            let (stream, _) = listener.accept().await?;
            drop(tokio::spawn(one(stream, tokens, interval)));
        }
        Result::Ok(())
    }));
    Ok(address)
}

async fn one(mut stream: TcpStream, tokens: u32, interval: Duration) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 1_024];
    let _part = stream.read(&mut request).await?;
    let event = format!("{:x}\r\ndata: {}\n\n\r\n", EVENT + 8, "x".repeat(EVENT));
    let begin = Instant::now();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    // As there, the first brings the role with it; the last ones are the end and its mark.
    stream.write_all(event.as_bytes()).await?;
    for token in 1..=tokens {
        if !interval.is_zero() {
            sleep_until(begin + interval * token).await;
        }
        stream.write_all(event.as_bytes()).await?;
    }
    stream.write_all(event.repeat(2).as_bytes()).await?;
    stream.write_all(b"0\r\n\r\n").await
}

/// Bytes of a chunk of one word, without what stands around it.
const EVENT: usize = 250;

//! Sound that is converted while it arrives: a stream of bytes in, a stream of bytes out.

mod bridge;

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::bridge::{ChunkWriter, PieceReader};
use crate::audio::stream as audio;
use crate::audio::{AudioFormatType, ClipPolicy};
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::job::guarded;

/// Converts streams.
///
/// The decoder and the encoder of a stream work on one thread of tokio's blocking pool; between them and the two streams lie
/// channels of [`StreamingConverter::QUEUE`] pieces. A reader that does not read thus stops the encoder, and this stops the
/// taking from the input. Memory does not grow with the length of the sound. Dropping the output ends everything at its next
/// step.
///
/// WAV, FLAC, AAC (ADTS), OGG Vorbis and Opus can be written to streams; MP3 and M4A are finished at their start and cannot.
/// All but M4A can be read. Tags are not carried over: they may lie behind the sound.
///
/// ```
/// use futures_util::StreamExt as _;
/// use mullama_convert::{AudioConverter, AudioFormatType, ConversionConfig, StreamingConverter};
/// use mullama_core::AudioBuffer;
///
/// # #[tokio::main] async fn main() -> mullama_convert::Result<()> {
/// let config = ConversionConfig::default();
/// let second = AudioBuffer::new(vec![0.0; 44_100], 44_100, 1)?;
/// let mp3 = AudioConverter::new().encode_blocking(&second, AudioFormatType::MP3, &config)?;
///
/// let input = futures_util::stream::iter(mp3.bytes().chunks(500).map(<[u8]>::to_vec).collect::<Vec<_>>());
/// let mut wav = StreamingConverter::new(1024)
///     .convert_audio_stream(input, AudioFormatType::MP3, AudioFormatType::WAV, config)
///     .await?;
/// let mut bytes = 0;
/// while let Some(piece) = wav.next().await {
///     bytes += piece?.len();
/// }
/// assert_eq!(bytes, 44 + 44_100 * 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamingConverter {
    chunk: usize,
}

impl StreamingConverter {
    /// Pieces that wait on each side.
    pub const QUEUE: usize = 4;

    /// A converter whose output comes in pieces of `chunk` bytes (1..=1 048 576), the last one shorter.
    #[must_use]
    pub const fn new(chunk: usize) -> Self {
        Self { chunk }
    }

    /// Begins to convert `input`, which must be of the format `from`. It returns at once; what is wrong with the input comes
    /// as the stream's last item.
    ///
    /// # Errors
    /// [`Error::NeedsSeek`] or [`Error::NotStreamable`] if a format cannot be streamed; [`Error::InvalidParameter`] if the
    /// chunk is outside of its range, or for [`AudioOptions::loudness`](crate::AudioOptions::loudness) and
    /// [`ClipPolicy::Attenuate`], which need to hear the whole first.
    ///
    /// # Panics
    /// Not by itself; as all that spawns tasks it must be called inside a tokio runtime.
    ///
    /// # Cancel safety
    /// Nothing begins before the future is polled to its end, which takes one poll.
    #[expect(clippy::unused_async, reason = "it spawns: outside of a runtime it must fail where it is awaited")]
    pub async fn convert_audio_stream<S, I>(
        &self,
        input: S,
        from: AudioFormatType,
        to: AudioFormatType,
        config: ConversionConfig,
    ) -> Result<ConvertedStream>
    where
        S: Stream<Item = I> + Send + 'static,
        I: StreamItem,
    {
        self.check(from, to, &config)?;
        let (pieces, received) = mpsc::channel(Self::QUEUE);
        let (chunks, output) = mpsc::channel(Self::QUEUE);
        let pump = tokio::spawn(pump(input, pieces)).abort_handle();
        let chunk = self.chunk;
        tokio::task::spawn_blocking(move || {
            let writer = ChunkWriter::new(chunks.clone(), chunk);
            let job = || audio::convert(PieceReader::new(received), writer, from, to, &config);
            match guarded(|| "a stream".to_owned(), job) {
                // Nobody listens any more.
                Ok(()) | Err(Error::Cancelled) => {}
                Err(error) => drop(chunks.blocking_send(Err(error))),
            }
        });
        Ok(ConvertedStream { output, pump: Pump(pump) })
    }

    fn check(&self, from: AudioFormatType, to: AudioFormatType, config: &ConversionConfig) -> Result<()> {
        if !(1..=1 << 20).contains(&self.chunk) {
            let expected = "1..=1048576 bytes".to_owned();
            return Err(Error::InvalidParameter { name: "chunk", value: self.chunk.to_string(), expected });
        }
        audio::check(from, to)?;
        if let Some(loudness) = config.audio.loudness {
            let expected = "unset: it needs the whole sound twice, and a stream comes once".to_owned();
            return Err(Error::InvalidParameter { name: "loudness", value: loudness.to_string(), expected });
        }
        if config.audio.clip == ClipPolicy::Attenuate {
            let expected = "clip or refuse: attenuate needs the whole sound twice, and a stream comes once".to_owned();
            return Err(Error::InvalidParameter { name: "clip", value: "attenuate".to_owned(), expected });
        }
        Ok(())
    }
}

/// A piece of an input stream.
pub trait StreamItem: Send + 'static {
    /// The bytes, or why there are none.
    ///
    /// # Errors
    /// The error of the stream that the piece came from.
    fn into_bytes(self) -> io::Result<Bytes>;
}

impl StreamItem for Bytes {
    fn into_bytes(self) -> io::Result<Bytes> {
        Ok(self)
    }
}

impl StreamItem for Vec<u8> {
    fn into_bytes(self) -> io::Result<Bytes> {
        Ok(self.into())
    }
}

impl<T: StreamItem, E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static> StreamItem for Result<T, E> {
    fn into_bytes(self) -> io::Result<Bytes> {
        self.map_err(io::Error::other)?.into_bytes()
    }
}

/// The bytes of a converted stream. An error is the last item; without one the file is whole.
#[derive(Debug)]
pub struct ConvertedStream {
    output: mpsc::Receiver<Result<Bytes>>,
    pump: Pump,
}

impl ConvertedStream {
    /// Whether everything of the input was taken.
    #[must_use]
    pub fn input_taken(&self) -> bool {
        self.pump.0.is_finished()
    }
}

impl Stream for ConvertedStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.output.poll_recv(context)
    }
}

/// The task that takes from the input; it ends with its stream.
#[derive(Debug)]
struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pump<S, I>(input: S, pieces: mpsc::Sender<bridge::Piece>)
where
    S: Stream<Item = I> + Send + 'static,
    I: StreamItem,
{
    let mut input = std::pin::pin!(input);
    loop {
        let piece = match input.next().await.map(StreamItem::into_bytes) {
            Some(Ok(bytes)) if bytes.is_empty() => continue,
            Some(Ok(bytes)) => bridge::Piece::Bytes(bytes),
            Some(Err(error)) => bridge::Piece::Failed(error),
            None => bridge::Piece::End,
        };
        let last = !matches!(piece, bridge::Piece::Bytes(_));
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// Goes on, whatever happens: a stream stops by being dropped.
pub(crate) fn go_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

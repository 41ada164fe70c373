//! Streams: the same bytes whatever the pieces, output before the input ends, an end when nobody listens.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mullama_convert::{
    AudioConverter, AudioFormatType, ClipPolicy, ConversionConfig, ConvertedStream, Error, StreamingConverter,
};
use mullama_core::AudioBuffer;

use super::tools::{ffmpeg, sound};

fn encoded(format: AudioFormatType, seconds: usize) -> Vec<u8> {
    let samples = AudioBuffer::new(sound(48_000, 2, 48_000 * seconds), 48_000, 2).unwrap();
    let file = AudioConverter::new().encode_blocking(&samples, format, &ConversionConfig::default()).unwrap();
    file.bytes().to_vec()
}

async fn all(mut stream: ConvertedStream) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

async fn streamed(bytes: &[u8], piece: usize, from: AudioFormatType, to: AudioFormatType) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Vec<u8>> = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
    let converter = StreamingConverter::new(1024);
    all(converter.convert_audio_stream(stream::iter(pieces), from, to, ConversionConfig::default()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn any_pieces_give_the_same_bytes_and_ffmpeg_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let targets = [
        AudioFormatType::WAV,
        AudioFormatType::FLAC,
        AudioFormatType::AAC,
        AudioFormatType::OGG,
        AudioFormatType::OPUS,
    ];
    for (from, to) in targets.into_iter().map(|to| (AudioFormatType::FLAC, to)).chain([
        (AudioFormatType::WAV, AudioFormatType::FLAC),
        (AudioFormatType::MP3, AudioFormatType::WAV),
        (AudioFormatType::AAC, AudioFormatType::WAV),
        (AudioFormatType::OGG, AudioFormatType::WAV),
        (AudioFormatType::OPUS, AudioFormatType::WAV),
    ]) {
        let input = encoded(from, 1);
        let whole = streamed(&input, usize::MAX, from, to).await.unwrap();
        for piece in [7, 1_000, 44_100] {
            assert!(streamed(&input, piece, from, to).await.unwrap() == whole, "{from} to {to} in pieces of {piece}");
        }
        let path = folder.path().join(format!("x.{}", to.extension()));
        std::fs::write(&path, &whole).unwrap();
        let (heard, rate, channels) = ffmpeg(&path);
        let file = AudioConverter::new().decode_blocking(input, &ConversionConfig::default()).unwrap();
        assert_eq!((rate, channels), (48_000, 2));
        let surplus = if to == AudioFormatType::AAC { 2_112 } else { 0 };
        let frames = file.frames();
        assert!((frames..=frames + surplus).contains(&(heard.len() / 2)), "{from} to {to}: {}", heard.len() / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_before_the_input_ends_and_waits_for_its_reader() {
    let bytes = encoded(AudioFormatType::MP3, 20);
    let pieces: Vec<Vec<u8>> = bytes.chunks(4_096).map(<[u8]>::to_vec).collect();
    let count = pieces.len();
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = taken.clone();
    let input = stream::iter(pieces).inspect(move |_| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let mut output = StreamingConverter::new(1024)
        .convert_audio_stream(input, AudioFormatType::MP3, AudioFormatType::WAV, ConversionConfig::default())
        .await
        .unwrap();
    let first = output.next().await.unwrap().unwrap();
    assert_eq!(&first[..4], b"RIFF");
    // Nobody reads: what is taken from the input comes to rest, far from its end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let then = taken.load(std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), then);
    assert!(then < count / 2, "{then} of {count}");
    assert!(!output.input_taken());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_lets_go_of_its_input() {
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            if let Some(told) = self.0.take() {
                let _nobody_waits = told.send(());
            }
        }
    }
    let (told, gone) = tokio::sync::oneshot::channel();
    let told = Told(Some(told));
    let head = encoded(AudioFormatType::FLAC, 1)[..20_000].to_vec();
    // The input never ends, and never gives more.
    let input = stream::iter([head]).chain(stream::pending()).inspect(move |_| {
        let _ = &told;
    });
    let mut output = StreamingConverter::new(64)
        .convert_audio_stream(input, AudioFormatType::FLAC, AudioFormatType::WAV, ConversionConfig::default())
        .await
        .unwrap();
    assert!(output.next().await.unwrap().is_ok());
    drop(output);
    tokio::time::timeout(crate::peak::SOON, gone).await.expect("the input is dropped").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_streamed_is_refused_with_advice() {
    let converter = StreamingConverter::new(1024);
    let refuse = |from, to, config| async move {
        let input = stream::empty::<Vec<u8>>();
        converter.convert_audio_stream(input, from, to, config).await.unwrap_err()
    };
    let config = ConversionConfig::default();
    for to in [AudioFormatType::MP3, AudioFormatType::M4A] {
        let error = refuse(AudioFormatType::WAV, to, config).await;
        assert!(matches!(error, Error::NeedsSeek { .. }) && error.to_string().contains("FLAC"), "{error}");
    }
    let error = refuse(AudioFormatType::M4A, AudioFormatType::WAV, config).await;
    assert!(matches!(error, Error::NotStreamable { .. }), "{error}");
    let error = refuse(AudioFormatType::WAV, AudioFormatType::FLAC, config.loudness(-16.0)).await;
    assert!(matches!(error, Error::InvalidParameter { name: "loudness", .. }), "{error}");
    let mut attenuate = config;
    attenuate.audio.clip = ClipPolicy::Attenuate;
    let error = refuse(AudioFormatType::WAV, AudioFormatType::FLAC, attenuate).await;
    assert!(matches!(error, Error::InvalidParameter { name: "clip", .. }), "{error}");

    // The stream is not what was announced; it fails; it is cut.
    let wav = encoded(AudioFormatType::WAV, 1);
    let error = streamed(&wav, 999, AudioFormatType::MP3, AudioFormatType::FLAC).await.unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "the stream's format", .. }), "{error}");
    let input = stream::iter([Ok(wav[..9_000].to_vec()), Err("the line is dead")]);
    let output = converter.convert_audio_stream(input, AudioFormatType::WAV, AudioFormatType::FLAC, config).await;
    let error = all(output.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Stream { action: "read", .. }), "{error:?}");
    let error = streamed(&wav[..9_000], 999, AudioFormatType::WAV, AudioFormatType::FLAC).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
    let error = streamed(b"", 1, AudioFormatType::WAV, AudioFormatType::FLAC).await.unwrap_err();
    assert!(matches!(error, Error::EmptyInput), "{error:?}");
}

//! Conversions that say in their name what they take.

use std::path::Path;

use super::{AudioConverter, ConvertedAudio, Input, whole};
use crate::audio::options::AudioFormatType;
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::job::on_pool;
use crate::pairs::pairs;

pairs! {
    AudioConverter, AudioFormatType => ConvertedAudio, pair;
    mp3_to_wav: MP3 => WAV;
    mp3_to_flac: MP3 => FLAC;
    mp3_to_ogg: MP3 => OGG;
    mp3_to_aac: MP3 => AAC;
    wav_to_mp3: WAV => MP3;
    wav_to_flac: WAV => FLAC;
    wav_to_ogg: WAV => OGG;
    wav_to_aac: WAV => AAC;
    wav_to_m4a: WAV => M4A;
    wav_to_opus: WAV => OPUS;
    flac_to_wav: FLAC => WAV;
    flac_to_mp3: FLAC => MP3;
    flac_to_ogg: FLAC => OGG;
    flac_to_aac: FLAC => AAC;
    flac_to_m4a: FLAC => M4A;
    flac_to_opus: FLAC => OPUS;
    aac_to_wav: AAC => WAV;
    aac_to_mp3: AAC => MP3;
    aac_to_flac: AAC => FLAC;
    m4a_to_wav: M4A => WAV;
    m4a_to_mp3: M4A => MP3;
    ogg_to_wav: OGG => WAV;
    ogg_to_mp3: OGG => MP3;
    ogg_to_flac: OGG => FLAC;
    opus_to_wav: OPUS => WAV;
    opus_to_mp3: OPUS => MP3;
}

async fn pair(
    input: &Path,
    from: AudioFormatType,
    to: AudioFormatType,
    config: ConversionConfig,
) -> Result<ConvertedAudio> {
    let input = input.to_owned();
    on_pool(move |stop| {
        let input = Input::File(&input);
        let found = whole::probe(&input, &config)?;
        if found.format != Some(from) {
            let value = found.format.map_or(found.codec, AudioFormatType::name).to_owned();
            return Err(Error::InvalidParameter {
                name: "the input's format",
                value,
                expected: from.name().to_owned(),
            });
        }
        whole::to_memory(&input, to, &config, &mut |_| stop.flow())
    })
    .await
}

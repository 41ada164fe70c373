//! Conversions: the convert crate's own configuration, whose fields are listed here.

use crate::field::{Field, Kind, foreign, number, whole};

/// The fields of [`ConversionConfig`](mullama_convert::ConversionConfig), but for the size of pictures, which each conversion
/// has for itself.
pub(crate) const CONVERSION: &[Field] = foreign! {
    Restart:
    "existing", Kind::Names(&["keep", "overwrite"]), "A target that is there is an error (`keep`, default), or replaced (`overwrite`).";
    "damaged", Kind::Names(&["refuse", "accept"]), "Damaged input is an error (`refuse`, default), or read as far as it goes (`accept`).";
    "metadata", Kind::Names(&["keep", "strip_location", "strip"]), "Tags, EXIF and XMP: kept (`keep`, default), kept without the place (`strip_location`), or dropped (`strip`).";
    "limits", Kind::Section(LIMITS), "What hostile input may cost.";
    "audio", Kind::Section(AUDIO), "Sound. A value that the target cannot have is an error, as that of a flag.";
    "image", Kind::Section(IMAGE), "Pictures.";
};

const LIMITS: &[Field] = foreign! {
    Restart:
    "max_input_bytes", whole(1, MOST), "Bytes of a file or stream. Default 16 GiB.";
    "max_duration_s", whole(1, MOST), "Seconds of sound. Default 172,800, two days.";
    "max_audio_bytes", whole(1, MOST), "Bytes of samples that are held in memory. Default 1 GiB.";
    "max_pixels", whole(1, MOST), "Pixels of a picture. Default 100,000,000.";
    "max_image_bytes", whole(1, MOST), "Bytes of a decoded picture. Default 256 MiB.";
    "max_metadata_bytes", whole(1, MOST), "Bytes of tags, EXIF, ICC and XMP together. Default 16 MiB.";
};

const AUDIO: &[Field] = foreign! {
    Restart:
    "sample_rate", whole(1_000, 768_000), "Frames per second, in Hz. Unset (default): as the source.";
    "channels", whole(1, 8), "Channels. Unset (default): as the source.";
    "bits", Kind::Names(&["int8", "int16", "int24", "int32", "float32"]), "Bits of a sample in WAV and FLAC. Unset (default): as the source.";
    "bitrate", whole(6, 510), "Bitrate of MP3, AAC and Opus, in kbit/s. Unset (default): by format and channels.";
    "quality", number(-1.0, 10.0), "Quality of Vorbis, as `oggenc -q`. Unset (default): 6.";
    "dither", Kind::Names(&["none", "tpdf"]), "Noise that hides the rounding where the depth shrinks: `tpdf` (default) or `none`.";
    "loudness", number(-70.0, -5.0), "Loudness that each sound is brought to, in LUFS. Unset (default): unchanged.";
    "clip", Kind::Names(&["clip", "refuse", "attenuate"]), "Samples beyond full scale: cut off (`clip`, default), an error (`refuse`), or all made quieter (`attenuate`).";
};

const IMAGE: &[Field] = foreign! {
    Restart:
    "quality", whole(1, 100), "Quality of JPEG, and of WebP where `webp` is `lossy`. Unset (default): 90 and 80.";
    "chroma", Kind::Names(&["auto", "full", "half"]), "Colours of JPEG: for each pixel (`full`), for four (`half`), or by the quality (`auto`, default).";
    "webp", Kind::Names(&["auto", "lossy", "lossless"]), "WebP with or without loss; `auto` (default): as the source.";
    "effort", Kind::Names(&["fast", "normal", "small"]), "How much time a smaller file is worth. Default `normal`.";
    "background", Kind::List(&BYTE), "What transparent pixels of JPEG are laid on: red, green, blue. Default white, `[255, 255, 255]`.";
    "sixteen_bit", Kind::Names(&["keep", "reduce", "refuse"]), "16 bits a channel: kept where the target can (`keep`, default), rounded to 8 (`reduce`), or an error where it cannot (`refuse`).";
};

const BYTE: Kind = whole(0, 255);
const MOST: i128 = 1 << 48;

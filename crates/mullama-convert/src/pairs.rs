//! Conversions that say in their name what they take.

/// Writes one method for each pair of formats; `$pair` does the work.
macro_rules! pairs {
    ($converter:ident, $format:ident => $converted:ident, $pair:ident; $($name:ident: $from:ident => $to:ident;)*) => {
        impl $converter {
            $(
                #[doc = concat!("Converts a file that must be ", stringify!($from), " into ", stringify!($to), " in memory.")]
                ///
                /// # Errors
                #[doc = concat!("[`Error::InvalidParameter`](crate::Error::InvalidParameter) if the file is of another \
                    format, else as [`", stringify!($converter), "::load_and_convert_with`].")]
                ///
                /// # Cancel safety
                /// Dropping the future stops the work at its next step.
                pub async fn $name(
                    &self,
                    input: impl AsRef<std::path::Path>,
                    config: crate::config::ConversionConfig,
                ) -> crate::error::Result<$converted> {
                    $pair(input.as_ref(), $format::$from, $format::$to, config).await
                }
            )*
        }
    };
}

pub(crate) use pairs;

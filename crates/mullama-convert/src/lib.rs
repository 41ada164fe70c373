//! Audio and image formats: every one into every other. Depends on the media types of `mullama-core` alone: no C++ to build.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `AudioConverter`, `ImageConverter`, `StreamingConverter`, `ConversionConfig`;
//! - metadata that survives, limits that hold for hostile files, reports of what was lost.
#![forbid(unsafe_code)]

//! Pictures, sounds and video frames in prompts, by libmtmd.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `MultimodalProcessor`, `MultimodalInput`: text, pictures and sounds together;
//! - preprocessing, and hashes of the content so that the prefix cache finds media again.
#![forbid(unsafe_code)]

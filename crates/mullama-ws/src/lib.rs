//! The WebSocket API: sessions, rooms, realtime voice.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `WebSocketServer`, `WebSocketConfig`, `WSMessage`;
//! - the realtime protocol, with back-pressure and barge-in.
#![forbid(unsafe_code)]

//! The control language: words go in, values come out, pickled on a socket.
//!
//! API agreed between crates; the bodies are being written.

pub mod reply;

pub use reply::{ErrorClass, RemoteError, Reply, Value};

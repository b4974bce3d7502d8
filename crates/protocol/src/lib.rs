//! The control language: words go in, values come out, pickled on a socket.
//!
//! ```
//! use stockade_protocol::{Frames, Request, Value, parse, pickle};
//!
//! // The client sends its words, pickled, and the end marker…
//! let mut sent = pickle::encode(&Value::List(vec![Value::from("ping")]));
//! sent.extend_from_slice(stockade_protocol::END);
//!
//! // …the server takes the message out of the stream, reads it, answers.
//! let mut frames = Frames::default();
//! frames.push(&sent)?;
//! let message = frames.next().ok_or("a whole message")?;
//! let words = pickle::decode(&message)?;
//! assert_eq!(parse(&words), Ok(Request::Ping));
//! let reply = pickle::encode_reply(&Ok(Value::from("pong")));
//! assert_eq!(reply, b"\x80\x05\x95\x0c\0\0\0\0\0\0\0K\0\x8c\x04pong\x94\x86\x94.");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod commands;
pub mod frame;
mod parse;
pub mod pickle;
pub mod reply;
pub mod repr;
pub mod request;

pub use commands::{COMMANDS, Command};
pub use frame::{CLOSE, END, FrameError, Frames};
pub use parse::parse;
pub use reply::{ErrorClass, RemoteError, Reply, Value};
pub use repr::{repr, repr_error};
pub use request::{Flavor, JailGet, JailSet, ReloadOptions, Request, ServerKey, ServerSetting, TimeSpan};

//! Values as Python's pickle writes them.
//!
//! Reading makes values and nothing else: the callables a pickle may name are a closed table (`builtins.str` and the
//! exceptions of [`crate::ErrorClass`]), so that no message can make this program run anything.

mod decode;
mod encode;
mod text;

pub use decode::{PickleError, decode, decode_reply};
pub use encode::{encode, encode_reply};

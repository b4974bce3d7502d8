//! One question to the server, and its answer.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_protocol::{CLOSE, END, Frames, Reply, Value, pickle};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// There is no socket.
    NoSocket(PathBuf),
    /// The socket is not ours to use.
    NotAllowed(PathBuf),
    /// The socket is there, but nobody listens, answers or keeps to the protocol.
    NoAnswer(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(path) => {
                write!(
                    f,
                    "Failed to access socket path: {}. Is fail2ban running?",
                    path.display()
                )
            }
            Self::NotAllowed(path) => {
                write!(f, "Permission denied to socket: {}, (you must be root)", path.display())
            }
            Self::NoAnswer(error) => write!(f, "[{}] Unable to contact server. Is it running?", as_python(error)),
        }
    }
}

/// An error of the system as Python writes it: `[Errno 111] Connection refused`.
pub(crate) fn as_python(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let text = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
            format!("[Errno {number}] {text}")
        }
        None if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => "timed out".to_owned(),
        None => text,
    }
}

/// Sends words to the server and waits for its answer, no longer than `timeout` for each piece of it.
pub(crate) fn ask(socket: &Path, words: &[Value], timeout: Option<Duration>) -> Result<Reply, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => AskError::NoSocket(socket.to_owned()),
        ErrorKind::PermissionDenied => AskError::NotAllowed(socket.to_owned()),
        _ => AskError::NoAnswer(error),
    })?;
    exchange(&mut stream, words, timeout).map_err(AskError::NoAnswer)
}

fn exchange(stream: &mut UnixStream, words: &[Value], timeout: Option<Duration>) -> io::Result<Reply> {
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    let mut message = pickle::encode(&Value::List(words.to_vec()));
    message.extend_from_slice(END);
    stream.write_all(&message)?;
    let mut frames = Frames::default();
    let mut bytes = vec![0; 64 * 1024];
    let answer = loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        frames
            .push(bytes.get(..count).unwrap_or_default())
            .map_err(io::Error::other)?;
        if let Some(answer) = frames.next() {
            break answer;
        }
    };
    // The server may have gone by now, after `stop`; it has answered.
    let _ = stream.write_all(CLOSE).and_then(|()| stream.write_all(END));
    pickle::decode_reply(&answer).map_err(io::Error::other)
}

//! Rotated logs as they lie about: packed with gzip, xz or zstd, known by their first bytes and not by their names.
//!
//! Unpacked while they are read, in bounded memory. Of one that is damaged or cut off all that can be unpacked is told.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::xz;

/// How a log is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Zstd,
    /// Known, but not read.
    Bzip2,
}

/// With what files begin, and how they are packed then.
const MAGIC: [(&[u8], Packing); 4] = [
    (b"\x1f\x8b\x08", Packing::Gzip),
    (&xz::MAGIC, Packing::Xz),
    (b"\x28\xb5\x2f\xfd", Packing::Zstd),
    (b"BZh91AY&SY", Packing::Bzip2),
];

/// What is read at once of packed bytes.
const PACKED_BYTES: usize = 64 << 10;
/// At an error no more than this is lost of what was unpacked before it.
const STEP_BYTES: usize = 4 << 10;
/// So much memory a zstd file may ask for: what `zstd` itself grants it.
const WINDOW_BYTES: u64 = 128 << 20;

impl Packing {
    /// The program that packs so.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// A log unpacked, and how it was packed; a log that is not comes as it is.
pub(super) fn unpacked(mut log: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, Option<Packing>)> {
    let mut head = Vec::new();
    let packing = loop {
        if let Some((_, packing)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            break Some(*packing);
        }
        // A pipe is not waited for longer than it looks like an archive.
        let may_be = MAGIC.iter().any(|(magic, _)| magic.starts_with(&head));
        if !may_be || (&mut log).take(1).read_to_end(&mut head)? == 0 {
            break None;
        }
    };
    let log = Cursor::new(head).chain(log);
    let Some(packing) = packing else {
        return Ok((Box::new(log), None));
    };
    let packed = BufReader::with_capacity(PACKED_BYTES, log);
    Ok((
        match packing {
            Packing::Gzip => Box::new(Careful::new(MultiGzDecoder::new(packed))),
            Packing::Xz => Box::new(Careful::new(xz::Reader::new(packed))),
            Packing::Zstd => Box::new(Careful::new(Frames::Between(packed))),
            Packing::Bzip2 => Box::new(packed),
        },
        Some(packing),
    ))
}

/// Gives what was unpacked before an error, and then the error.
struct Careful<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R> Careful<R> {
    fn new(inner: R) -> Self {
        Self { inner, error: None }
    }
}

impl<R: Read> Read for Careful<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut done = 0;
        for piece in buffer.chunks_mut(STEP_BYTES) {
            match self.inner.read(piece) {
                Ok(0) => break,
                Ok(read) => {
                    done += read;
                    if read < piece.len() {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        Ok(done)
    }
}

/// The frames of a zstd file, one after the other.
enum Frames<R: Read> {
    Between(R),
    Frame(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Ended,
}

impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(0),
                Self::Between(mut packed) => {
                    if packed.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let frame = StreamingDecoder::new_with_max_window_size(packed, WINDOW_BYTES);
                    *self = Self::Frame(Box::new(frame.map_err(io::Error::other)?));
                }
                Self::Frame(mut frame) => {
                    let read = frame.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        *self = Self::Frame(frame);
                        return Ok(read);
                    }
                    *self = Self::Between(frame.into_inner());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// What is unpacked, up to a limit: a damaged file may turn into anything.
    fn read(packed: &[u8]) -> Result<Vec<u8>, String> {
        let log = Box::new(Cursor::new(packed.to_vec()));
        let (reader, _) = unpacked(log).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        let read = reader.take(1 << 20).read_to_end(&mut out);
        read.map(|_| out).map_err(|error| error.to_string())
    }

    fn pack(program: &str, text: &[u8]) -> Vec<u8> {
        let mut process = Command::new(program)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        io::Write::write_all(&mut input, text).unwrap();
        drop(input);
        process.wait_with_output().unwrap().stdout
    }

    #[test]
    fn archives_with_any_byte_changed_or_cut_anywhere_harm_nothing() {
        if !testkit::requires(&["gzip", "xz", "zstd"]) {
            return;
        }
        let text: Vec<u8> = (0..60)
            .flat_map(|index: u32| format!("line {index} of {:x}\n", index * 7919).into_bytes())
            .collect();
        for program in ["gzip", "xz", "zstd"] {
            let packed = pack(program, &text);
            assert_eq!(read(&packed).as_ref(), Ok(&text), "{program}");
            let mut refused = 0;
            for at in 0..packed.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut damaged = packed.clone();
                    damaged[at] ^= change;
                    refused += u32::from(read(&damaged).is_err());
                }
                if at > 6 {
                    assert!(read(&packed[..at]).is_err(), "{program} cut off after {at} bytes");
                }
            }
            assert!(refused > 10, "{program}: {refused}");
        }
    }

    #[test]
    fn what_asks_for_too_much_memory_is_refused() {
        // A frame of zstd with a window of gigabytes.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
        assert!(read(&frame).is_err());
        // A block of xz whose dictionary has 4 GB.
        let mut file = vec![0xfd, b'7', b'z', b'X', b'Z', 0, 0, 0, 0xff, 0x12, 0xd9, 0x41];
        let header = [2, 0, 0x21, 1, 40, 0, 0, 0];
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        file.extend(header);
        file.extend(crc.sum().to_le_bytes());
        file.push(0);
        assert_eq!(read(&file), Err("it asks for more than 128 MB of memory".to_owned()));
    }
}

//! The container of `.xz` files: streams of blocks, each packed with LZMA2. The unpacking itself is done by `lzma-rust2`.
//!
//! Format: <https://tukaani.org/xz/xz-file-format.txt>. What a log never has (filters for programs) is refused.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use lzma_rust2::Lzma2Reader;

/// With what a file begins.
pub(super) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// The largest dictionary that is given memory; `xz -9` asks for half of it.
const DICTIONARY_BYTES: u64 = 128 << 20;

/// Bytes of the check behind each block, by the number that says how it is made.
const CHECK_BYTES: [usize; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const CRC32: usize = 1;
const CRC64: usize = 4;

/// Unpacks a file.
pub(super) struct Reader<R: BufRead>(State<R>);

enum State<R: BufRead> {
    /// At the start of a stream, or the end of the file.
    Between {
        packed: Counted<R>,
        first: bool,
    },
    /// At the start of a block, or of the index behind the last.
    Stream {
        packed: Counted<R>,
        check: usize,
    },
    Block {
        block: Box<Lzma2Reader<Counted<R>>>,
        check: usize,
        sum: Sum,
    },
    Ended,
}

/// Counts what is read of a block, which is padded to a multiple of four.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(packed: R) -> Self {
        Self(State::Between {
            packed: Counted {
                inner: packed,
                count: 0,
            },
            first: true,
        })
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // After an error nothing more is read.
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ended => return Ok(0),
                State::Between { mut packed, first } => {
                    let Some(check) = stream_start(&mut packed, first)? else {
                        return Ok(0);
                    };
                    self.0 = State::Stream { packed, check };
                }
                State::Stream { mut packed, check } => {
                    packed.count = 0;
                    let size = byte(&mut packed)?;
                    if size == 0 {
                        stream_end(&mut packed)?;
                        self.0 = State::Between { packed, first: false };
                        continue;
                    }
                    let dictionary = block_header(&mut packed, size)?;
                    packed.count = 0;
                    self.0 = State::Block {
                        block: Box::new(Lzma2Reader::new(packed, dictionary, None)),
                        check,
                        sum: Sum::of(check),
                    };
                }
                State::Block {
                    mut block,
                    check,
                    mut sum,
                } => {
                    let read = block.read(buffer)?;
                    if read > 0 {
                        sum.add(buffer.get(..read).unwrap_or_default());
                        self.0 = State::Block { block, check, sum };
                        return Ok(read);
                    }
                    let mut packed = block.into_inner();
                    padding(&mut packed)?;
                    let told = bytes(&mut packed, CHECK_BYTES.get(check).copied().unwrap_or(0))?;
                    if !sum.is(&told) {
                        return Err(damaged("a checksum is not that of the text"));
                    }
                    self.0 = State::Stream { packed, check };
                }
            }
        }
    }
}

/// Reads the header of a stream: how its blocks are checked; `None` at the end of the file.
fn stream_start<R: BufRead>(packed: &mut Counted<R>, first: bool) -> io::Result<Option<usize>> {
    let mut start = [0; 4];
    loop {
        if !first && packed.inner.fill_buf()?.is_empty() {
            return Ok(None);
        }
        packed.read_exact(&mut start)?;
        // Streams may have zeros between them.
        if first || start != [0; 4] {
            break;
        }
    }
    let rest = bytes(packed, 8)?;
    let whole = [start.as_slice(), &rest].concat();
    let (magic, flags) = whole.split_at_checked(MAGIC.len()).unwrap_or((&whole, &[]));
    match flags {
        [0, check @ 0..=15, sum @ ..] if magic == MAGIC && sum == crc32(&[0, *check]) => Ok(Some(usize::from(*check))),
        _ => Err(damaged("a header is not one of xz")),
    }
}

/// Reads the header of a block, of which the first byte tells the size: how large its dictionary is.
fn block_header<R: BufRead>(packed: &mut Counted<R>, size: u8) -> io::Result<u32> {
    let rest = bytes(packed, usize::from(size) * 4 + 3)?;
    let (fields, sum) = rest.split_last_chunk::<4>().unwrap_or((&rest, &[0; 4]));
    if crc32(&[&[size], fields].concat()) != *sum {
        return Err(damaged("the header of a block is not what its checksum says"));
    }
    let mut fields = fields;
    let flags = byte(&mut fields)?;
    for size_told in [0x40, 0x80] {
        if flags & size_told != 0 {
            number(&mut fields)?;
        }
    }
    let (id, length, dictionary) = (number(&mut fields)?, number(&mut fields)?, byte(&mut fields)?);
    if flags & 0x3f != 0 || id != 0x21 || length != 1 || dictionary > 40 {
        return Err(damaged("it was packed with filters that are not read"));
    }
    let bits = u64::from(dictionary);
    let dictionary = (2 | (bits & 1)) << (bits / 2 + 11);
    if dictionary > DICTIONARY_BYTES {
        return Err(damaged("it asks for more than 128 MB of memory"));
    }
    u32::try_from(dictionary).map_err(io::Error::other)
}

/// Reads the index and the footer, whose first byte was read.
fn stream_end<R: BufRead>(packed: &mut Counted<R>) -> io::Result<()> {
    let records = number(packed)?;
    for _ in 0..records {
        number(packed)?;
        number(packed)?;
    }
    padding(packed)?;
    // Two checksums, a size and flags tell nothing new.
    let footer = bytes(packed, 16)?;
    if footer.ends_with(b"YZ") {
        Ok(())
    } else {
        Err(damaged("the end of a stream is not one of xz"))
    }
}

/// Reads zeros up to a multiple of four bytes.
fn padding<R: BufRead>(packed: &mut Counted<R>) -> io::Result<()> {
    while !packed.count.is_multiple_of(4) {
        if byte(packed)? != 0 {
            return Err(damaged("there is something between its blocks"));
        }
    }
    Ok(())
}

/// A number of up to nine bytes with seven bits each, the lowest first.
fn number(packed: &mut impl Read) -> io::Result<u64> {
    let mut number = 0;
    for place in 0..9 {
        let byte = byte(packed)?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(damaged("a number is too long"))
}

fn byte(packed: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    packed.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

fn bytes(packed: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    packed.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The checksum of what was unpacked.
enum Sum {
    Crc32(Crc),
    Crc64(u64),
    /// Another kind, which is not looked at.
    Unknown,
}

impl Sum {
    fn of(check: usize) -> Self {
        match check {
            CRC32 => Self::Crc32(Crc::new()),
            CRC64 => Self::Crc64(!0),
            _ => Self::Unknown,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(crc) => crc.update(bytes),
            Self::Crc64(crc) => {
                for byte in bytes {
                    let index = usize::from(crc.to_le_bytes()[0] ^ byte);
                    *crc = CRC64_TABLE.get(index).copied().unwrap_or(0) ^ (*crc >> 8);
                }
            }
            Self::Unknown => {}
        }
    }

    fn is(&self, told: &[u8]) -> bool {
        match self {
            Self::Crc32(crc) => told == crc.sum().to_le_bytes(),
            Self::Crc64(crc) => told == (!crc).to_le_bytes(),
            Self::Unknown => true,
        }
    }
}

/// By bytes, for the polynomial of ECMA-182.
#[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would refuse")]
static CRC64_TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xc96c_5795_d787_0f42
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

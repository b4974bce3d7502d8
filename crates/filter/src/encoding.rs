//! Logs that are not UTF-8 become UTF-8: `logencoding`, with the names Python has for encodings.
//!
//! Whole blocks are decoded, before lines are looked for in them: in UTF-16 a line end is two bytes, and the byte of a line
//! end may be half of a letter. Start reading at [`Encoding::of`].

use std::borrow::Cow;

use encoding_rs as table;

use crate::container::Streams;

/// How the bytes of a log become text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoding(Kind);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Utf8,
    Ascii,
    /// Each byte is the letter of its number.
    Latin1,
    /// The bytes 0x80 to 0x9f are controls, others by the table.
    Iso8859(&'static table::Encoding),
    Table(&'static table::Encoding),
    /// So many bytes make a code unit.
    Wide(usize, Order),
    /// UTF-8, in the lines that an engine for containers wraps it in.
    Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
    /// As the mark at the beginning says, else little.
    Marked,
}

/// More bytes without a line end are passed over: the reader of the log cuts longer lines anyway.
const CARRIED: usize = 256 << 10;

/// What is kept of one log between blocks: only wide encodings and containers need it.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    /// Bytes after the last line end.
    rest: Vec<u8>,
    /// The order of bytes, once it is known.
    order: Option<Order>,
    /// Of containers.
    streams: Streams,
}

/// Decodes a log that no [`crate::Filter`] has settings for.
#[derive(Debug, Default)]
pub struct Decoder {
    encoding: Encoding,
    carry: Carry,
}

impl Decoder {
    /// Begins a log.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            carry: Carry::default(),
        }
    }

    /// [`crate::Filter::decode`]
    pub fn decode<'a>(&mut self, block: &'a [u8]) -> (Cow<'a, [u8]>, bool) {
        self.encoding.decode(block, &mut self.carry)
    }
}

impl Encoding {
    /// The encoding of a name, as Python spells it or WHATWG does; `None` for one that is unknown here.
    pub fn of(name: &str) -> Option<Self> {
        let name = plain(name);
        let kind = match name.as_str() {
            "auto" | "utf_8" | "utf8" | "u8" | "utf" | "cp65001" | "utf8_ucs2" | "utf8_ucs4" | "utf_8_sig" => {
                Kind::Utf8
            }
            // Not one of Python's.
            "container" => Kind::Container,
            "ascii" | "us_ascii" | "646" | "iso646_us" | "iso_ir_6" | "us" | "cp367" | "ibm367" => Kind::Ascii,
            "latin_1" | "latin1" | "latin" | "l1" | "8859" | "cp819" | "ibm819" | "iso_ir_100" | "csisolatin1" => {
                Kind::Latin1
            }
            "utf_16" | "utf16" | "u16" => Kind::Wide(2, Order::Marked),
            "utf_16_le" | "utf_16le" | "utf16le" | "unicodelittleunmarked" => Kind::Wide(2, Order::Little),
            "utf_16_be" | "utf_16be" | "utf16be" | "unicodebigunmarked" => Kind::Wide(2, Order::Big),
            "utf_32" | "utf32" | "u32" => Kind::Wide(4, Order::Marked),
            "utf_32_le" | "utf_32le" | "utf32le" => Kind::Wide(4, Order::Little),
            "utf_32_be" | "utf_32be" | "utf32be" => Kind::Wide(4, Order::Big),
            other => return iso8859(other).or_else(|| Some(Self(Kind::Table(by_name(other)?)))),
        };
        Some(Self(kind))
    }

    /// Decodes a block; also whether something in it is not of this encoding. Wide blocks need the carry of their log.
    pub(crate) fn decode<'a>(self, block: &'a [u8], carry: &mut Carry) -> (Cow<'a, [u8]>, bool) {
        let (text, replaced) = match self.0 {
            Kind::Utf8 => return (Cow::Borrowed(block), false),
            Kind::Container => return (Cow::Owned(carry.streams.unwrap(block)), false),
            Kind::Wide(unit, order) => carry.decode(unit, order, block),
            _ if block.is_ascii() && !self.is_shifted() => return (Cow::Borrowed(block), false),
            Kind::Ascii => {
                let text = block.iter().map(|byte| {
                    if byte.is_ascii() {
                        char::from(*byte)
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                });
                (text.collect(), true)
            }
            Kind::Latin1 => (block.iter().map(|byte| char::from(*byte)).collect(), false),
            Kind::Iso8859(table) => {
                let mut text = String::with_capacity(block.len() * 2);
                let mut replaced = false;
                for part in block.chunk_by(|a, b| is_control(*a) == is_control(*b)) {
                    if part.first().is_some_and(|byte| is_control(*byte)) {
                        text.extend(part.iter().map(|byte| char::from(*byte)));
                    } else {
                        let (part, failed) = table.decode_without_bom_handling(part);
                        text.push_str(&part);
                        replaced |= failed;
                    }
                }
                (text, replaced)
            }
            Kind::Table(table) => {
                let (text, failed) = table.decode_without_bom_handling(block);
                (text.into_owned(), failed)
            }
        };
        (Cow::Owned(text.into_bytes()), replaced)
    }

    /// Whether a line means the same without the lines before it.
    pub(crate) fn is_made_of_lines(self) -> bool {
        !matches!(self.0, Kind::Wide(..) | Kind::Container) && !self.is_shifted()
    }

    /// Whether the text of a block is the block itself.
    pub(crate) fn leaves(self, block: &[u8]) -> bool {
        self.0 == Kind::Utf8 || (self.is_made_of_lines() && block.is_ascii())
    }

    /// Whether bytes of ASCII may be something else.
    fn is_shifted(self) -> bool {
        self.0 == Kind::Table(table::ISO_2022_JP)
    }
}

fn is_control(byte: u8) -> bool {
    (0x80..0xa0).contains(&byte)
}

/// As Python compares names: in lower case, and what is neither letter nor digit is one `_`.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for letter in name.trim().chars().take(100) {
        if letter.is_ascii_alphanumeric() {
            out.push(letter.to_ascii_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    out
}

/// ISO 8859, by number or by the name of its letters.
fn iso8859(name: &str) -> Option<Encoding> {
    let numbered = ["iso8859_", "iso_8859_", "iso8859"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    let number = match numbered {
        Some("") => "1",
        Some(number) => number.split('_').next().unwrap_or(number),
        None => match name {
            "latin2" | "l2" => "2",
            "latin3" | "l3" => "3",
            "latin4" | "l4" => "4",
            "cyrillic" => "5",
            "arabic" => "6",
            "greek" | "greek8" => "7",
            "hebrew" => "8",
            "latin5" | "l5" => "9",
            "latin6" | "l6" => "10",
            "thai" => "11",
            "latin7" | "l7" => "13",
            "latin8" | "l8" => "14",
            "latin9" | "l9" => "15",
            "latin10" | "l10" => "16",
            _ => return None,
        },
    };
    let table = match number {
        "1" => return Some(Encoding(Kind::Latin1)),
        "2" => table::ISO_8859_2,
        "3" => table::ISO_8859_3,
        "4" => table::ISO_8859_4,
        "5" => table::ISO_8859_5,
        "6" => table::ISO_8859_6,
        "7" => table::ISO_8859_7,
        "8" => table::ISO_8859_8,
        // The letters are those of the Windows code page, which has more where the controls are.
        "9" => table::WINDOWS_1254,
        "10" => table::ISO_8859_10,
        "11" => table::WINDOWS_874,
        "13" => table::ISO_8859_13,
        "14" => table::ISO_8859_14,
        "15" => table::ISO_8859_15,
        "16" => table::ISO_8859_16,
        _ => return None,
    };
    Some(Encoding(Kind::Iso8859(table)))
}

fn by_name(name: &str) -> Option<&'static table::Encoding> {
    let number = ["cp", "windows_", "ms", "ibm"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    Some(match number {
        "1250" => table::WINDOWS_1250,
        "1251" => table::WINDOWS_1251,
        "1252" => table::WINDOWS_1252,
        "1253" => table::WINDOWS_1253,
        "1254" => table::WINDOWS_1254,
        "1255" => table::WINDOWS_1255,
        "1256" => table::WINDOWS_1256,
        "1257" => table::WINDOWS_1257,
        "1258" => table::WINDOWS_1258,
        "866" => table::IBM866,
        "874" | "tis_620" | "tis620" => table::WINDOWS_874,
        "932" | "kanji" => table::SHIFT_JIS,
        "936" => table::GBK,
        "949" | "uhc" => table::EUC_KR,
        "950" => table::BIG5,
        _ => match name {
            "koi8_r" | "cskoi8r" => table::KOI8_R,
            "koi8_u" => table::KOI8_U,
            "mac_roman" | "macroman" | "macintosh" => table::MACINTOSH,
            "mac_cyrillic" | "maccyrillic" => table::X_MAC_CYRILLIC,
            "shift_jis" | "shiftjis" | "sjis" | "s_jis" | "csshiftjis" | "mskanji" | "ms_kanji" => table::SHIFT_JIS,
            "euc_jp" | "eucjp" | "ujis" | "u_jis" => table::EUC_JP,
            "iso2022_jp" | "iso_2022_jp" | "iso2022jp" | "csiso2022jp" => table::ISO_2022_JP,
            "euc_kr" | "euckr" | "korean" | "ksc5601" | "ks_c_5601" | "ks_c_5601_1987" => table::EUC_KR,
            "big5" | "big5_tw" | "csbig5" | "big5hkscs" | "big5_hkscs" => table::BIG5,
            "gb2312" | "euc_cn" | "euccn" | "eucgb2312_cn" | "chinese" | "csiso58gb231280" | "gbk" => table::GBK,
            "gb18030" | "gb18030_2000" => table::GB18030,
            _ => return None,
        },
    })
}

impl Carry {
    /// The whole lines there are with this block.
    fn decode(&mut self, unit: usize, order: Order, block: &[u8]) -> (String, bool) {
        self.rest.extend_from_slice(block);
        let known = self.order.or_else(|| self.begin(unit, order));
        let Some(order) = known else {
            return (String::new(), false);
        };
        self.order = Some(order);
        let value = |unit: &[u8]| {
            let add = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
            match order {
                Order::Big => unit.iter().fold(0, add),
                Order::Little | Order::Marked => unit.iter().rev().fold(0, add),
            }
        };
        let newline = |unit: &[u8]| value(unit) == u32::from('\n');
        let lines = self.rest.chunks_exact(unit).rposition(newline);
        let Some(end) = lines.map(|last| (last + 1) * unit) else {
            if self.rest.len() > CARRIED {
                // Somewhere bytes were lost; begin anew with what comes.
                *self = Self::default();
            }
            return (String::new(), false);
        };
        let units = self.rest.get(..end).unwrap_or_default().chunks_exact(unit).map(value);
        let mut replaced = false;
        let mut known = |letter: Option<char>| {
            replaced |= letter.is_none();
            letter.unwrap_or(char::REPLACEMENT_CHARACTER)
        };
        let text = if unit == 2 {
            let units = units.map(|unit| u16::try_from(unit).unwrap_or_default());
            char::decode_utf16(units).map(|letter| known(letter.ok())).collect()
        } else {
            units.map(|unit| known(char::from_u32(unit))).collect()
        };
        self.rest.drain(..end);
        (text, replaced)
    }

    /// Finds the order of bytes, and drops what is before the first letter; `None` if there is too little to tell.
    fn begin(&mut self, unit: usize, order: Order) -> Option<Order> {
        let first = self.rest.get(..unit)?;
        let mark = match first {
            [0xff, 0xfe] | [0xff, 0xfe, 0, 0] => Some(Order::Little),
            [0xfe, 0xff] | [0, 0, 0xfe, 0xff] => Some(Order::Big),
            _ => None,
        };
        let marked = match (order, mark) {
            (Order::Marked, Some(mark)) => Some(mark),
            (order, mark) => mark.filter(|mark| *mark == order),
        };
        if let Some(order) = marked {
            self.rest.drain(..unit);
            return Some(order);
        }
        let order = if order == Order::Marked { Order::Little } else { order };
        // Reading began right after the byte of a line end: the rest of its code unit is still there.
        let rest_of_unit = self.rest.iter().take(unit - 1).take_while(|byte| **byte == 0).count();
        if order == Order::Little && rest_of_unit == unit - 1 {
            self.rest.drain(..rest_of_unit);
        }
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(name: &str, bytes: &[u8], chunk: usize) -> String {
        let encoding = Encoding::of(name).unwrap();
        let mut carry = Carry::default();
        let blocks = bytes
            .chunks(chunk)
            .map(|block| encoding.decode(block, &mut carry).0.into_owned());
        String::from_utf8(blocks.flatten().collect()).unwrap()
    }

    /// What Python's `.encode` gives.
    #[test]
    fn letters_of_many_encodings_are_read() {
        for (name, bytes, text) in [
            ("latin1", &b"b\xe4r\x85\n"[..], "bär\u{85}\n"),
            ("ISO-8859-15", b"\xa4\n", "€\n"),
            ("iso8859_9", b"\xdd\x80\n", "İ\u{80}\n"),
            ("Windows-1252", b"\x80\n", "€\n"),
            ("cp1251", b"\xcf\n", "П\n"),
            ("KOI8-R", b"\xf0\n", "П\n"),
            ("euc-jp", b"\xc6\xfc\n", "日\n"),
            ("Shift_JIS", b"\x93\xfa\n", "日\n"),
            ("big5", b"\xa4\xe9\n", "日\n"),
            ("gbk", b"\xc8\xd5\n", "日\n"),
            ("euc_kr", b"\xb0\xa1\n", "가\n"),
            ("ascii", b"b\xc3\xa4\n", "b\u{fffd}\u{fffd}\n"),
        ] {
            assert_eq!(decoded(name, bytes, 100), text, "{name}");
        }
        assert!(Encoding::of("klingon").is_none());
        assert!(Encoding::of("").is_none());
    }

    #[test]
    fn wide_lines_are_split_between_code_units_whatever_the_blocks() {
        // `Ċ` and `ਊ` have the byte of a line end in them.
        let text = "ab\nbäĊਊ😀\r\nc\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for (name, bytes) in [
            ("utf-16-le", little.clone()),
            ("utf-16-be", big.clone()),
            ("UTF-16", marked(&[0xff, 0xfe], &little)),
            ("UTF-16", marked(&[0xfe, 0xff], &big)),
            ("utf-16", little.clone()),
            ("utf-32", marked(&[0xff, 0xfe, 0, 0], &wide)),
            ("utf-32-le", wide.clone()),
        ] {
            for chunk in [1, 2, 3, 5, 1000] {
                assert_eq!(decoded(name, &bytes, chunk), text, "{name} in blocks of {chunk}");
            }
        }
        // From the byte after the first line end, as a reader of bytes that begins in the middle would have it.
        assert_eq!(decoded("utf-16-le", &little[5..], 7), &text[3..]);
    }

    #[test]
    fn bytes_without_end_are_not_kept_for_ever() {
        let encoding = Encoding::of("utf-16-le").unwrap();
        let mut carry = Carry::default();
        for _ in 0..100 {
            encoding.decode(&[b'x'; 8192], &mut carry);
            assert!(carry.rest.len() <= CARRIED + 8192);
        }
    }
}

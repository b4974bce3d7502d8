//! Fields that journald has compressed: long ones, by default those of 512 bytes and more.

use std::io::Read;

/// How a field is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    /// Written up to systemd 245 where nothing else was built in.
    Xz,
    /// Written by systemd 209 to 245.
    Lz4,
    /// Written since systemd 246.
    Zstd,
}

impl Packing {
    /// From the flags of a data object.
    pub(super) fn of(flags: u8) -> Option<Self> {
        match flags & 7 {
            0 => Some(Self::None),
            1 => Some(Self::Xz),
            2 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Replaces `out` by at most `limit` bytes of what is packed in `stored`. What can be unpacked of a damaged field is given.
pub(super) fn unpack(packing: Packing, stored: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.clear();
    match packing {
        Packing::None => out.extend_from_slice(stored.get(..limit).unwrap_or(stored)),
        // The length comes first, then one block.
        Packing::Lz4 => lz4(stored.get(8..).unwrap_or(&[]), limit, out),
        Packing::Zstd => zstd(stored, limit, out),
        Packing::Xz => return Err("a field is packed with xz, which is not read"),
    }
    if out.is_empty() {
        return Err("a packed field is damaged");
    }
    Ok(())
}

fn zstd(stored: &[u8], limit: usize, out: &mut Vec<u8>) {
    if let Ok(decoder) = ruzstd::decoding::StreamingDecoder::new(stored) {
        // At an error what came before it is kept.
        let _ = decoder.take(limit as u64).read_to_end(out);
    }
}

/// A block of LZ4: runs of literal bytes, each followed by a copy of what came before.
fn lz4(block: &[u8], limit: usize, out: &mut Vec<u8>) {
    let mut input = block.iter();
    while out.len() < limit {
        let Some(&token) = input.next() else { return };
        let Some(literals) = length(token >> 4, &mut input) else {
            return;
        };
        let rest = input.as_slice();
        let piece = rest.get(..literals).unwrap_or(rest);
        out.extend_from_slice(piece.get(..limit - out.len()).unwrap_or(piece));
        input = rest.get(literals..).unwrap_or(&[]).iter();
        let (Some(&low), Some(&high)) = (input.next(), input.next()) else {
            return;
        };
        let distance = usize::from(u16::from_le_bytes([low, high]));
        let Some(copies) = length(token & 15, &mut input) else {
            return;
        };
        let Some(mut from) = out.len().checked_sub(distance).filter(|_| distance > 0) else {
            return;
        };
        // Byte by byte: source and target may overlap.
        for _ in 0..copies.saturating_add(4).min(limit.saturating_sub(out.len())) {
            let Some(&byte) = out.get(from) else { return };
            out.push(byte);
            from += 1;
        }
    }
}

/// A length of LZ4: 4 bits, and more bytes while they are full.
fn length(bits: u8, input: &mut std::slice::Iter<'_, u8>) -> Option<usize> {
    let mut length = usize::from(bits);
    if bits == 15 {
        loop {
            let byte = *input.next()?;
            length = length.saturating_add(usize::from(byte));
            if byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

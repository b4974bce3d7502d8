//! SHA-1, by which Fail2Ban knows a log again: not for anything that must withstand an attack.

/// The SHA-1 of bytes (FIPS 180-4).
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    // Filled up so that the length, 8 bytes, ends a block.
    let rest = (padded.len() + 8) % 64;
    padded.resize(padded.len() + (64 - rest) % 64, 0);
    let bits = u64::try_from(bytes.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    padded.extend_from_slice(&bits.to_be_bytes());
    for block in padded.chunks_exact(64) {
        absorb(&mut state, block);
    }
    let mut hash = [0; 20];
    for (place, word) in hash.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

#[expect(clippy::many_single_char_names, reason = "the names of the standard")]
fn absorb(state: &mut [u32; 5], block: &[u8]) {
    // The last 16 words of the schedule are all that the next one needs.
    let mut schedule = [0_u32; 16];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for round in 0..80_u32 {
        let (chosen, constant) = match round {
            0..20 => ((b & c) | (!b & d), 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let [first, _, third, _, _, _, _, _, ninth, _, _, _, _, fourteenth, _, _] = schedule;
        let next = (first ^ third ^ ninth ^ fourteenth).rotate_left(1);
        schedule.rotate_left(1);
        if let Some(last) = schedule.last_mut() {
            *last = next;
        }
        let sum = a
            .rotate_left(5)
            .wrapping_add(chosen)
            .wrapping_add(e)
            .wrapping_add(constant)
            .wrapping_add(first);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_sha1sum_gives() {
        let million = vec![b'a'; 1_000_000];
        let shown = |bytes: &[u8]| crate::FirstLine(sha1(bytes)).to_string();
        assert_eq!(shown(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(shown(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            shown(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        );
        assert_eq!(shown(&million), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }
}

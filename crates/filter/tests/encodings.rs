//! Text of many encodings beside CPython, which is what Fail2Ban decodes with.

#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(clippy::disallowed_types, reason = "asks python3")]

use std::process::Command;

use stockade_filter::{Decoder, Encoding};

/// For each name: what it is tried on (all single bytes, and words), in hex, and what CPython makes of it.
const SCRIPT: &str = r#"
import codecs
single = ["latin1", "ISO-8859-1", "iso8859-2", "latin2", "iso8859_3", "iso-8859-4", "cyrillic", "iso8859-6", "greek", "hebrew", "iso8859-9",
          "latin5", "iso8859_10", "iso8859-13", "iso8859-14", "latin9", "ISO-8859-15", "iso8859-16", "cp1250", "windows-1250", "cp1251",
          "cp1252", "windows-1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp866", "cp874", "koi8-r", "KOI8_U",
          "mac-roman", "ascii", "us-ascii", "utf-8", "UTF8"]
wide = ["utf-16", "utf-16-le", "UTF-16BE", "utf-32", "utf_32_le", "utf-32-be", "shift_jis", "sjis", "cp932", "euc-jp", "iso2022_jp", "euc_kr", "cp949",
        "big5", "gb2312", "gbk", "gb18030"]
words = ["Failed login of b\u00e4r from 192.0.2.1", "\u65e5\u672c", "\uac00\ub098", "\u4e2d\u6587", "\u010a\u0a0a\U0001f600", "plain"]
for name in single:
    for byte in range(256):
        if byte == 10:
            continue
        raw = b"a" + bytes([byte]) + b"b\n"
        print(name, raw.hex(), raw.decode(name, "replace").encode().hex())
for name in wide:
    text = []
    for word in words:
        try:
            word.encode(name)
            text.append(word)
        except UnicodeEncodeError:
            pass
    text = "\n".join(text) + "\n"
    print(name, text.encode(name).hex(), text.encode().hex())
"#;

/// Bytes that browsers, whose tables these are, read as newer letters.
const NEWER: [(&str, &str); 3] = [("cp1255", "61ca620a"), ("KOI8_U", "61ae620a"), ("KOI8_U", "61be620a")];

/// Bytes that CPython has no letter for and that are controls here, as in every browser: `cp1252` and its kin.
fn is_control_here(theirs: &str, ours: &str) -> bool {
    theirs.contains('\u{fffd}') && ours.chars().any(|letter| ('\u{80}'..='\u{9f}').contains(&letter))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn text_is_decoded_as_cpython_decodes_it() {
    let Ok(output) = Command::new("python3").args(["-c", SCRIPT]).output() else {
        println!("skipped: python3 is not installed");
        return;
    };
    let (mut compared, mut differences) = (0, Vec::new());
    for row in String::from_utf8(output.stdout).unwrap().lines() {
        let parts: Vec<&str> = row.split(' ').collect();
        let theirs = String::from_utf8(unhex(parts[2])).unwrap();
        let mut decoder = Decoder::new(Encoding::of(parts[0]).unwrap());
        let bytes = unhex(parts[1]);
        let ours = String::from_utf8_lossy(&decoder.decode(&bytes).0).into_owned();
        compared += 1;
        if ours != theirs && !is_control_here(&theirs, &ours) && !NEWER.contains(&(parts[0], parts[1])) {
            differences.push(format!("{} {}: {theirs:?} {ours:?}", parts[0], parts[1]));
        }
    }
    println!("{compared} texts compared");
    assert!(compared > 9000, "{compared}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

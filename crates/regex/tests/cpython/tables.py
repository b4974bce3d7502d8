"""Writes crates/regex/src/tables.rs from the character tables of the running CPython.

    python3 crates/regex/tests/cpython/tables.py > crates/regex/src/tables.rs

A test runs the same script and compares, so the tables cannot drift from CPython 3.11.
"""
import sys
import unicodedata
import _sre
from re._casefix import _EXTRA_CASES

SURROGATES = range(0xD800, 0xE000)


def ranges(test):
    out = []
    for code in range(0x110000):
        if code not in SURROGATES and test(chr(code)):
            if out and out[-1][1] == code - 1:
                out[-1][1] = code
            else:
                out.append([code, code])
    return out


def runs(function):
    """(first, last, stride, result of first): results move in step with their arguments."""
    out = []
    for code in range(0x110000):
        to = function(code)
        if to == code or code in SURROGATES:
            continue
        if out:
            first, last, stride, start = out[-1]
            step = code - last
            if step in (1, 2) and stride in (0, step) and start + (code - first) == to:
                out[-1] = [first, code, step, start]
                continue
        out.append([code, code, 0, to])
    return [(a, b, max(s, 1), t) for a, b, s, t in out]


def upper(code):
    """Simple upper case; sre falls back on it for ranges beyond the BMP."""
    text = chr(code).upper()
    return ord(text) if len(text) == 1 else code


def emit(name, kind, doc, rows):
    print(f"\n/// {doc}")
    print(f"#[rustfmt::skip]\npub(crate) const {name}: &[{kind}] = &[")
    line = "   "
    for row in rows:
        text = " (" + ", ".join(hex(n) if n > 9 else str(n) for n in row) + "),"
        if len(line) + len(text) > 118:
            print(line)
            line = "   "
        line += text
    print(line)
    print("];")


print(f"//! Character tables of CPython {sys.version_info[0]}.{sys.version_info[1]} "
      f"(Unicode {unicodedata.unidata_version}), written by `tests/cpython/tables.py`.")
emit("WORD", "(u32, u32)", "`\\w`: `str.isalnum` or `_`.", ranges(lambda c: c.isalnum() or c == "_"))
emit("DIGIT", "(u32, u32)", "`\\d`: `str.isdecimal`.", ranges(str.isdecimal))
emit("SPACE", "(u32, u32)", "`\\s`: `str.isspace`.", ranges(str.isspace))
emit("LOWER", "(u32, u32, u32, u32)", "Lower case as sre folds it: first, last, stride, result of first.",
     runs(_sre.unicode_tolower))
emit("UPPER", "(u32, u32, u32, u32)", "Simple upper case: first, last, stride, result of first.", runs(upper))
emit("CASED_ONLY", "(u32, u32)", "Cased for sre although neither `LOWER` nor `UPPER` moves them.",
     [(c, c) for c in range(0x110000)
      if _sre.unicode_iscased(c) and _sre.unicode_tolower(c) == c and upper(c) == c])
emit("EXTRA_CASES", "(u32, u32)", "Further lower-case letters that equal a lower-case letter when case is ignored.",
     [(c, other) for c, others in sorted(_EXTRA_CASES.items()) for other in others])

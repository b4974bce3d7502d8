"""Answers what CPython's re says, one question per line: flags TAB hex(pattern) TAB hex(text).

Answers, one per line: `N`; `M start,end start,end …` in UTF-8 byte offsets (`-` for a group that took no part);
`E position hex(message)` for a refused pattern (position in bytes, `-` if CPython gives none).
"""
import re
import sys
import warnings

warnings.simplefilter("ignore")
FLAGS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X, "a": re.A}
compiled = {}


def compile_pattern(flags, pattern):
    key = flags, pattern
    if key not in compiled:
        try:
            compiled[key] = re.compile(pattern, sum(FLAGS[f] for f in flags))
        except (re.error, OverflowError, ValueError, RecursionError) as error:
            position = getattr(error, "pos", None)
            shown = "-" if position is None else len(pattern[:position].encode("utf-8"))
            message = getattr(error, "msg", None) or str(error)
            compiled[key] = f"E {shown} {message.encode('utf-8', 'replace').hex()}"
    return compiled[key]


def answer(flags, pattern, text):
    regex = compile_pattern(flags, pattern)
    if isinstance(regex, str):
        return regex
    match = regex.search(text)
    if match is None:
        return "N"
    spans = []
    for group in range(regex.groups + 1):
        start, end = match.span(group)
        if start < 0:
            spans.append("-")
        else:
            spans.append(f"{len(text[:start].encode('utf-8'))},{len(text[:end].encode('utf-8'))}")
    return "M " + " ".join(spans)


if __name__ == "__main__":
    for line in sys.stdin:
        flags, pattern, text = line.rstrip("\n").split("\t")
        print(answer(flags, bytes.fromhex(pattern).decode("utf-8"), bytes.fromhex(text).decode("utf-8")))

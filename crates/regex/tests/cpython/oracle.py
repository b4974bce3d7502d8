"""Answers what CPython's re says, one question per line: flags TAB hex(pattern) TAB hex(text).

Answers, one per line: `N`; `M start,end start,end …` in UTF-8 byte offsets (`-` for a group that took no part);
`E position hex(message)` for a refused pattern (position in bytes, `-` if CPython gives none); `T` for a search that
CPython did not finish, in half a second or at all. A line with a dot asks for the answers so far.

For many pairs: `T hex` adds a text to a list, `C` clears it, and `A flags hex` searches a pattern in each of them and answers
`number answer` for each that is not `N`, then a dot.
"""
import re
import signal
import sys
import warnings

warnings.simplefilter("ignore")
FLAGS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X, "a": re.A}
MOST_SECONDS = 0.5
compiled = {}


class TooLong(Exception):
    """CPython looks for signals while it searches."""


def too_long(*_):
    raise TooLong


def compile_pattern(flags, pattern):
    key = flags, pattern
    if key not in compiled:
        if len(compiled) > 10_000:
            compiled.clear()
        try:
            compiled[key] = re.compile(pattern, sum(FLAGS[f] for f in flags))
        except (re.error, OverflowError, ValueError, RecursionError) as error:
            position = getattr(error, "pos", None)
            shown = "-" if position is None else len(pattern[:position].encode("utf-8"))
            message = getattr(error, "msg", None) or str(error)
            compiled[key] = f"E {shown} {message.encode('utf-8', 'replace').hex()}"
    return compiled[key]


def spans(match, text):
    out = []
    for group in range(match.re.groups + 1):
        start, end = match.span(group)
        if start < 0:
            out.append("-")
        else:
            out.append(f"{len(text[:start].encode('utf-8'))},{len(text[:end].encode('utf-8'))}")
    return "M " + " ".join(out)


def search(regex, text):
    """The match, or None, or the letter for a search that took too long."""
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        return regex.search(text)
    except (TooLong, SystemError):
        # The latter is a report of its own that a group has gone wrong.
        return "T"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def answer(flags, pattern, text):
    regex = compile_pattern(flags, pattern)
    if isinstance(regex, str):
        return regex
    match = search(regex, text)
    if match is None:
        return "N"
    return match if match == "T" else spans(match, text)


signal.signal(signal.SIGVTALRM, too_long)

if __name__ == "__main__":
    texts = []
    for line in sys.stdin:
        if line == ".\n":
            sys.stdout.flush()
            continue
        match line.split(" "):
            case ["C\n"]:
                texts = []
                continue
            case ["T", text]:
                texts.append(bytes.fromhex(text).decode("utf-8"))
                continue
            case ["A", flags, pattern]:
                for number, text in enumerate(texts):
                    found = answer(flags.strip("-"), bytes.fromhex(pattern).decode("utf-8"), text)
                    if found != "N":
                        print(number, found)
                print(".", flush=True)
                continue
        flags, pattern, text = line.rstrip("\n").split("\t")
        print(answer(flags, bytes.fromhex(pattern).decode("utf-8"), bytes.fromhex(text).decode("utf-8")))

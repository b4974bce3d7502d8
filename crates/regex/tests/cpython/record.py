"""Writes CPython's answers into a table of pairs: python3 record.py < pairs.txt > pairs.new

One pair per line: flags (`-` for none), pattern, text, answer, separated by tabs. In pattern and text `␊` stands for a
line feed, `␉` for a tab. Lines starting with `# ` are comments.
"""
import sys

import oracle


def plain(field):
    return field.replace("␊", "\n").replace("␉", "\t")


def readable(answer):
    if answer.startswith("E "):
        _, position, message = answer.split(" ")
        return f"E {position} {bytes.fromhex(message).decode()}"
    return answer


for line in sys.stdin:
    line = line.rstrip("\n")
    if line and not line.startswith("# "):
        flags, pattern, text = line.split("\t")[:3]
        answer = oracle.answer(flags.strip("-"), plain(pattern), plain(text))
        line = "\t".join([flags, pattern, text, readable(answer)])
    print(line)

"""All characters that match a class: reads flags TAB hex(class), prints ranges of code points `first-last …`."""
import re
import sys
import warnings

import oracle

warnings.simplefilter("ignore")
EVERYTHING = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)

for line in sys.stdin:
    flags, pattern = line.rstrip("\n").split("\t")
    regex = re.compile(bytes.fromhex(pattern).decode(), sum(oracle.FLAGS[flag] for flag in flags))
    ranges = []
    for character in regex.findall(EVERYTHING):
        code = ord(character)
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    print(" ".join(f"{first}-{last}" for first, last in ranges))

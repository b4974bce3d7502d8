"""Stock filters against sample logs, as CPython sees them.

Enables every jail of the installed package in a scratch copy of its configuration, asks `fail2ban-client -d` for the
expressions, puts an address pattern in place of the tags, and searches every line of the package's sample logs.

Prints `P flags hex` (patterns), `T hex` (texts) and `A pattern text spans` (matches only; spans in bytes).
Prints `skipped: why` if the package is not there.
"""
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")

IPV4 = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
IPV6 = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))"
ADDRESS = rf"(?:{IPV4}|\[?{IPV6}\]?)"
TAGS = {
    "<HOST>": rf"(?:{ADDRESS}|(?P<dns>[\w\-.^_]*\w))",
    "<ADDR>": ADDRESS,
    "<IP4>": IPV4,
    "<IP6>": IPV6,
    "<DNS>": r"(?P<dns>[\w\-.^_]*\w)",
    "<CIDR>": r"(?P<cidr>\d+)",
    "<SUBNET>": rf"{ADDRESS}(?:/(?P<cidr>\d+))?",
    "<SKIPLINES>": r"\n(?P<skiplines>(?:.*\n)*?)",
}
DATE = re.compile(
    r"^(?:\w{3} +\d+ \d\d:\d\d:\d\d(?:\.\d+)?|\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*|"
    r"\[?\w{3} \w{3} +\d+ \d\d:\d\d:\d\d(?:\.\d+)? \d{4}\]?)"
)


def skip(why):
    print("skipped:", why)
    sys.exit(0)


def commands(mode):
    """What the client would send to the server with all jails enabled."""
    with tempfile.TemporaryDirectory() as scratch:
        config = os.path.join(scratch, "fail2ban")
        shutil.copytree("/etc/fail2ban", config, symlinks=True)
        for name in os.listdir(os.path.join(config, "jail.d")):
            os.remove(os.path.join(config, "jail.d", name))
        with open(os.path.join(config, "jail.d", "all.local"), "w") as out:
            out.write(f"[DEFAULT]\nenabled = true\nmode = {mode}\n")
        run = subprocess.run(["fail2ban-client", "-c", config, "-d"], capture_output=True, text=True)
    for line in run.stdout.splitlines():
        if line.startswith("["):
            yield ast.literal_eval(line)


def expand(pattern):
    for tag, text in TAGS.items():
        # A name may be given only once in a pattern: further addresses go unnamed.
        first, *rest = pattern.split(tag)
        for part in rest:
            named = "(?P<ip4>" not in first and "(?P<ip6>" not in first and "(?P<dns>" not in first
            first += (text if named else re.sub(r"\(\?P<\w+>", "(?:", text)) + part
        pattern = first
    pattern = re.sub(r"<F-([\w-]+)/>", lambda m: rf"(?P<f{clean(m[1])}>\S+)", pattern)
    pattern = re.sub(r"<F-([\w-]+)>", lambda m: f"(?P<f{clean(m[1])}>", pattern)
    return re.sub(r"</F-[\w-]+>", ")", pattern)


def clean(name):
    return name.lower().replace("-", "_")


def collect():
    patterns, several_lines = {}, set()
    for mode in ("normal", "aggressive"):
        for command in commands(mode):
            match command:
                case ["set", jail, "maxlines", count] if int(count) > 1:
                    several_lines.add(jail)
                case ["set", jail, "prefregex", pattern]:
                    patterns[expand(pattern)] = jail
                case ["set" | "multi-set", jail, "addfailregex" | "addignoreregex", *more]:
                    for pattern in more[0] if isinstance(more[0], list) else more:
                        patterns[expand(pattern)] = jail
    return [("m" if jail in several_lines else "", pattern) for pattern, jail in patterns.items()]


def sample_lines():
    listing = subprocess.run(["dpkg", "-L", "fail2ban"], capture_output=True, text=True).stdout
    for path in listing.splitlines():
        if "/files/logs/" in path and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as log:
                for line in log:
                    if not line.startswith("#") and line.strip():
                        yield line.rstrip("\n") + "\n"


def compiled(flags, pattern):
    try:
        return re.compile(pattern, re.M if flags else 0)
    except re.error:
        return None


def main():
    if not shutil.which("fail2ban-client"):
        skip("fail2ban is not installed")
    patterns = collect()
    lines = list(dict.fromkeys(sample_lines()))
    if not lines:
        skip("the fail2ban package has no sample logs")
    texts = dict.fromkeys(lines)
    texts.update(dict.fromkeys(DATE.sub("", line) for line in lines))
    regexes = [compiled(*pattern) for pattern in patterns]
    contents = {}
    for regex in regexes:
        if regex and "fcontent" in regex.groupindex:
            for text in texts:
                if match := regex.search(text):
                    contents[match["fcontent"]] = None
    texts = list(dict.fromkeys([*texts, *contents]))
    for flags, pattern in patterns:
        print("P", flags or "-", pattern.encode().hex())
    for text in texts:
        print("T", text.encode().hex())
    for number, regex in enumerate(regexes):
        if regex is None:
            print("A", number, 0, "E")
            continue
        for index, text in enumerate(texts):
            if match := regex.search(text):
                spans = []
                for group in range(regex.groups + 1):
                    start, end = match.span(group)
                    where = (len(text[:place].encode()) for place in (start, end))
                    spans.append("-" if start < 0 else ",".join(map(str, where)))
                print("A", number, index, "M", *spans)


main()

"""The installed package's filters and sample logs.

Makes a jail of every filter in every mode and log type in a scratch copy of the package's configuration, asks
`fail2ban-client -d` for the expressions, and puts in place of the tags what Stockade puts there.

Prints `P flags filter hex` (patterns) and `T hex` (texts: sample lines, the same without a date, and what a `prefregex`
takes of them). Prints `skipped: why` if the package is not there.
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

IP4 = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
IP6 = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))"
DNS = r"(?P<dns>[\w\-.^_]*\w)"
CIDR = r"(?P<cidr>\d+)"
ADDRESS = rf"\[?(?:{IP4}|{IP6})\]?"
TAGS = {
    "HOST": rf"(?:{ADDRESS}|{DNS})",
    "ADDR": ADDRESS,
    "IP4": IP4,
    "IP6": IP6,
    "DNS": DNS,
    "CIDR": CIDR,
    "SUBNET": rf"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?",
    "F-ID/": r"(?P<fid>\S+)",
    "F-PORT/": r"(?P<fport>\w+)",
}
NAMES = {"ID": "fid", "PORT": "fport"}
DATE = re.compile(
    r"^(?:\w{3} +\d+ \d\d:\d\d:\d\d(?:\.\d+)?|\[?\d{4}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d\S*|"
    r"\[?\w{3} \w{3} +\d+ \d\d:\d\d:\d\d(?:\.\d+)? \d{4}\]?)"
)


def skip(why):
    print("skipped:", why)
    sys.exit(0)


def variants(text):
    """Modes a filter's file speaks of."""
    if "<mode>" not in text:
        return ["normal"]
    return sorted({"normal"} | set(re.findall(r"^_*\w[\w-]*?-([a-z]+) *=", text, re.M)))


def commands():
    """What the client would send to the server with a jail for each filter, mode and log type."""
    with tempfile.TemporaryDirectory() as scratch:
        config = os.path.join(scratch, "fail2ban")
        shutil.copytree("/etc/fail2ban", config, symlinks=True)
        for name in os.listdir(os.path.join(config, "jail.d")):
            os.remove(os.path.join(config, "jail.d", name))
        jails = ["[DEFAULT]", "enabled = true", "backend = polling", "logpath = /dev/null", "action ="]
        for file in sorted(os.listdir(os.path.join(config, "filter.d"))):
            name, kind = os.path.splitext(file)
            if kind == ".conf" and "common" not in name:
                with open(os.path.join(config, "filter.d", file), encoding="utf-8") as text:
                    modes = variants(text.read())
                for mode in modes:
                    for logtype in ("file", "journal", "short", "rfc5424"):
                        jails += [f"[{name}/{mode}/{logtype}]", f"filter = {name}[mode={mode},logtype={logtype}]"]
        with open(os.path.join(config, "jail.conf"), "w") as out:
            out.write("\n".join(jails) + "\n")
        run = subprocess.run(["fail2ban-client", "-c", config, "-d"], capture_output=True, text=True)
    for line in run.stdout.splitlines():
        if line.startswith("["):
            yield ast.literal_eval(line)


def expand(pattern):
    # Global flags inside a pattern, which Python no longer takes.
    pattern = re.sub(r"(?<!\\)\((?:\?:)?\(\?([a-z]+)\)", r"(?\1:", pattern)
    count = iter(range(99))
    pattern = re.sub("<SKIPLINES>", lambda _: rf"\n(?P<skiplines{next(count)}>(?:(?:.*\n)*?))", pattern)
    pattern = re.sub("<(HOST|ADDR|IP4|IP6|DNS|CIDR|SUBNET|F-ID/|F-PORT/)>", lambda tag: TAGS[tag[1]], pattern)
    pattern = re.sub(r"<F-([A-Z0-9_-]+)>", lambda tag: f"(?P<{NAMES.get(tag[1], tag[1].lower())}>", pattern)
    return re.sub(r"</F-[A-Z0-9_-]+>", ")", pattern)


def collect():
    patterns, several_lines = {}, set()
    for command in commands():
        match command:
            case ["set", jail, "maxlines", count] if int(count) > 1:
                several_lines.add(jail)
            case ["set", jail, "prefregex", pattern]:
                patterns.setdefault(expand(pattern), jail)
            case ["set" | "multi-set", jail, "addfailregex" | "addignoreregex", *more]:
                for pattern in more[0] if isinstance(more[0], list) else more:
                    patterns.setdefault(expand(pattern), jail)
    return [("m" if jail in several_lines else "-", jail, pattern) for pattern, jail in patterns.items()]


def sample_lines():
    listing = subprocess.run(["dpkg", "-L", "fail2ban"], capture_output=True, text=True).stdout
    for path in listing.splitlines():
        if "/files/logs/" in path and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as log:
                for line in log:
                    if not line.startswith("#") and line.strip():
                        yield line.rstrip("\n") + "\n"


def main():
    if not shutil.which("fail2ban-client"):
        skip("fail2ban is not installed")
    patterns = collect()
    lines = list(dict.fromkeys(sample_lines()))
    if not lines:
        skip("the fail2ban package has no sample logs")
    texts = dict.fromkeys(lines)
    texts.update(dict.fromkeys(DATE.sub("", line) for line in lines))
    texts.update(dict.fromkeys(re.sub(r"(?<=audit\()[\d.]+", "", line) for line in lines))
    contents = {}
    for flags, jail, pattern in patterns:
        print("P", flags, jail, pattern.encode().hex())
        if "?P<content>" in pattern:
            regex = re.compile(pattern)
            for text in texts:
                if match := regex.search(text):
                    contents[match["content"]] = None
    for text in [*texts, *(content for content in contents if content not in texts)]:
        print("T", text.encode().hex())


main()

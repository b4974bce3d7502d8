"""Reads the sample logs of the installed fail2ban package and writes what its annotations expect, for tests/samples.rs.

Output is one record per line, fields separated by tabs, text in hex:
  F name options maxlines prefregex datepattern      a filter with a set of options; rules follow
  R failregex | I ignoreregex
  L file number line match time host attempts key=value,...   a line to be given to the filter last named
Filters whose rules cannot be had are reported as  X name options reason.
"""
import ast
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

os.environ["TZ"] = "Europe/Zurich"
time.tzset()


def hexed(text):
    return text.encode("utf-8", "surrogateescape").hex() or "-"


def package(kind):
    out = subprocess.run(["dpkg", "-L", "fail2ban"], capture_output=True, text=True).stdout.split("\n")
    return [path for path in out if kind in path]


def read(path, default):
    """Yields (file, number, line, option sets, annotation) in the order of the file."""
    options, annotation, base = default, None, {}
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            found = re.match(r"#\s*(failJSON|filterOptions|fileOptions|addFILE)\s*:\s*(.+)$", line)
            if found:
                value = json.loads(found[2])
                if found[1] == "failJSON":
                    annotation = value
                elif found[1] == "fileOptions":
                    base = value
                    options = [dict(base)]
                elif found[1] == "filterOptions":
                    options = [dict(base, **one) for one in (value if isinstance(value, list) else [value])]
                elif found[1] == "addFILE":
                    yield from read(os.path.join(os.path.dirname(path), value), options)
                continue
            if line.startswith("#") or not line.strip():
                continue
            yield path, number, line, options, annotation or {}
            annotation = None


def main():
    logs = [path for path in package("/tests/files/logs/") if os.path.isfile(path)]
    # The package brings two filters for tests only, which expect the stock ones elsewhere.
    filters = {os.path.basename(path)[:-5]: path for kind in ("/tests/config/filter.d/zzz-", "/etc/fail2ban/filter.d/")
               for path in package(kind) if path.endswith(".conf")}
    runs, order = {}, []  # (filter, options as json) -> lines
    for path in logs:
        name = os.path.basename(path)
        if name not in filters:
            continue
        for file, number, line, options, want in read(path, [{}]):
            for option in options:
                if option.get("test.condition") and not eval(option["test.condition"], {"name": name, "opts": option}):
                    continue
                if want.get("constraint") and not eval(want["constraint"], {"name": name, "opts": option}):
                    continue
                key = (name, json.dumps(option, sort_keys=True))
                if key not in runs:
                    runs[key] = []
                    order.append(key)
                runs[key].append((file, number, option.get("test.prefix-line", "") + line, want))
    scratch = tempfile.mkdtemp()
    try:
        os.mkdir(os.path.join(scratch, "filter.d"))
        for name, path in filters.items():
            with open(path) as file, open(os.path.join(scratch, "filter.d", name + ".conf"), "w") as copy:
                copy.write(re.sub(r"(\.\./)+config/filter\.d/", "", file.read()))
        for part in ("action.d", "paths-common.conf", "paths-debian.conf", "fail2ban.conf"):
            if os.path.exists("/etc/fail2ban/" + part):
                os.symlink("/etc/fail2ban/" + part, os.path.join(scratch, part))
        with open(os.path.join(scratch, "jail.conf"), "w") as jails:
            for index, (name, option) in enumerate(order):
                given = {k: v for k, v in json.loads(option).items() if not k.startswith("test.")}
                text = ",".join('%s="%s"' % item for item in given.items())
                jails.write("[j%d]\nenabled = true\nbackend = polling\nlogpath = /dev/null\nfilter = %s%s\n"
                            % (index, name, "[%s]" % text if text else ""))
        dump = subprocess.run(["fail2ban-client", "-c", scratch, "-d"], capture_output=True, text=True)
        rules = {}
        for line in dump.stdout.split("\n"):
            if not line.startswith("['"):
                continue
            words = ast.literal_eval(line)
            if words[0] in ("set", "multi-set"):
                rules.setdefault(words[1], []).append(words[2:])
    finally:
        shutil.rmtree(scratch)
    for index, (name, option) in enumerate(order):
        commands = rules.get("j%d" % index)
        if not commands:
            print("\t".join(["X", name, hexed(option), hexed(dump.stderr[-300:])]))
            continue
        pick = lambda key: next((words[1] for words in commands if words[0] == key), None)
        print("\t".join(["F", name, hexed(option), str(pick("maxlines") or 1), hexed(pick("prefregex") or ""),
                         hexed(pick("datepattern") or "")]))
        for words in commands:
            values = words[1] if len(words) > 1 and isinstance(words[1], list) else words[1:]
            letter = {"addfailregex": "R", "addignoreregex": "I"}.get(words[0])
            if letter:
                for rule in values:
                    print(letter + "\t" + hexed(rule))
        for file, number, line, want in runs[(name, option)]:
            when = want.get("time")
            stamp = str(int(time.mktime(time.strptime(when[:19], "%Y-%m-%dT%H:%M:%S")))) if when else "-"
            more = []
            for key, value in want.items():
                if key in ("match", "time", "host", "desc", "attempts", "constraint"):
                    continue
                if key == "users":
                    value = ", ".join(sorted(str(user) for user in value))
                more.append("%s=%s" % (key, hexed(str(value))))
            print("\t".join(["L", os.path.basename(file), str(number), hexed(line), str(int(bool(want.get("match")))),
                             stamp, hexed(str(want.get("host") or "")), str(want.get("attempts", 0)),
                             ",".join(more) or "-"]))


main()

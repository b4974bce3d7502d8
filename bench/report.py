#!/usr/bin/env python3
"""Makes docs/PERFORMANCE.md and the pictures beside it of bench/results.jsonl (the latest run of each part).

  bench/report.py            writes them
  bench/report.py --check    says whether they are current
"""
import json, os, statistics, sys

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "..", "docs")


def latest():
    """The figures of the last run of each part, by kind."""
    part, kinds, order = None, {}, {}
    with open(os.path.join(HERE, "results.jsonl")) as file:
        for line in file:
            figures = json.loads(line)
            if figures["part"] == "run":
                part = figures["parts"][0]
                kinds[part] = {"run": figures, "rows": []}
            else:
                kinds[part]["rows"].append(figures)
    return kinds


def rows(kinds, part, **wanted):
    found = kinds.get(part, {"rows": []})["rows"]
    return [row for row in found if all(row.get(name) == value for name, value in wanted.items())]


def number(value):
    if value is None:
        return "–"
    for unit, size in ((" M", 1e6), (" k", 1e3)):
        if abs(value) >= size * 9.995 / (10 if unit == " M" else 1):
            return "%.3g%s" % (value / size, unit)
    return "%.3g" % value


def milliseconds(seconds):
    return "–" if seconds is None else "%.3g s" % seconds if seconds >= 1 else "%.3g ms" % (seconds * 1e3)


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def line(what, theirs, ours, show, better, aim):
    """One row; `better` is 'more' or 'less'."""
    ratio = "–"
    if theirs and ours:
        ratio = "%.3g" % (ours / theirs if better == "more" else theirs / ours)
    return "| %s | %s | %s | %s | %s |" % (what, show(theirs) if theirs is not None else "–", show(ours) if ours is not None else "–", ratio, aim)


TITLES = {"sshd": "sshd log", "asterisk": "Asterisk full log", "nginx-error": "nginx error log", "nginx-access": "nginx access log", "postfix": "mail log, postfix", "ten": "30 jails on ten logs"}
AIMS = {("sshd", .01): "20 M", ("sshd", .2): "5 M", ("sshd", .9): "1.5 M", ("asterisk", .01): "20 M", ("asterisk", .2): "5 M", ("nginx-error", .01): "10 M", ("nginx-access", .01): "10 M", ("postfix", .01): "10 M"}


def table(title, lines):
    return ["", "## " + title, "", "| figure | Fail2Ban | Stockade | times | aim |", "|---|---|---|---|---|"] + lines


def one(kinds, part, field, program, pick=median, **wanted):
    return pick([row.get(field) for row in rows(kinds, part, program=program, **wanted)])


def both(kinds, part, field, **wanted):
    return [one(kinds, part, field, program, **wanted) for program in ("fail2ban", "stockade")]


def document(kinds):
    out = []
    if "scan" in kinds:
        lines = []
        for row in rows(kinds, "scan", program="stockade"):
            form, share = row["form"], row["share"]
            lines.append(line("%s, %d %% failing" % (TITLES[form], round(share * 100)), *both(kinds, "scan", "per_cpu_second", form=form, share=share), number, "more", AIMS[form, share]))
        out += table("`fail2ban-regex`: lines per processor second, start-up taken off", lines)
    if "grep" in kinds:
        out += ["", "Beside `rg -c` with the words of a failing line, 1 % failing (processor seconds):", "", "| log | lines | `rg -c` | `fail2ban-regex` | times |", "|---|---|---|---|---|"]
        for row in rows(kinds, "grep"):
            out.append("| %s | %s | %s | %s | %.2g |" % (TITLES[row["form"]], number(row["lines"]), milliseconds(row["cpu_rg"]), milliseconds(row["cpu_stockade"]), row["cpu_stockade"] / row["cpu_rg"]))
    if "daemon" in kinds:
        lines = []
        for row in rows(kinds, "daemon", program="stockade"):
            lines.append(line("%s, %d %% failing" % (TITLES[row["logs"]], round(row["share"] * 100)), *both(kinds, "daemon", "per_cpu_second", logs=row["logs"], share=row["share"]), number, "more", "2 M"))
        out += table("The server catching up: lines per processor second", lines)
    if "start" in kinds:
        lines = []
        for name in dict.fromkeys(row["filter"] for row in rows(kinds, "start", program="stockade")):
            what = "`fail2ban-client " + name.replace("-d,", "-d`,") if name.startswith("-d") else "`fail2ban-regex` on one line, filter %s" % name
            lines.append(line(what, *both(kinds, "start", "cpu", filter=name), milliseconds, "less", "10 ms"))
        out += table("Starting: processor time", lines)
    if "client" in kinds:
        lines = [line("`fail2ban-client %s`, waiting, 30 jails" % command, *[value and value / 1e3 for value in both(kinds, "client", "ms_p50", cmd=command)], milliseconds, "less", "50 times")
                 for command in ("ping", "status", "status sshd")]
        out += table("The client: process start to end, median", lines)
    if "jails" in kinds:
        lines = []
        for jails in (1, 30):
            named = "%d jail%s" % (jails, "s" if jails > 1 else "")
            lines.append(line("start, %s: waiting" % named, *both(kinds, "jails", "wall", what="client-start", jails=jails), milliseconds, "less", "50 times"))
            lines.append(line("start, %s: processor time of the server" % named, *both(kinds, "jails", "cpu_server", what="client-start", jails=jails), milliseconds, "less", "–"))
            lines.append(line("reload, %s: waiting" % named, *both(kinds, "jails", "wall", what="reload", jails=jails), milliseconds, "less", "50 times"))
            lines.append(line("stop, %s: waiting" % named, *both(kinds, "stop", "wall", jails=jails), milliseconds, "less", "–"))
            lines.append(line("idle, %s: resident memory" % named, *both(kinds, "jails", "rss_mb", what="idle", jails=jails), lambda mb: "%.3g MB" % mb, "less", "6 MB" if jails == 1 else "10 MB"))
            lines.append(line("idle, %s: processor time" % named, *both(kinds, "jails", "cpu_pct", what="idle", jails=jails), lambda part: "%.2g %%" % part, "less", "0.01 %"))
        out += table("Start, reload, stop, idle", lines)
    if "memory" in kinds:
        lines = [line("memory per address that failed once", *both(kinds, "memory", "bytes_per_addr"), lambda size: "%.4g bytes" % size, "less", "120 bytes"),
                 line("live lines per processor second, one in five naming a new address that fails", *both(kinds, "memory", "lines_per_cpu_s"), number, "more", "–")]
        out += table("Memory under a flood of addresses", lines)
    if "latency" in kinds:
        lines = []
        for action, aims in (("nftables-multiport", ("1 ms", "5 ms")), ("iptables-multiport", ("5 ms", "20 ms"))):
            for field, name, aim in (("ms_p50", "median", aims[0]), ("ms_p99", "99 of 100", aims[1])):
                lines.append(line("%s, %s" % (action, name), *[value and value / 1e3 for value in both(kinds, "latency", field, action=action)], milliseconds, "less", aim))
        out += table("From the line to the kernel", lines)
    if "rate" in kinds:
        lines = []
        for action, aim in (("nftables-multiport", "20 k"), ("iptables-multiport", "2 k")):
            theirs, ours = both(kinds, "rate", "n", action=action)
            lines.append(line("%s: bans a second (%s and %s attackers at once)" % (action, number(theirs), number(ours)), *both(kinds, "rate", "per_s", action=action), number, "more", aim))
        out += table("Many attackers at once", lines)
    if "restart" in kinds:
        rows_of = {row["program"]: row for row in rows(kinds, "restart", what="restart")}
        lines = []
        for program, row in rows_of.items():
            name = "Fail2Ban" if program == "fail2ban" else "Stockade"
            lines.append("| %s, %s bans | %s | %s |" % (
                name, format(row["n"], ","), milliseconds(one(kinds, "restart", "wall", program, what="restart")), milliseconds(one(kinds, "restart", "stop_wall", program, what="restart"))))
        out += ["", "## Restart with many bans, nftables-multiport", "", "| | restart until all are in the kernel | stop |", "|---|---|---|"] + lines + ["", "The aim is 1 s for each with 50,000 bans."]
    return out


# ---------------------------------------------------------------- the pictures
def curve(points, title, across, up):
    """A line through points on doubled axes, as SVG; a straight rise of one to one is cost in proportion."""
    from math import log2
    width, height, left, low = 360, 220, 56, 40
    xs, ys = [log2(x) for x, _ in points], [log2(max(y, 1e-6)) for _, y in points]
    x0, y0 = min(xs), min(ys)
    span = max(max(xs) - x0, max(ys) - y0, 1) * 1.08
    place = lambda x, y: (left + (x - x0) / span * (width - left - 16), height - low - (y - y0) / span * (height - low - 36))
    places = [place(x, y) for x, y in zip(xs, ys)]
    path = " ".join("%.1f,%.1f" % at for at in places)
    end = place(x0 + span, y0 + span)
    start = place(x0, y0)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">' % (width, height),
             '<rect width="100%" height="100%" fill="#fff"/>', '<text x="%d" y="18" font-size="13">%s</text>' % (left, title),
             '<path d="M%.1f %.1fV%.1fH%.1f" fill="none" stroke="#888"/>' % (left, 28, height - low, width - 12),
             '<path d="M%.1f %.1fL%.1f %.1f" stroke="#ccc" stroke-dasharray="4 4"/>' % (*start, *end),
             '<polyline points="%s" fill="none" stroke="#1a5fb4" stroke-width="2"/>' % path]
    for (x, y), (n, value) in zip(places, points):
        parts.append('<circle cx="%.1f" cy="%.1f" r="3" fill="#1a5fb4"/>' % (x, y))
        parts.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x, height - low + 14, number(n).replace(" ", "")))
    parts.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (left - 6, places[0][1] + 4, up(points[0][1])))
    parts.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (left - 6, places[-1][1] + 4, up(points[-1][1])))
    parts.append('<text x="%d" y="%d" text-anchor="middle">%s (dashed: in proportion)</text></svg>' % ((left + width) / 2, height - 6, across))
    return "\n".join(parts) + "\n"


def pictures(kinds):
    made = {}
    for what, across, field, show in (("lines", "lines", "cpu", milliseconds), ("rules", "rules of one filter", "cpu", milliseconds), ("jails on one log", "jails on one log", "cpu", milliseconds),
                                      ("addresses", "addresses that failed once", "rss_mb", lambda mb: "%.3g MB" % mb)):
        points = [(row["n"], row[field]) for row in rows(kinds, "growth", what=what)]
        if points:
            made["growth-%s.svg" % what.split()[0]] = curve(points, ("memory" if field == "rss_mb" else "processor time") + " by " + across, across, show)
    return made


def main():
    kinds = latest()
    runs = [kind["run"] for kind in kinds.values()]
    days = sorted({run["at"] for run in runs})
    loads = [row["load"] for kind in kinds.values() for row in kind["rows"]]
    with open(os.path.join(HERE, "performance.md")) as file:
        frame = file.read()
    head = "Measured %s, Stockade %s beside Fail2Ban %s, in turn on the same machine (2 cores); the load was %.1f to %.1f." % (
        " and ".join(days), runs[-1]["stockade"], runs[-1]["fail2ban"], min(loads), max(loads))
    files = {"performance/" + name: text for name, text in pictures(kinds).items()}
    plots = "\n".join("![%s](%s)" % (name[len("performance/growth-"):-4], name) for name in files)
    text = frame.replace("@HEAD@", head).replace("@TABLES@", "\n".join(document(kinds)).strip()).replace("@PLOTS@", plots)
    files["PERFORMANCE.md"] = text
    stale = []
    for name, text in files.items():
        path = os.path.join(DOCS, name)
        if os.path.exists(path) and open(path).read() == text:
            continue
        stale.append("docs/" + name)
        if "--check" not in sys.argv:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
    if "--check" in sys.argv and stale:
        sys.exit("not current: %s; run bench/report.py" % ", ".join(stale))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures Stockade beside Fail2Ban, in turn, in one run: what `docs/PERFORMANCE.md` shows.

  bench/figures.py BINARY [PART...]      parts: scan grep start daemon client jails memory latency rate restart growth stop
  bench/figures.py --list

BINARY is a release build of `stockade`. Needs root (network namespaces), an installed fail2ban, nftables, iptables and ripgrep, and the
harness beside the repository (`../shared/bench`, or $STOCKADE_SHARED/bench). Every figure is appended to `bench/results.jsonl`
as one JSON object; `bench/report.py` makes the document of it. The machine should have nothing else to do: processor seconds (children
included) bear some load, waiting times do not.
"""
import glob, importlib.util, json, os, shutil, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("STOCKADE_SHARED", os.path.join(HERE, "..", "..", "shared"))
HARNESS = os.path.join(SHARED, "bench")
RESULTS = os.path.join(HERE, "results.jsonl")
WORK = os.environ.setdefault("F2B_WORK", "/var/tmp/stockade-bench")
STOCK = "/etc/fail2ban"

# Fail2Ban is given what takes it some seconds, Stockade a hundred times that: both are far above the tick of the clock.
SCANS = [("sshd", .01), ("sshd", .2), ("sshd", .9), ("asterisk", .01), ("asterisk", .2), ("nginx-error", .01), ("nginx-access", .01), ("postfix", .01)]
LINES = {"fail2ban": 20_000, "stockade": 2_000_000}


def harness():
    """The shared parts of the harness, in a network namespace of our own."""
    spec = importlib.util.spec_from_file_location("f2blib", os.path.join(HARNESS, "f2blib.py"))
    lib = importlib.util.module_from_spec(spec)
    sys.modules["f2blib"] = lib
    spec.loader.exec_module(lib)
    return lib


def programs(binary):
    """A folder with the three names, as the harness wants it."""
    names = os.path.join(WORK, "stockade")
    os.makedirs(names, exist_ok=True)
    for name in ("client", "server", "regex"):
        link = os.path.join(names, "fail2ban-" + name)
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(os.path.abspath(binary), link)
    os.environ["F2B_PROGS"] = "fail2ban=/usr:%s stockade=%s:%s" % (STOCK, names, STOCK)


def keep(part, **figures):
    figures = {"part": part, "load": round(os.getloadavg()[0], 2), **figures}
    with open(RESULTS, "a") as file:
        file.write(json.dumps(figures) + "\n")
    print(" ".join("%s=%s" % (name, "%.4g" % value if isinstance(value, float) else value) for name, value in figures.items()), flush=True)


def log_of(lib, form, share, lines):
    log, truth = lib.corpus("figures-%s-%g-%d" % (form, share, lines), "--format", form, "--lines", lines, "--share", share,
                            "--attackers", max(10, min(1000, int(lines * share / 100))))
    return log, truth


def one_line(lib, log):
    path = log + ".one"
    with open(log) as file, open(path, "w") as one:
        one.write(file.readline())
    return path


def regex_cpu(lib, program, log, name, runs=3):
    """Processor seconds of `fail2ban-regex`, start-up taken off; waiting time; largest memory."""
    argv = lambda path: [program.exe("regex"), "--usedns=no", path, os.path.join(STOCK, "filter.d", name + ".conf")]
    empty = min(lib.run_timed(argv(one_line(lib, log)), env=program.env)["cpu"] for _ in range(runs))
    whole = [lib.run_timed(argv(log), env=program.env) for _ in range(runs)]
    best = min(whole, key=lambda run: run["cpu"])
    return max(best["cpu"] - empty, 1e-4), min(run["wall"] for run in whole), max(run["rss_mb"] for run in whole)


def scan(lib):
    for form, share in SCANS:
        for program in lib.progs():
            lines = LINES[program.name]
            log, truth = log_of(lib, form, share, lines)
            cpu, wall, rss = regex_cpu(lib, program, log, truth["filter"])
            keep("scan", program=program.name, form=form, share=share, lines=lines, bytes=truth["bytes"], cpu=cpu, wall=wall, per_cpu_second=lines / cpu, peak_mb=rss)


def grep(lib):
    """`fail2ban-regex` beside a plain search for the same words: the words that a failing line of each log has."""
    words = {"sshd": ["Failed password", "Invalid user"], "asterisk": ["failed for", "rejected", "InvalidPassword"],
             "nginx-error": ["password mismatch", "was not found in"], "postfix": ["reject: "]}
    program = next(p for p in lib.progs() if p.name == "stockade")
    for form, found in words.items():
        log, truth = log_of(lib, form, .01, LINES["stockade"])
        ours, _, _ = regex_cpu(lib, program, log, truth["filter"])
        argv = ["rg", "-c", "-a"] + [word for each in found for word in ("-e", each)] + ["-F", log]
        rg = min(lib.run_timed(argv)["cpu"] for _ in range(3))
        keep("grep", form=form, lines=truth["lines"], cpu_stockade=ours, cpu_rg=rg)


def start(lib):
    line = "Nov 22 13:40:04 host sshd[1]: Failed password for root from 192.0.2.7 port 4711 ssh2"
    for program in lib.progs():
        for name in ("sshd", "asterisk", "postfix"):
            runs = [lib.run_timed([program.exe("regex"), "--usedns=no", line, os.path.join(STOCK, "filter.d", name + ".conf")], env=program.env) for _ in range(7)]
            keep("start", program=program.name, filter=name, cpu=min(run["cpu"] for run in runs), wall=statistics.median(run["wall"] for run in runs))
        runs = [lib.run_timed([program.exe("client"), "-c", STOCK, "-d"], env=program.env) for _ in range(7)]
        keep("start", program=program.name, filter="-d, stock configuration", cpu=min(run["cpu"] for run in runs), wall=statistics.median(run["wall"] for run in runs))
        runs = [lib.run_timed([program.exe("client"), "-c", all_jails(lib), "-d"], env=program.env) for _ in range(7)]
        keep("start", program=program.name, filter="-d, all jails enabled", cpu=min(run["cpu"] for run in runs), wall=statistics.median(run["wall"] for run in runs))


def all_jails(lib):
    """The stock configuration with every jail enabled, and a log that every jail may name."""
    folder = os.path.join(WORK, "all-jails")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(STOCK, folder)
    log = os.path.join(folder, "empty.log")
    open(log, "w").close()
    names = []
    with open(os.path.join(folder, "jail.conf")) as file:
        names = [line.strip()[1:-1] for line in file if line.startswith("[") and line.strip() not in ("[INCLUDES]", "[DEFAULT]")]
    with open(os.path.join(folder, "jail.local"), "w") as file:
        for name in names:
            file.write("[%s]\nenabled = true\nlogpath = %s\n" % (name, log))
    return folder


def banned_addresses(server):
    with open(server.dummy) as file:
        return set(file.read().split())


def caught_up(lib, program, jails, last, limit=300):
    """Processor seconds and waiting time from the start of a server until all of `last`, the last failures of the logs, are banned."""
    server = lib.Server(program, jails, "dummy", maxretry=5, findtime=7200, bantime=86400, tag="figures")
    server.start(wait=False)
    times = [lib.wait_file_line(server.dummy, one, limit, step=.005) for one in last]
    at = max(times) if all(times) else None
    cpu, memory = server.cpu(), lib.mem_of(server.pid)
    wall = at - server.t0 if at else None
    banned = banned_addresses(server)
    server.stop(60)
    server.cleanup()
    return cpu, wall, memory["VmRSS"] / 1024, banned


def daemon(lib):
    """A server that starts on logs within findtime, and is to catch up: one log, and ten logs with thirty jails."""
    # The last failure of each log.
    last = ["198.51.100.%d" % (77 + number) for number in range(10)]
    sets = [("sshd", .2, 1, {"fail2ban": 20_000, "stockade": 1_000_000}), ("asterisk", .2, 1, {"fail2ban": 20_000, "stockade": 1_000_000}),
            ("sshd", .01, 1, {"fail2ban": 20_000, "stockade": 1_000_000}), ("ten", .01, 30, {"fail2ban": 40_000, "stockade": 1_000_000})]
    forms = ["sshd", "asterisk", "nginx-error", "nginx-access", "postfix"]
    for form, share, count, lines in sets:
        for program in lib.progs():
            figures = []
            wanted = [form] if count == 1 else forms * 2
            for n in (1000 * len(wanted), lines[program.name]):
                logs = []
                for number, one in enumerate(wanted):
                    name = "daemon-%d-%s-%d" % (os.getpid(), one, number)
                    for old in glob.glob(os.path.join(WORK, "corpus", name + ".*")):
                        os.unlink(old)
                    each = n // len(wanted)
                    logs.append(lib.corpus(name, "--format", one, "--lines", each, "--share", share, "--attackers", max(1, min(200, int(each * share / 10))), "--end", "now",
                                           "--span", 3600, "--findtime", 900, "--maxretry", 5, "--seed", number + 1, "--sentinel", last[number]))
                if count == 1:
                    jails = [("bench", logs[0][1]["filter"], logs[0][0])]
                else:
                    # Three jails a log: its own filter and two that find nothing in it.
                    others = [name for name in lib.STOCK if os.path.exists(os.path.join(STOCK, "filter.d", name + ".conf"))]
                    others = [name for name in others if name not in ("sshd", "asterisk", "postfix", "nginx-http-auth", "nginx-botsearch", "apache-fakegooglebot")]
                    jails = []
                    for number, (log, truth) in enumerate(logs):
                        jails.append(("own-%d" % number, truth["filter"], log))
                        jails += [("%s-%d" % (name, number), name, log) for name in (others[2 * number % len(others)], others[(2 * number + 1) % len(others)])]
                cpu, wall, rss, banned = caught_up(lib, program, jails, last[:len(wanted)])
                must = {address for _, truth in logs for address in truth["must_ban"]}
                figures.append((sum(truth["lines"] for _, truth in logs), cpu, wall, rss, len(must - banned)))
                for log, _ in logs:
                    for old in glob.glob(log[:-4] + ".*"):
                        os.unlink(old)
            (n0, c0, w0, _, _), (n1, c1, w1, rss, missed) = figures
            per = (n1 - n0) / max(c1 - c0, .01)
            keep("daemon", program=program.name, logs=form, jails=count, share=share, lines=n1, cpu=c1 - c0, wall=w1 and w1 - (w0 or 0), per_cpu_second=per, rss_mb=rss, missed=missed)


def from_harness(script, *arguments):
    """Runs a script of the harness and takes over the figures it writes."""
    def run(lib):
        results = os.path.join(WORK, "results")
        shutil.rmtree(results, ignore_errors=True)
        subprocess.run([sys.executable, os.path.join(HARNESS, script), *map(str, arguments)], check=False)
        for path in sorted(glob.glob(os.path.join(results, "*.jsonl"))):
            with open(path) as file:
                for line in file:
                    figures = json.loads(line)
                    figures["program"] = figures.pop("prog", None)
                    keep(os.path.basename(path)[:-6], **{k: v for k, v in figures.items() if k not in ("load1", "at")})
    return run


def several(*runs):
    def run(lib):
        for one in runs:
            one(lib)
    return run


def only(name, run):
    """For what takes the other program minutes to hours."""
    def limited(lib):
        os.environ["F2B_ONLY"] = name
        run(lib)
        del os.environ["F2B_ONLY"]
    return limited


def growth(lib):
    """How cost grows: lines, jails, rules and addresses, doubled."""
    ours = next(p for p in lib.progs() if p.name == "stockade")
    for lines in (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000):
        log, truth = log_of(lib, "sshd", .2, lines)
        keep("growth", what="lines", n=lines, cpu=regex_cpu(lib, ours, log, "sshd")[0])
    log, truth = log_of(lib, "sshd", .2, 500_000)
    patterns = [r"^\s*srv01 sshd\[\d+\]: Failed password for root from <HOST> port %d ssh2$"]
    for rules in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        name = os.path.join(WORK, "rules-%d.conf" % rules)
        with open(name, "w") as file:
            file.write("[Definition]\nfailregex = " + "\n            ".join(patterns[0] % (1024 + 7 * n) for n in range(rules)) + "\n")
        runs = [lib.run_timed([ours.exe("regex"), "--usedns=no", log, name], env=ours.env)["cpu"] for _ in range(3)]
        keep("growth", what="rules", n=rules, cpu=min(runs))
    names = [name for name in lib.STOCK if os.path.exists(os.path.join(STOCK, "filter.d", name + ".conf")) and name not in ("sshd", "apache-fakegooglebot")]
    last = "198.51.100.77"
    for jails in (1, 2, 4, 8, 16, 32):
        path = "growth-%d" % os.getpid()
        for old in glob.glob(os.path.join(WORK, "corpus", path + ".*")):
            os.unlink(old)
        log, truth = lib.corpus(path, "--format", "sshd", "--lines", 500_000, "--share", .01, "--attackers", 100, "--end", "now", "--span", 3600,
                                "--findtime", 900, "--maxretry", 5, "--sentinel", last)
        cpu, wall, rss, _ = caught_up(lib, ours, [("own", "sshd", log)] + [(name, name, log) for name in names[:jails - 1]], [last])
        keep("growth", what="jails on one log", n=jails, cpu=cpu, rss_mb=rss)
    for addresses in (25_000, 50_000, 100_000, 200_000):
        path = "growth-%d" % os.getpid()
        for old in glob.glob(os.path.join(WORK, "corpus", path + ".*")):
            os.unlink(old)
        log, truth = lib.corpus(path, "--format", "sshd", "--lines", addresses * 2, "--per", 1, "--attackers", addresses, "--end", "now", "--span", 3600,
                                "--findtime", 86400, "--sentinel", last)
        cpu, wall, rss, _ = caught_up(lib, ours, [("own", "sshd", log)], [last])
        keep("growth", what="addresses", n=addresses, cpu=cpu, rss_mb=rss)


def stop(lib):
    """`fail2ban-client start` and `stop`, until each returns. When the process is gone after a stop is another matter: who reaps it is not its parent."""
    for jails in (1, 30):
        for _ in range(10):
            for program in lib.progs():
                logs = os.path.join(WORK, "stop-logs")
                os.makedirs(logs, exist_ok=True)
                named = [(name, name, os.path.join(logs, name + ".log")) for name in lib.STOCK[:jails]]
                for _, _, log in named:
                    open(log, "w").close()
                server = lib.Server(program, named, "nftables-multiport", tag="stop")
                client = lambda word: lib.run_timed([program.exe("client")] + server.args() + [word], env=program.env)
                begun = client("start")
                time.sleep(1)
                ended = client("stop")
                left = [path for path in (server.sock, server.pidfile) if os.path.exists(path)]
                keep("stop", program=program.name, jails=jails, start=begun["wall"], wall=ended["wall"], left=left)
                server.cleanup()


PARTS = {
    "scan": scan, "grep": grep, "start": start, "daemon": daemon,
    "client": from_harness("b7_client.py", 100, 30, 1000),
    "jails": from_harness("b6_jails.py", 2, 30, "auto"),
    "memory": several(only("fail2ban", from_harness("b8_memory.py", 1, 100_000, 20_000, "auto")), only("stockade", from_harness("b8_memory.py", 1, 1_000_000, 200_000, "auto"))),
    "latency": from_harness("b3_latency.py", "auto", "nftables-multiport,iptables-multiport", 40),
    "rate": several(only("fail2ban", from_harness("b4_rate.py", "nftables-multiport,iptables-multiport", 500, 1)), only("stockade", from_harness("b4_rate.py", "nftables-multiport,iptables-multiport", 10_000, 2))),
    "restart": several(only("fail2ban", from_harness("b5_restart.py", 1000, 1)), only("stockade", from_harness("b5_restart.py", 50_000, 2))),
    "growth": growth,
    "stop": stop,
}


def main():
    if sys.argv[1:] in ([], ["--list"], ["--help"]):
        sys.exit(__doc__.strip() + "\n\nparts: " + " ".join(PARTS))
    binary, parts = sys.argv[1], sys.argv[2:] or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit("no such part: %s (there are: %s)" % (" ".join(unknown), " ".join(PARTS)))
    if not os.path.exists(os.path.join(HARNESS, "f2blib.py")):
        sys.exit("the harness is not at %s: name the folder that holds bench/ in $STOCKADE_SHARED" % HARNESS)
    programs(binary)
    lib = harness()
    lib.enter_netns()
    for part in parts:
        keep("run", parts=[part], at=time.strftime("%Y-%m-%d"), stockade=lib.progs()[1].version(), fail2ban=lib.progs()[0].version())
        PARTS[part](lib)


if __name__ == "__main__":
    main()

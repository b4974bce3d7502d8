#!/usr/bin/env python3
"""Finds which functions a server that starts and bans needs, and writes them to `crates/stockade/order.ld`, by which the linker lays them together.

  bench/order.py BINARY            watches a release build at work, and writes the file; build again afterwards
  bench/order.py --look BINARY     says how much of what a server needs lies together in this build
  bench/order.py --check           whether the file was made for the toolchain in use (part of `cargo xtask test`)

Why: the kernel maps a program's file in pieces of 64 KB, and a server needs a third of its functions. Where these are scattered, all pieces
are mapped, and all stay in memory. Needs root (a network namespace), valgrind, nftables, iptables and the configuration of an installed Fail2Ban;
about a minute.

The linker takes a function by its name, without the hash behind it, so that the file outlives changes of the code, of options and of versions:
what is renamed or new lies with the rest, which costs memory and nothing else. Where many functions have one name (copies of a generic one for
other types), those that are needed are named with their hash first, and the others follow.
"""
import os, re, shutil, signal, subprocess, sys, tempfile, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
FILE = os.path.join(ROOT, "crates/stockade/order.ld")
LINE = "%s host sshd[1]: Failed password for root from 192.0.2.7 port 4711 ssh2\n"
HASH = re.compile(r"17h[0-9a-f]{16}E.*$")
# Copies of a function that are not needed may take so many bytes before those that are needed are told from them.
COPIES_LIMIT_BYTES = 1500

JAILS = """[DEFAULT]
usedns = no
[sshd]
enabled = true
logpath = {folder}/one.log
backend = auto
[commands]
enabled = true
filter = sshd
logpath = {folder}/two.log
backend = auto
banaction = {commands}
"""


def toolchain():
    with open(os.path.join(ROOT, "rust-toolchain.toml")) as file:
        return re.search(r'channel = "([^"]+)"', file.read()).group(1)


class Scenes:
    """What programs do all day, each under callgrind; gives the names of the functions that ran."""

    def __init__(self, binary):
        self.binary = os.path.abspath(binary)
        self.folder = tempfile.mkdtemp(prefix="stockade-order-")
        self.number = 0

    def configure(self, stock, commands):
        """The built-in configuration, or Fail2Ban's."""
        shutil.rmtree(self.path("conf"), ignore_errors=True)
        if stock:
            shutil.copytree("/etc/fail2ban", self.path("conf"))
            shutil.rmtree(self.path("conf/jail.d"), ignore_errors=True)
        else:
            os.mkdir(self.path("conf"))
        for name in ("one.log", "two.log"):
            open(self.path(name), "w").close()
        with open(self.path("conf/jail.local"), "w") as file:
            file.write(JAILS.format(folder=self.folder, commands=commands))
        with open(self.path("conf/fail2ban.local"), "w") as file:
            file.write("[Definition]\nlogtarget = %s\ndbfile = %s\n" % (self.path("server.log"), self.path("db")))

    def path(self, name):
        return os.path.join(self.folder, name)

    def watched(self, *words):
        """The command line that runs it under callgrind, and the file that is written."""
        self.number += 1
        out = self.path("calls.%d" % self.number)
        return ["valgrind", "--tool=callgrind", "--demangle=no", "--callgrind-out-file=" + out, self.binary, *words], out

    def options(self):
        return ["-c", self.path("conf"), "-s", self.path("socket"), "-p", self.path("pid")]

    def servers(self):
        """Servers that start, ban, read their configuration again, lift a ban and stop."""
        out = []
        for stock, commands in ((True, "nftables-multiport"), (False, "iptables-multiport")):
            self.configure(stock, commands)
            out += self.server()
        return out

    def server(self):
        command, out = self.watched("server", *self.options(), "-x", "-f", "start")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                self.until(lambda: self.ask("ping") is not None)
                for name in ("one", "two"):
                    with open(self.path(name + ".log"), "a") as log:
                        log.write(LINE % time.strftime("%b %d %H:%M:%S") * 6)
                for jail in ("sshd", "commands"):
                    self.until(lambda: "192.0.2.7" in (self.ask("status", jail) or ""))
                # The kernel is asked every 10 s, and places in logs are stored as often.
                time.sleep(11)
                for words in (["status"], ["banned"], ["reload"], ["set", "sshd", "unbanip", "192.0.2.7"], ["get", "sshd", "bantime"], ["stop"]):
                    if self.ask(*words) is None:
                        sys.exit("the server refused: " + " ".join(words))
            finally:
                try:
                    server.wait(60)
                except subprocess.TimeoutExpired:
                    server.send_signal(signal.SIGKILL)
        return ran(out)

    def ask(self, *words):
        run = subprocess.run([self.binary, "client", *self.options(), *words], capture_output=True, text=True)
        return run.stdout if run.returncode == 0 else None

    @staticmethod
    def until(holds):
        end = time.monotonic() + 120
        while not holds():
            if time.monotonic() > end:
                sys.exit("the server does not do what it is to do")
            time.sleep(.1)

    def programs(self):
        """Commands that need no server to show what they do."""
        line = (LINE % "Nov 22 13:40:04").strip()
        out = []
        for words in (["client", *self.options(), "ping"], ["client", *self.options(), "status", "sshd"], ["client", *self.options(), "-d"],
                      ["client", *self.options(), "-t"], ["client", "-V"], ["regex", line, "sshd"], ["client", *self.options(), "start"]):
            command, calls = self.watched(*words)
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            out += ran(calls)
        self.ask("stop")
        return list(dict.fromkeys(out))


def ran(path):
    """The functions in a file of callgrind's."""
    names, found = {}, {}
    with open(path, errors="replace") as file:
        for line in file:
            match = re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line)
            if match:
                if match[2]:
                    # Behind a quotation mark stands how deep it calls itself.
                    names[match[1]] = match[2].split("'")[0]
                if line[0] == "f":
                    found[names[match[1]]] = None
    return list(found)


def functions(binary):
    """The address and size of each function, by name."""
    places = {}
    for line in subprocess.run(["nm", "-S", binary], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "tTwW":
            places[words[3]] = int(words[0], 16), int(words[1], 16)
    return places


def together(binary):
    """Where the functions lie that are laid together."""
    sections = subprocess.run(["readelf", "-SW", binary], capture_output=True, text=True, check=True).stdout
    section = re.search(r"\.text\.often\s+PROGBITS\s+(\w+) \w+ (\w+)", sections)
    begin, size = (int(number, 16) for number in section.groups()) if section else (0, 0)
    return range(begin, begin + size)


def cold(binary, places):
    """Patterns of functions that the compiler takes for cold, as far as they were needed: their sections have a word before the name.
    They are those at the end of what lies together, and those known before."""
    seldom = subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout
    seldom = re.search(r"^(\w+) \w stockade_seldom$", seldom, re.M)
    end = range(int(seldom[1], 16), together(binary).stop) if seldom else range(0)
    found = {plain(name) for name, (address, _) in places.items() if address in end}
    with open(FILE) as file:
        return found | set(re.findall(r"^\.text\.unlikely\.([^*].*)$", file.read(), re.M))


def plain(name):
    """A pattern for a function's name without its hash, those of crates in the newer way of writing names, and the number of a copy."""
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", re.sub(r"\.\d+$", "*", HASH.sub("17h*", name)))


def ordered(places, groups):
    """Patterns for the functions of each group, each once, and in the end for all copies of those that have unneeded ones."""
    copies = {}
    for name, (_, size) in places.items():
        copies.setdefault(plain(name), []).append((name, size))
    needed = {name for group in groups for name in group}
    seen, out, last = set(), [], set()
    for group in groups:
        patterns = set()
        for name in set(group) & places.keys():
            pattern = plain(name)
            unneeded = sum(size for other, size in copies[pattern] if other not in needed)
            if unneeded > COPIES_LIMIT_BYTES:
                last.add(pattern)
                pattern = HASH.sub(lambda found: found[0][:19] + "*", name)
            patterns.add(pattern)
        out.append(sorted(patterns - seen))
        seen |= patterns
    return out + [sorted(last)]


def write(binary):
    scenes = Scenes(binary)
    try:
        groups = [scenes.servers(), scenes.programs()]
    finally:
        shutil.rmtree(scenes.folder, ignore_errors=True)
    places = functions(binary)
    lists, seldom = ordered(places, groups), cold(binary, places)
    with open(FILE, "w") as file:
        file.write("/* What a server needs lies together: by bench/order.py, of a build by Rust %s. */\n" % toolchain())
        file.write("SECTIONS\n{\n.text.often :\n{\n")
        for what, patterns in zip(("a server", "other commands", "copies for other types, and what was needed of them before the hashes were others"), lists):
            file.write("/* %s */\n*(\n" % what)
            # With a star before the name instead GNU's linker would need minutes.
            file.writelines(".text.%s%s\n" % ("unlikely." if pattern in seldom else "", pattern) for pattern in patterns)
            file.write(")\n")
        file.write("/* what the compiler takes for cold */\nstockade_seldom = .;\n*(.text.unlikely.*)\n}\n}\nINSERT BEFORE .text;\n")
    print("%s functions; build again" % " + ".join(str(len(patterns)) for patterns in lists))


def look(binary):
    scenes = Scenes(binary)
    try:
        needed = scenes.servers()
    finally:
        shutil.rmtree(scenes.folder, ignore_errors=True)
    lies = together(binary)
    places = [place for name, place in functions(binary).items() if name in set(needed)]
    total = sum(size for _, size in places)
    within = sum(size for address, size in places if address in lies)
    pieces = {piece for address, size in places for piece in range(address >> 16, (address + size >> 16) + 1)}
    print("of %d KB that a server needs, %d KB are among the %d KB that lie together; it makes %d pieces of 64 KB be mapped"
          % (total >> 10, within >> 10, len(lies) >> 10, len(pieces)))
    if within < total * .9:
        sys.exit("less than nine tenths: make the order anew with bench/order.py, and build again")


def check():
    with open(FILE) as file:
        made = re.search(r"by Rust (\S+)\. ", file.readline())
    if not made or made[1] != toolchain():
        sys.exit("crates/stockade/order.ld is of another toolchain, which may name functions in another way: make it anew with bench/order.py")


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if len(sys.argv) not in (2, 3) or sys.argv[1] == "--help" or sys.argv[1:-1] not in ([], ["--look"]):
        sys.exit(__doc__.strip())
    # A network of their own, so that no firewall but theirs is touched.
    if os.environ.get("STOCKADE_ORDER") != "within":
        os.environ["STOCKADE_ORDER"] = "within"
        os.execvp("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    look(sys.argv[-1]) if len(sys.argv) == 3 else write(sys.argv[-1])


if __name__ == "__main__":
    main()

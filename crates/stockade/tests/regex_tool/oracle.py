"""Runs an installed fail2ban-regex many times from one warm process, each run in a child of its own.

A request is a line with the number of words, then for each word a line with its length and the word itself. An answer is a
line with exit code, length of standard output and length of standard error, then both.
"""
import gc
import os
import runpy
import sys
import tempfile

PROGRAM = sys.argv[1]


def run(words):
    sys.argv = [PROGRAM] + words
    try:
        runpy.run_path(PROGRAM, run_name="__main__")
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def child(words, out, err):
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    code = 1
    try:
        code = run(words)
    except BaseException as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 255)


def main():
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    run(["--version"])
    sys.stdout.flush()
    gc.freeze()
    for line in iter(requests.readline, b""):
        words = [os.fsdecode(requests.read(int(requests.readline()))) for _ in range(int(line))]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                child(words, out, err)
            _, status = os.waitpid(pid, 0)
            out.seek(0)
            err.seek(0)
            said, complained = out.read(), err.read()
        answers.write(b"%d %d %d\n" % (os.waitstatus_to_exitcode(status), len(said), len(complained)))
        answers.write(said + complained)
        answers.flush()


main()

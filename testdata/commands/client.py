"""Runs Fail2Ban's client many times within one Python, since a start of it takes most of the time.

Reads a list of words from each line of standard input, as JSON; writes what the client said and its exit code.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile

PROGRAM = "/usr/bin/fail2ban-client"

# What the program imports first; without it each run would be as slow as a process of its own.
import fail2ban.client.fail2banclient  # noqa: F401,E402

for line in sys.stdin:
    words = json.loads(line)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = [PROGRAM] + words
            code = 0
            try:
                runpy.run_path(PROGRAM, run_name="__main__")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except ValueError:
                    # The program has closed it.
                    pass
            os._exit(code & 255)
        status = os.waitpid(child, 0)[1]
        texts = []
        for file in (said, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    print(json.dumps(texts + [os.waitstatus_to_exitcode(status)]), flush=True)

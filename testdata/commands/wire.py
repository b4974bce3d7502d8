"""Sends each line of standard input, a command as JSON, to the socket that is named, pickled; writes what came back.

Each command goes in another of Python's pickle protocols.
"""

import json
import pickle
import socket
import sys

END = b"<F2B_END_COMMAND>"

client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.settimeout(30)


def shown(value):
    """A value with its types; of an exception its class and what it says."""
    if isinstance(value, BaseException):
        return "%s.%s: %s" % (type(value).__module__, type(value).__name__, value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(shown(item) for item in value)
        return ("[%s]" if isinstance(value, list) else "(%s,)") % inner
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (shown(key), shown(item)) for key, item in value.items())
    return "%s %r" % (type(value).__name__, value)


for number, line in enumerate(sys.stdin):
    client.sendall(pickle.dumps(json.loads(line), protocol=number % 6) + END)
    answer = b""
    while not answer.endswith(END):
        piece = client.recv(65536)
        if not piece:
            break
        answer += piece
    print(json.dumps(shown(pickle.loads(answer[: -len(END)]))), flush=True)

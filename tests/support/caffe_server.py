"""A `caffe` command that starts at once: a process that has the engine loaded forks for every call.

Each call is still a process of its own, with its own arguments, folder, environment and output; what it saves is
loading PyTorch. The server must not compute anything itself: threads do not survive a fork.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

_CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [call], [1, 2])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or 1))
"""


@contextmanager
def quick_caffe(folder):
    """The path of a `caffe` command in `folder` (one with a short path) while the block runs."""
    path, client = str(Path(folder, 'socket')), Path(folder, 'caffe')
    client.write_text(_CLIENT.format(python=sys.executable, path=path))
    client.chmod(0o755)
    environment = {**os.environ, 'GLOG_minloglevel': '0'}  # read while loading; the workflow always asks for this
    with subprocess.Popen([sys.executable, __file__, path], stdout=subprocess.PIPE, env=environment) as server:
        server.stdout.readline()  # it listens
        try:
            yield str(client)
        finally:
            server.kill()


def serve(path):
    from caffe.cli.main import main

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print('ready', flush=True)
        while True:
            connection, _ = listener.accept()
            if not os.fork():
                _answer(connection, main)
            connection.close()


def _answer(connection, main):
    """Run one call in the forked process, which ends here."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words, folder, environment = _receive(connection)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path.extend(filter(None, environment.get('PYTHONPATH', '').split(os.pathsep)))
        status = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(status).encode())
        os._exit(status)


def _receive(connection):
    """The call that a client sends; its outputs become this process's own."""
    call, outputs, _, _ = socket.recv_fds(connection, 1 << 16, 2)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
    while more := connection.recv(1 << 16):
        call += more
    return json.loads(call)


if __name__ == '__main__':
    serve(sys.argv[1])

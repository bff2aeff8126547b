"""A Python that starts at once: a process that has the engine loaded forks for every call.

Each call is still a process of its own, with its own arguments, folder, environment and output; what it saves is
loading PyTorch. `python -m caffe …`, `python -m sphereslim …` and `python FILE.py …` are answered so, anything else by
a Python that is started for it. The server must not compute anything itself: threads do not survive a fork.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_CLIENT = """#!{python} -IS
import json, os, socket, sys
words = {words!r} + sys.argv[1:]
if words[:2] not in (['-m', 'caffe'], ['-m', 'sphereslim']) and not ''.join(words[:1]).endswith('.py'):
    os.execv({python!r}, [{python!r}] + words)
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([words, {quick!r}, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [call], [0, 1, 2])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or 1))
"""


@contextmanager
def quick_python(folder, modules=('caffe.cli.main',), path=None):
    """A function (file, first words) -> a command there that is Python with these words, while the block runs.

    `folder` is one with a short path, for the server's socket; `modules` are loaded beforehand, from the entries of
    `path` where it is given.
    """
    address, quick = str(Path(folder, 'socket')), Path(folder, 'python')
    # GLOG_minloglevel is read while loading; the workflow always asks for this
    environment = {**os.environ, 'GLOG_minloglevel': '0', **({'PYTHONPATH': path} if path else {})}
    words = [sys.executable, __file__, address, *modules]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as server:
        server.stdout.readline()  # it listens

        def command(file, *words):
            text = _CLIENT.format(python=sys.executable, words=[*words], address=address, quick=str(quick))
            Path(file).write_text(text)
            Path(file).chmod(0o755)
            return str(file)

        try:
            command(quick)
            yield command
        finally:
            server.kill()


def serve(address, modules):
    for module in modules:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print('ready', flush=True)
        while True:
            connection, _ = listener.accept()
            if not os.fork():
                _answer(connection)
            connection.close()


def _answer(connection):
    """Run one call in the forked process, which ends here."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words, sys.executable, folder, environment = _receive(connection)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path.extend(filter(None, environment.get('PYTHONPATH', '').split(os.pathsep)))
        # what a Python that is started reads while it loads the engine
        import_module('caffe').init_log(int(environment.get('GLOG_minloglevel') or words[:2] != ['-m', 'caffe']))
        _run(words)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(status).encode())
        os._exit(status)


def _run(words):
    """Run a file, or a module by its `__main__`, as Python does with these words."""
    if words[0] == '-m':
        file, words = find_spec(f'{words[1]}.__main__').origin, words[1:]
    else:
        file = words[0]
        sys.path.extend([str(Path(file).resolve().parent)])
    sys.argv = [file, *words[1:]]
    exec(compile(Path(file).read_bytes(), file, 'exec'), {'__name__': '__main__', '__file__': file})


def _receive(connection):
    """The call that a client sends; its input and outputs become this process's own."""
    call, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    while more := connection.recv(1 << 16):
        call += more
    return json.loads(call)


if __name__ == '__main__':
    serve(sys.argv[1], sys.argv[2:])

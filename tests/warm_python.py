"""A folder to put on PATH in which ``python`` and ``accelerate`` start at once, for tests that run shell commands.

A process that has loaded torch and the rest already is forked for each command; the command runs as its own
process, with its own arguments, environment, folder, output and exit code. ``accelerate launch`` becomes the one
process of its script on the CPU, with the precision that was asked for.

    python tests/warm_python.py SOCKET      (what :func:`warm_python` starts)
"""

import contextlib
import importlib
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

_LOADED = (
    *(
        "cv2",
        "av",
        "accelerate",
        "torch.utils.tensorboard",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ),
    *("steve1.mineclip", "training.run"),
)
# A client without site-packages: it starts in 20 ms.
_CLIENT = """#!{python} -SE
import os, pickle, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = pickle.dumps(({name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)))
socket.send_fds(server, [len(request).to_bytes(4, "big")], [1, 2])
server.sendall(request)
sys.exit(int(server.recv(8) or b"1"))
"""


@contextlib.contextmanager
def warm_python(folder: Path):
    """Yield a folder for PATH; its ``python`` and ``accelerate`` are served until the end."""
    folder.mkdir(parents=True)
    address = str(folder / "s")
    for name in ("python", "accelerate"):
        (folder / name).write_text(_CLIENT.format(python=sys.executable, address=address, name=name))
        (folder / name).chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        yield folder
    finally:
        server.terminate()
        server.wait()


def _serve(address: str) -> None:
    # Beside this file are folders of tests called as the packages; they would be taken for these.
    sys.path.remove(str(Path(__file__).parent))
    import torch

    for module in _LOADED:
        importlib.import_module(module)
    torch.set_num_threads(1)
    torch.optim.AdamW(
        [torch.zeros(1, requires_grad=True)]
    ).zero_grad()  # its first use imports a second's worth
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    os.write(1, b"ready\n")
    while True:
        client, _ = listener.accept()
        size, fds, _, _ = socket.recv_fds(client, 4, 2)
        request = b""
        while len(request) < int.from_bytes(size, "big"):
            request += client.recv(1 << 16)
        child = os.fork()
        if child == 0:
            listener.close()
            _run(fds, *pickle.loads(request))
        for fd in fds:
            os.close(fd)
        threading.Thread(target=_answer, args=(child, client), daemon=True).start()


def _answer(child: int, client: socket.socket) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        client.sendall(str(code if code >= 0 else 128 - code).encode())
    client.close()


def _run(fds: list[int], name: str, argv: list[str], cwd: str, env: dict[str, str]) -> None:
    """Become the command, in the forked process; never returns."""
    code = 0
    try:
        os.dup2(fds[0], 1)
        os.dup2(fds[1], 2)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if name == "accelerate":
            script = next(i for i, word in enumerate(argv) if word.endswith(".py"))
            launch, argv = argv[1:script], argv[script:]
            os.environ["ACCELERATE_MIXED_PRECISION"] = launch[launch.index("--mixed_precision") + 1]
            os.environ["ACCELERATE_USE_CPU"] = "true"
        sys.argv = list(argv)
        if argv[0] == "-c":
            sys.argv = ["-c", *argv[2:]]
            exec(argv[1], {"__name__": "__main__"})
        elif argv[0] == "-m":
            sys.argv = argv[1:]
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])

"""The side of a game: what a worker needs to play a world in the game's own Python and to tell what it saw.

``minerl_worker.py`` and ``minestudio_worker.py`` are the workers, started by ``world_process.py``. They talk through
two pipes and a file that both sides map into memory. A message is 4 bytes of length (big-endian) and that much JSON.
Requests and their answers: ``{"do": "start", "settings": {..}}`` -> ``{"spaces": .., "settings": .., "version": ..}``;
``{"do": "reset", "seed": n}`` -> ``{"leaves": .., "info": ..}``; ``{"do": "step", "action": {..}}`` and
``{"do": "command", "command": ".."}`` -> ``{"leaves" or "changed": .., "reward": .., "done": .., "info": ..}``;
``{"do": "close"}`` -> ``{}``. An answer ``{"error": .., "missing": bool}`` is the last one. Pictures (``pov``) lie in
the third file, uint8 RGB, and are replaced by every answer but those to start and close.

Needs the standard library and numpy, and runs on Python 3.8, so nothing newer is used here. What the game prints is
not part of the talk; it goes where stdout and stderr lead.
"""

import argparse
import contextlib
import json
import mmap
import os
import select
import shutil
import signal
import struct
import sys
import time
import traceback
from typing import Any

# Processes that carry this in their environment belong to one world; Java leaves the process group, not this.
MARK = "STEVE1_WORLD"
# The folder of one world, for all that its game writes; it goes with the world.
FOLDER = "STEVE1_WORLD_FOLDER"
PICTURE_BYTES = 360 * 640 * 3
_LENGTH = struct.Struct(">I")


def write_message(descriptor, message):
    """Write one message, whole."""
    content = json.dumps(message).encode()
    content = _LENGTH.pack(len(content)) + content
    while content:
        content = content[os.write(descriptor, content) :]


def read_message(descriptor, deadline=None):
    """Read one message. Raises EOFError when the other side is gone, TimeoutError at ``deadline`` (monotonic)."""
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size, deadline))
    return json.loads(_read(descriptor, length, deadline))


def _read(descriptor, size, deadline):
    parts = []
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while size:
        if deadline is not None and not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def marked_processes(mark):
    """The ids of the living processes, ourselves excepted, that carry this mark (Linux; elsewhere none)."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        # One that has just ended, or is another user's, can't be read.
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid():
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if wanted in environ.read().split(b"\0"):
                        found.append(int(name))
    return found


def kill_marked(mark, within=10.0):
    """Kill all processes with this mark, those that they start meanwhile too; False if some are left after all."""
    deadline = time.monotonic() + within
    while True:
        left = marked_processes(mark)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(0.01)


def describe(space):
    """A space as JSON, as in ``tests/vectors/minerl_spaces.json`` with all keys."""
    kind = type(space).__name__
    if hasattr(space, "spaces"):
        return {"type": "Dict", "keys": {str(key): describe(part) for key, part in space.spaces.items()}}
    shape = list(getattr(space, "shape", None) or [])
    if hasattr(space, "values"):
        return {"type": "Enum", "shape": shape, "values": [str(value) for value in space.values]}
    if hasattr(space, "n"):
        return {"type": "Discrete", "shape": shape, "n": int(space.n)}
    if hasattr(space, "low"):
        import numpy as np

        low, high = float(space.low.min()), float(space.high.max())
        return {"type": "Box", "shape": shape, "low": low, "high": high, "dtype": str(np.dtype(space.dtype))}
    return {"type": kind, "shape": shape}


def groups_of(obs, path=()):
    """The dicts in an observation: (their path, what they hold that is neither a dict nor ``pov``)."""
    inner = [key for key, value in obs.items() if isinstance(value, dict)]
    if inner or not path:
        yield path, {key: value for key, value in obs.items() if key not in inner and (path or key != "pov")}
        for key in inner:
            yield from groups_of(obs[key], (*path, key))
    else:
        yield path, obs


def plain(value):
    """A value as JSON can say it: numbers, texts, lists and dicts as they are, anything else as its ``str``."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return str(value)


def installed_version(distribution):
    """The version of what is installed, or "unknown"."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


class MinecraftLost(Exception):
    """The game says that it has lost its Minecraft; where in its code is of no interest."""


class Answers:
    """Does what is asked with one world. Subclasses say which: ``title``, ``distribution`` and :meth:`make_world`."""

    title = ""
    distribution = ""

    def __init__(self, picture):
        self._picture = picture
        self._env: Any = None
        self._keys = self._types = self._values = []

    def make_world(self, settings):
        """The game's HumanSurvival with these settings; ImportError where this Python has not the game."""
        raise NotImplementedError

    def start(self, request):
        settings = request["settings"]
        self._env = self.make_world(settings)
        task = getattr(self._env, "task", None)
        return {
            "spaces": {
                "action_space": describe(self._env.action_space),
                "observation_space": describe(self._env.observation_space),
            },
            "settings": {name: plain(getattr(task, name, None)) for name in settings},
            "version": installed_version(self.distribution),
            "python": sys.version.split()[0],
        }

    def reset(self, request):
        # The game forgets the seed at every reset, and hands it to the world that the next reset makes.
        self._env.seed(request["seed"])
        return dict(self._see(self._env.reset(), anew=True), info={})

    def step(self, request):
        return self._told(self._env.step(self.action(request["action"])))

    def action(self, told):
        """The game's action of the one that is told as JSON."""
        import numpy as np

        return dict(told, camera=np.array(told["camera"], np.float32))

    def nothing(self):
        """The action that does nothing, as it is told."""
        return dict({name: 0 for name in self._env.action_space.spaces}, camera=[0.0, 0.0])

    def close(self, request):
        if self._env is not None:
            self._env.close()
        return {}

    def _told(self, result):
        """The answer for what the game's step returned."""
        obs, reward, done, info = result
        # The game swallows a broken connection to Java: it ends the episode with a random observation and says so here.
        if "error" in info:
            raise MinecraftLost(f"{self.title} lost Minecraft: {info['error']}")
        seen = self._see(obs, anew=False)
        return dict(seen, reward=float(reward), done=bool(done), info=plain(info))

    def _see(self, obs, anew):
        """Put the picture into the shared file; the rest of the observation, or what of it has changed."""
        import numpy as np

        pov = np.ascontiguousarray(obs["pov"])
        if pov.nbytes != len(self._picture) or pov.dtype != np.uint8:
            raise ValueError(f"pov is {list(pov.shape)} {pov.dtype}")
        self._picture[:] = pov.tobytes()
        # MineRL makes some 9,000 new arrays each time: a few plain loops over them take a tenth of a frame.
        groups = list(groups_of(obs))
        keys = [(path, list(group)) for path, group in groups]
        types = [getattr(value, "dtype", None) for _, group in groups for value in group.values()]
        values = [
            value.tolist() if hasattr(value, "tolist") else plain(value)
            for _, group in groups
            for value in group.values()
        ]
        old, self._values = self._values, values
        if not anew and keys == self._keys and types == self._types:
            return {"changed": [[i, new] for i, new in enumerate(values) if new != old[i]]}
        self._keys, self._types = keys, types
        paths = [(*path, key) for path, names in keys for key in names]
        kinds = [None if kind is None or kind.kind in "USO" else kind.str for kind in types]
        return {"leaves": list(zip(paths, values, kinds))}


def serve(answers, read, write):
    """Answer requests until one fails, ``close`` is asked for, or the other side is gone."""
    while True:
        try:
            request = read_message(read)
        except EOFError:
            return
        try:
            answer = getattr(answers, request["do"])(request)
        except BaseException as error:
            said = str(error)
            if not isinstance(error, MinecraftLost):
                traceback.print_exc()
                said = f"{type(error).__name__}: {error}"
            missing = isinstance(error, ImportError) and request["do"] == "start"
            write_message(write, {"error": said, "missing": missing})
            return
        write_message(write, answer)
        if request["do"] == "close":
            return


def guard(read, write):
    """Leave a process behind that ends this world, Java and folder included, once the other side of ``read`` is closed.

    So no Java stays, whether the program was killed or MineRL hangs. It is a process because a thread would
    have to wait for code that hangs without letting go of Python's lock.
    """
    if os.fork():
        return
    os.setsid()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.close(write)
    poll = select.poll()
    poll.register(read, 0)  # only that it was hung up
    while not any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
        pass
    kill_marked(os.environ[MARK])
    if os.environ.get(FOLDER):
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
    os._exit(0)


def check(answers):
    """Make a world, reset it, take ten steps that do nothing."""
    answers.start({"settings": {"resolution": [640, 360]}})
    try:
        answers.reset({"seed": 0})
        print("reset: pov (360, 640, 3)")
        begun = time.monotonic()
        for _ in range(10):
            answers.step({"action": answers.nothing()})
        print(f"10 steps: {10 / (time.monotonic() - begun):.1f} frames/s")
    finally:
        answers.close({})


def main(kind, description, argv=None):
    """A worker's command line. ``kind``: its :class:`Answers`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--check", action="store_true", help="play ten steps and say how it went")
    ways.add_argument(
        "--files", type=int, nargs=3, metavar=("READ", "WRITE", "PICTURE"), help="open file numbers"
    )
    args = parser.parse_args(argv)
    # This file's folder has a minerl.py and a minestudio.py of its own, which are not the games.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    if args.check:
        check(kind(bytearray(PICTURE_BYTES)))
        return
    read, write, picture = args.files
    for descriptor in args.files:
        os.set_inheritable(descriptor, False)
    guard(read, write)
    with mmap.mmap(picture, 0) as shared:
        serve(kind(shared), read, write)

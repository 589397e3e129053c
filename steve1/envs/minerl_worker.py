"""The side of MineRL: plays MineRL 1.0 in its own Python, and tells ``steve1/envs/minerl.py`` what it saw.

Is it MineRL that fails, or the talk with it? Ten steps of it alone, in its own Python:
    /path/to/minerl/bin/python steve1/envs/minerl_worker.py --check

minerl.py starts it with the numbers of three files that it inherits:
    /path/to/minerl/bin/python steve1/envs/minerl_worker.py --files READ WRITE PICTURE

A message is 4 bytes of length (big-endian) and that much JSON. Requests and their answers:
``{"do": "start", "settings": {..}}`` -> ``{"spaces": .., "settings": .., "version": ..}``;
``{"do": "reset", "seed": n}`` -> ``{"leaves": ..}``; ``{"do": "step", "action": {..}}`` ->
``{"leaves" or "changed": .., "reward": .., "done": .., "info": ..}``; ``{"do": "close"}`` -> ``{}``.
An answer ``{"error": .., "missing": bool}`` is the last one. Pictures (``pov``) lie in the third file, uint8 RGB,
and are replaced by every answer to reset and step.

Needs the standard library, numpy and minerl, and runs on Python 3.8, so nothing newer is used here. What MineRL
prints is not part of the talk; it goes where stdout and stderr lead.
"""

import argparse
import contextlib
import json
import mmap
import os
import select
import signal
import struct
import sys
import time
import traceback
from typing import Any

# Processes that carry this in their environment belong to one world; Java leaves the process group, not this.
MARK = "STEVE1_MINERL_WORLD"
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


def make_world(settings):
    """MineRL's HumanSurvival with these settings; ImportError where this Python has no MineRL 1.0."""
    from minerl.herobraine.env_specs.human_survival_specs import HumanSurvival

    return HumanSurvival(**settings).make()


def minerl_version():
    from importlib import metadata

    try:
        return metadata.version("minerl")
    except metadata.PackageNotFoundError:
        return "unknown"


class Answers:
    """Does what is asked with one world."""

    def __init__(self, picture):
        self._picture = picture
        self._env: Any = None
        self._keys = self._types = self._values = []

    def start(self, request):
        settings = request["settings"]
        self._env = make_world(settings)
        task = getattr(self._env, "task", None)
        return {
            "spaces": {
                "action_space": describe(self._env.action_space),
                "observation_space": describe(self._env.observation_space),
            },
            "settings": {name: plain(getattr(task, name, None)) for name in settings},
            "version": minerl_version(),
            "python": sys.version.split()[0],
        }

    def reset(self, request):
        # MineRL forgets the seed at every reset, and hands it to the world that the next reset makes.
        self._env.seed(request["seed"])
        return self._see(self._env.reset(), anew=True)

    def step(self, request):
        import numpy as np

        action = dict(request["action"], camera=np.array(request["action"]["camera"], np.float32))
        obs, reward, done, info = self._env.step(action)
        # MineRL swallows a broken connection to Java: it ends the episode with a random observation and says so here.
        if "error" in info:
            raise RuntimeError(f"MineRL lost Minecraft: {info['error']}")
        seen = self._see(obs, anew=False)
        return dict(seen, reward=float(reward), done=bool(done), info=plain(info))

    def close(self, request):
        if self._env is not None:
            self._env.close()
        return {}

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


def serve(read, write, picture):
    """Answer requests until one fails, ``close`` is asked for, or the other side is gone."""
    answers = Answers(picture)
    while True:
        try:
            request = read_message(read)
        except EOFError:
            return
        try:
            answer = getattr(answers, request["do"])(request)
        except BaseException as error:
            traceback.print_exc()
            missing = isinstance(error, ImportError) and request["do"] == "start"
            write_message(write, {"error": f"{type(error).__name__}: {error}", "missing": missing})
            return
        write_message(write, answer)
        if request["do"] == "close":
            return


def guard(read, write):
    """Leave a process behind that ends this world, Java included, once the other side of ``read`` is closed.

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
    os._exit(0)


def check():
    """Make a world, reset it, take ten steps that do nothing."""
    import numpy as np

    env = make_world({"resolution": [640, 360]})
    try:
        env.seed(0)
        print(f"reset: pov {env.reset()['pov'].shape}")
        begun = time.monotonic()
        nothing = {name: 0 for name in env.action_space.spaces}
        for _ in range(10):
            env.step(dict(nothing, camera=np.zeros(2, np.float32)))
        print(f"10 steps: {10 / (time.monotonic() - begun):.1f} frames/s")
    finally:
        env.close()


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--check", action="store_true", help="play ten steps and say how it went")
    ways.add_argument(
        "--files", type=int, nargs=3, metavar=("READ", "WRITE", "PICTURE"), help="open file numbers"
    )
    args = parser.parse_args(argv)
    # This file's folder has a minerl.py of its own, which is not MineRL.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    if args.check:
        check()
        return
    read, write, picture = args.files
    for descriptor in args.files:
        os.set_inheritable(descriptor, False)
    guard(read, write)
    with mmap.mmap(picture, 0) as shared:
        serve(read, write, shared)


if __name__ == "__main__":
    main()

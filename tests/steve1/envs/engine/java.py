"""A stand-in for MineStudio's engine: a program that passes for ``java``, speaks the engine's protocol over TCP, and
shows BlockWorld's pictures. MineStudio's own launch script starts it, in the working directory that it has made.

A message is 4 bytes of length (big-endian) and its content. Every mission leaves a folder in ``saves``, and its first
20 pictures are black, as the engine's are. With ``$STANDIN_FOLDER`` the n-th engine that starts reads ``n.json``
there, ``{"step": {"30": "kill"}}`` (steps are counted over all of its missions), and counts itself by ``n.started``.
"""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

BLACK = 20


class Engine:
    """One Minecraft: missions one after another, each a world of BlockWorld's."""

    def __init__(self):
        from blockworld.env import BlockWorldEnv

        self._env = BlockWorldEnv()
        self._missions = self._frames = self._steps = 0
        self._given, self._health, self._script = {}, 20.0, {}
        if os.environ.get("STANDIN_FOLDER"):
            folder = Path(os.environ["STANDIN_FOLDER"])
            number = len(list(folder.glob("*.started")))
            (folder / f"{number}.started").write_text(str(os.getpid()))
            script = folder / f"{number}.json"
            self._script = json.loads(script.read_text()) if script.exists() else {}

    def begin(self, token):
        parts = token.split(":")
        self._env.seed(int(parts[5]) if len(parts) > 5 else None)
        self._obs, self._info, self._frames, self._health, self._given = self._env.reset(), {}, 0, 20.0, {}
        self._missions += 1
        save = Path("saves") / f"mission{self._missions}"
        save.mkdir(parents=True)
        (save / "level.dat").write_bytes(bytes(1000))

    def act(self, lines):
        """Take a step; whether the episode is over."""
        self._steps += 1
        self._frames += 1
        mishap = self._script.get("step", {}).get(str(self._steps))
        if mishap == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mishap == "hang":
            threading.Event().wait()
        if mishap == "close":
            raise ConnectionError
        action = {}
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "chat":
                self._command(value)
            elif name == "camera":
                action["camera"] = [float(part) for part in value.split()]
            elif name not in ("voxels", "mobs"):
                action[name] = int(value)
        self._obs, _, done, self._info = self._env.step(action)
        return done

    def _command(self, command):
        give = re.fullmatch(r"/give @\S+ (?:minecraft:)?(\w+)(?: (\d+))?", command)
        if give:
            self._given[give[1]] = self._given.get(give[1], 0) + int(give[2] or 1)
        elif command == "/kill":
            self._health = 0.0

    def picture(self):
        import numpy as np

        pov = self._obs["pov"]
        shown = np.zeros_like(pov) if self._frames < BLACK else pov
        return np.ascontiguousarray(shown[::-1]).tobytes()  # from the bottom upward, as OpenGL does

    def told(self):
        held = {name: int(count) for name, count in self._obs["inventory"].items() if count and name != "air"}
        for name, count in self._given.items():
            held[name] = held.get(name, 0) + count
        slots = [{"slot_id": i, "type": n, "quantity": c} for i, (n, c) in enumerate(held.items())]
        slots += [{"slot_id": i, "type": "air", "quantity": 0} for i in range(len(slots), 36)]
        place = {name: value.item() for name, value in self._obs["location_stats"].items()}
        stats = {
            group: {name: int(count) for name, count in self._obs[group].items() if count}
            for group in ("mine_block", "pickup", "use_item", "craft_item", "break_item")
        }
        hand = {
            name: value if isinstance(value, str) else value.item()
            for name, value in self._obs["equipped_items"]["mainhand"].items()
        }
        return {
            **place,
            **stats,
            "inventory": slots,
            "equipped_items": {"mainhand": json.dumps(hand)},
            "isGuiOpen": bool(self._info.get("isGuiOpen", False)),
            "health": self._health,
            "food_level": 20,
        }


def receive(connection):
    def exactly(size):
        content = b""
        while len(content) < size:
            part = connection.recv(size - len(content))
            if not part:
                raise ConnectionError
            content += part
        return content

    return exactly(struct.unpack("!I", exactly(4))[0]).decode()


def send(connection, *contents):
    for content in contents:
        connection.sendall(struct.pack("!I", len(content)) + content)


def talk(engine, connection):
    """Answer one connection until it is closed."""
    while True:
        message = receive(connection)
        if message == "<Quit/>":
            send(connection, struct.pack("!I", 1))
        elif message.startswith("<Exit>"):
            send(connection, struct.pack("!I", 1))
            os._exit(0)
        elif message == "<Peek/>":
            send(connection, engine.picture(), json.dumps(engine.told()).encode(), struct.pack("!b", 0))
        elif message.startswith("<StepClient"):
            inner = message.partition(">")[2].rpartition("</")[0]
            done = engine.act([line for line in inner.split("\n") if line])
            send(
                connection,
                engine.picture(),
                struct.pack("!dbb", 0.0, done, 1),
                json.dumps(engine.told()).encode(),
            )
        elif "<Mission" in message:
            engine.begin(receive(connection))
            send(connection, struct.pack("!I", 1))
        elif not message.startswith(("<MalmoEnv", "<StepServer", "<Disconnect")):
            raise ValueError(f"no message of the engine's: {message[:80]}")


def main(argv):
    if "-version" in argv:
        print('openjdk version "1.8.0_392"', file=sys.stderr)
        return
    port = int(next(part for part in argv if part.startswith("--envPort=")).partition("=")[2])
    engine = Engine()
    with socket.create_server(("localhost", port)) as server:
        print(f"***** Start MalmoEnvServer on port {port}", flush=True)
        print("[Client thread] CLIENT enter state: DORMANT", flush=True)
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionError):
                talk(engine, connection)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The module that MineRL 1.0 keeps HumanSurvival in."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from minerl.spaces import RECORD, build, folder, nothing


class HumanSurvival:
    def __init__(self, **settings):
        for name, value in settings.items():
            setattr(self, name, value)
        number = len(list(folder().glob("*.started")))
        (folder() / f"{number}.started").write_text(str(os.getpid()))
        script = folder() / f"{number}.json"
        self.script = json.loads(script.read_text()) if script.exists() else {}
        self.number = number
        for name, value in self.script.get("settings", {}).items():
            setattr(self, name, value)

    def make(self):
        return World(self)


class World:
    """Walks along x with ``forward``; the picture is told by seed and step. Seeds are forgotten at every reset."""

    def __init__(self, task):
        self.task = task
        record = json.loads(json.dumps(RECORD))
        for key in task.script.get("spaces_lack", []):
            del record["observation_space"]["keys"][key]
        self.action_space = build(record["action_space"])
        self.observation_space = build(record["observation_space"])
        self._nothing = nothing(self.observation_space)
        self._seed = None
        self._resets = 0
        self._mishap("make", "1")

    def seed(self, seed):
        assert isinstance(seed, int)
        self._seed = seed

    def reset(self):
        self._resets += 1
        self._world, self._seed = self._seed, None
        self._steps, self._x, self._dirt = 0, 0.0, 0
        (folder() / f"{self.task.number}.resets").write_text(str(self._resets))
        self._mishap("reset", str(self._resets))
        return self._observe()

    def step(self, action):
        assert set(action) == set(self.action_space.spaces)
        assert action["camera"].dtype == np.float32
        self._steps += 1
        time.sleep(self.task.script.get("step_ms", 0) / 1000)  # for benchmarks
        self._x += float(action["forward"])
        self._dirt += int(action["attack"])
        info = self._mishap("step", str(self._steps)) or {}
        done = self._steps == self.task.script.get("length")
        return (
            self._observe(),
            np.float64(0.5),
            done,
            dict(info, isGuiOpen=np.bool_(False), place=np.zeros(2)),
        )

    def close(self):
        self._mishap("close", "1")
        (folder() / f"{self.task.number}.closed").touch()

    def _observe(self):
        obs = dict(self._nothing)
        small = np.random.default_rng(self._world % 2**32).integers(0, 256, (9, 16, 3), dtype=np.uint8)
        small[self._steps % 9, self._steps % 16] = self._steps % 256
        obs["life_stats"] = dict(obs["life_stats"], is_alive=np.array(True))
        obs["pov"] = np.repeat(np.repeat(small, 40, 0), 40, 1)
        if "inventory" in obs:
            obs["inventory"] = dict(obs["inventory"], dirt=np.array(self._dirt, np.int32))
        x = self._x + 1000.0 * (self._world % 100)
        obs["location_stats"] = dict(obs["location_stats"], xpos=np.array(x))
        return obs

    def _mishap(self, when, number):
        what = self.task.script.get(when, {}).get(number)
        if what == "exit":
            os._exit(3)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            (folder() / "hanging").touch()
            threading.Event().wait()
        if what == "raise":
            raise ValueError("the anvil fell")
        if what == "late":
            # Opening a pipe waits for the other side: the test decides when the answer may come.
            (folder() / "asked").write_text("now")
            (folder() / "go").read_text()
        if what and what.startswith("meet "):
            # Opening a pipe waits for the other side: two worlds that do so must be in their steps at once.
            _, mine, theirs = what.split()
            for name, mode in sorted([(mine, "w"), (theirs, "r")]):
                with open(str(folder() / name), mode):
                    pass
        if what == "error":
            return {"error": "Java has closed the socket"}
        if what == "talk":
            os.write(1, b"\0\0\0\2{}garbage\n" * 1000)
            print("and more of it", file=sys.stderr)
        if what == "java":
            java = [sys.executable, "-c", "import threading; threading.Event().wait()"]
            # In a session of its own, as MineRL launches Minecraft.
            child = subprocess.Popen(java, start_new_session=True)
            (folder() / "java.pid").write_text(str(child.pid))
        return None

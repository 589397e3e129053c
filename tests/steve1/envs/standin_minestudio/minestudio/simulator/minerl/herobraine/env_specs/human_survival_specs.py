"""The module that MineStudio keeps HumanSurvival in."""

import json
import os
from collections import OrderedDict
from pathlib import Path

import minerl.herobraine.env_specs.human_survival_specs as minerl_specs
import numpy as np
from minerl import spaces

RECORD = json.loads((Path(spaces.__file__).parents[4] / "vectors" / "minestudio_spaces.json").read_text())


class Text:
    def __init__(self, shape):
        self.shape = tuple(shape)


def build(told):
    if told["type"] == "Text":
        return Text(told["shape"])
    if told["type"] == "Dict" and "keys" in told:
        return ActionSpace({key: build(part) for key, part in told["keys"].items()})
    return spaces.build(told)


class ActionSpace(spaces.Dict):
    def no_op(self):
        nothing = {"chat": "", "camera": np.zeros(2, np.float32)}
        box = np.zeros(6, np.int32)
        return OrderedDict(
            (name, nothing.get(name, box if name in ("voxels", "mobs") else np.array(0)))
            for name in self.spaces
        )


class HumanSurvival(minerl_specs.HumanSurvival):
    def __init__(self, inventory, preferred_spawn_biome, **settings):
        super().__init__(**settings)

    def make(self):
        return World(self)


class Instance:
    """What MineStudio knows of the Minecraft that it has launched; here only its working directory."""

    running = True

    def __init__(self):
        base = Path(os.environ["MINESTUDIO_DIR"]) / "tmp"
        base.mkdir(exist_ok=True)
        self.working_dir = str(base)


class World(minerl_specs.World):
    """Black for 20 frames; a world in ``saves`` for every reset; hurt by ``/kill``, given things by ``/give``."""

    def __init__(self, task):
        super().__init__(task)
        self.action_space, self.observation_space = (
            build(RECORD["action_space"]),
            build(RECORD["observation_space"]),
        )
        self.instances = []

    def reset(self):
        self.instances = self.instances or [Instance()]
        self._frames, self._held, self._health = 0, {}, 20.0
        obs = super().reset()
        (Path(self.instances[0].working_dir) / "saves" / f"mission{self._resets}").mkdir(parents=True)
        (minerl_specs.folder() / f"{self.task.number}.saves").write_text(
            json.dumps(sorted(os.listdir(Path(self.instances[0].working_dir) / "saves")))
        )
        return self._as_minestudio(obs)

    def step(self, action):
        assert set(action) == set(self.action_space.spaces)
        assert (action["chat"], action["mobs"].any(), action["voxels"].any()) == ("", False, False)
        return self._tick(action)

    def execute_cmd(self, command):
        if command == "/kill":
            self._health = 0.0
        elif command.startswith("/give @s "):
            name, number = command.split()[2:]
            self._held[name] = self._held.get(name, 0) + int(number)
        return self._tick(self.action_space.no_op())

    def _tick(self, action):
        self._frames += 1
        if self._frames <= 20:
            return self._as_minestudio(self._observe()), 0.0, False, self._monitored()
        told = {name: value for name, value in action.items() if name not in ("chat", "voxels", "mobs")}
        whole = dict({name: 0 for name in minerl_specs.RECORD["action_space"]["keys"]}, **told)
        self.action_space, ours = spaces.Dict(whole), self.action_space
        obs, reward, done, info = super().step(whole)
        self.action_space = ours
        return self._as_minestudio(obs), reward, done, dict(self._monitored(), **info)

    def _monitored(self):
        place = {"biome_id": 4, "sea_level": 63}
        return {"health": self._health, "food_level": 20, "location_stats": place, "isGuiOpen": False}

    def _as_minestudio(self, obs):
        slots = [("dirt", self._dirt), *self._held.items()]
        slots = [{"type": name, "quantity": number} for name, number in slots if number]
        slots += [{"type": "air", "quantity": 0}] * (36 - len(slots))
        pov = obs["pov"] if self._frames >= 20 else np.zeros_like(obs["pov"])
        x = float(obs["location_stats"]["xpos"])
        return {
            "pov": pov[::-1][::-1],
            "inventory": dict(enumerate(slots)),
            "equipped_items": obs["equipped_items"],
            "mine_block": {"oak_log": self._dirt} if self._dirt else {},
            "player_pos": {"x": x, "y": 64.0, "z": 0.5, "pitch": 10.0, "yaw": 20.0},
            "is_gui_open": False,
        }

"""A tiny policy, MineCLIP and prior on disk, that belong together, and a world that costs nothing."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from blockworld import VERSION
from steve1.checkpoints import load_model_file, save_mineclip, save_weights, tensors_hash
from steve1.config import MINECLIP_CONFIG
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import spaces
from steve1.mineclip import MineCLIP
from steve1.playing.episode import PlayedEpisode, read_episodes
from steve1.playing.measures import EpisodeMeasures
from steve1.playing.rollout import Rollout
from steve1.prior import TranslatorVAE

TINY_POLICY = Path(__file__).parent / "tiny_policy.json"
WIDTH = 8
_MINECLIP = {
    **MINECLIP_CONFIG,
    "resolution": [16, 16],
    "vision_width": 8,
    "vision_layers": 1,
    "vision_heads": 1,
    "embed_dim": WIDTH,
    "text_width": 8,
    "text_layers": 1,
    "text_heads": 1,
    "temporal_layers": 1,
    "temporal_heads": 1,
    "temporal_head_dim": 8,
}


def load_script(name: str) -> ModuleType:
    """Import a script of the repository, ``run_agent.py`` say, which no package holds."""
    path = Path(__file__).parents[1] / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_models(folder, mineclip_hash=None) -> list[str]:
    """Write the weights into ``folder``; the flags that name them. ``mineclip_hash``: what the policy claims."""
    folder = Path(folder)
    torch.manual_seed(0)
    mineclip = MineCLIP(_MINECLIP)
    save_mineclip(mineclip, folder / "mineclip.pt")
    known = tensors_hash(mineclip)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    save_weights(policy, folder / "policy.weights", {"data": {"mineclip_hashes": [mineclip_hash or known]}})
    save_weights(TranslatorVAE(WIDTH, 8, 4), folder / "prior.pt", {"mineclip_hash": known})
    return [
        *("--in_model", str(TINY_POLICY), "--in_weights", str(folder / "policy.weights")),
        *("--mineclip_weights", str(folder / "mineclip.pt"), "--prior_weights", str(folder / "prior.pt")),
    ]


class PictureWorld:
    """MineRL's interface over pictures that depend on the seed and on all actions so far; ends after ``length``.

    It passes for BlockWorld.
    """

    name, version = "blockworld", VERSION

    def __init__(self, length=10**9):
        self.length = length
        self.action_space, self.observation_space = spaces.action_space(), spaces.observation_space()
        self.actions: list[dict] = []
        self.closed = False

    def seed(self, seed):
        self._seed = seed

    def reset(self):
        self._rng = np.random.default_rng(self._seed)
        self._phase, self.actions = 0, []
        self._base = self._rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        return self._obs()

    def step(self, action):
        assert self.action_space.contains(action)
        self.actions.append(action)
        self._phase += (
            1 + 3 * int(action["forward"]) + 5 * int(action["attack"]) + int(action["camera"][0] > 0)
        )
        return self._obs(), 0.0, len(self.actions) >= self.length, {}

    def close(self):
        self.closed = True

    def _obs(self):
        picture = np.roll(self._base, self._phase, axis=1)
        return {"pov": np.repeat(np.repeat(picture, 40, axis=0), 40, axis=1)}


def picture_worlds(monkeypatch) -> list[PictureWorld]:
    """Play in pictures instead of a game from now on; the list of worlds that were made."""
    made: list[PictureWorld] = []

    def make_env(name, seed=None, minerl_python=None):
        made.append(PictureWorld())
        return made[-1]

    monkeypatch.setattr("steve1.envs.make_env", make_env)
    return made


def film(run_agent, models, folder, *flags) -> None:
    """Run run_agent for five frames, or what ``flags`` say, into ``folder``."""
    run_agent.main(
        [*models, "--save_dirpath", str(folder), "--gameplay_length", "5", "--device", "cpu", *flags]
    )


def play(*args, watch=None, **settings) -> list[EpisodeMeasures]:
    """Play a ``Rollout`` of these arguments to its end; its measures. ``watch``: sees (row, picture) of every step."""
    rollout = Rollout(*args, **settings)
    while not rollout.over:
        for row, pov in enumerate(rollout.step()):
            if watch is not None and pov is not None:
                watch(row, pov)
    return rollout.measures


def records(folder) -> dict[str, list[PlayedEpisode]]:
    """The records in ``folder``, by the files' names."""
    return {path.stem: read_episodes(path) for path in Path(folder).glob("*_seed*.json")}


def failure(run_agent, capsys, *argv) -> tuple[object, str]:
    """The exit code and the words of a run that fails."""
    with pytest.raises(SystemExit) as stopped:
        run_agent.main(list(argv))
    return stopped.value.code, capsys.readouterr().err


def same_action(ours, theirs) -> bool:
    """Whether two MineRL actions are equal to the bit."""
    return set(ours) == set(theirs) and all(np.array_equal(ours[key], theirs[key]) for key in ours)

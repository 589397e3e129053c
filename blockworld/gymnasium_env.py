"""BlockWorld for gymnasium: ``gymnasium.make("BlockWorld-v0")``. Needs ``pip install -e .[gymnasium]``.

Gymnasium knows a world once the module that registers it was imported, so importing this one is what registers it;
``gymnasium.make("blockworld.gymnasium_env:BlockWorld-v0")`` imports it by itself. Nothing else here imports it.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from blockworld.env import BlockWorldEnv
from blockworld.spaces import ITEMS, Enum, checked_action, gym, observation_space

EPISODE = 6000  # ticks: five minutes, as long as the contractors' recordings


class BlockWorld(gymnasium.Env):
    """:class:`~blockworld.env.BlockWorldEnv` behind gymnasium's interface; ``env.unwrapped.game`` is that one.

    Actions and observations are MineRL's, with these exceptions. ``camera`` is a part, -1 to 1, of ``max_turn``
    degrees a tick, pitch and yaw; an item's name is a Text. The reward is always 0.0 and ``terminated`` always False;
    ``truncated`` comes from gymnasium's own time limit (``gymnasium.make(.., max_episode_steps=N)``, by default 6,000).

    ``reset(seed=n)`` plays in the world n, the one of ``BlockWorldEnv(seed=n)``; each reset without a seed in a world
    drawn from the seed before. ``info["world_seed"]`` tells which.
    ``render_mode``: None, or "rgb_array" for ``render() -> uint8 [360, 640, 3]``. ``render_height``, ``items``: see
    BlockWorldEnv. Raises ValueError for a ``max_turn`` outside of (0, 180] and an unknown ``render_mode``.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        render_mode: str | None = None,
        max_turn: float = 10.0,
        render_height: int = 120,
        items: Mapping[str, int] | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"there is no render_mode {render_mode!r}; take None or 'rgb_array'")
        if not 0 < max_turn <= 180:
            raise ValueError(f"max_turn {max_turn} must be above 0 and at most 180 degrees")
        self.render_mode, self.max_turn = render_mode, max_turn
        self.game = BlockWorldEnv(render_height=render_height, items=items)
        self.version = self.game.version
        keys: dict[str, spaces.Space] = {
            name: spaces.Discrete(2) for name in self.game.action_space.spaces if name != "camera"
        }
        self.action_space = spaces.Dict({**keys, "camera": spaces.Box(-1.0, 1.0, (2,), np.float32)})
        self.observation_space = _modern(observation_space())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new episode. ``options``: none are known. Returns (observation, info)."""
        if options:
            raise ValueError(f"BlockWorld's reset knows no options, so not {', '.join(map(str, options))}")
        super().reset(seed=seed)
        self.world_seed = int(self.np_random.integers(2**32)) if seed is None else seed
        self.game.seed(self.world_seed)
        return self.game.reset(), {"world_seed": self.world_seed}

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One tick. Keys that are left out do nothing. Raises ValueError for an action outside of the action space.

        Returns (observation, 0.0, False, False, info); info is BlockWorldEnv's and ``world_seed``.
        """
        keys, pitch, yaw = checked_action(action)
        if max(abs(pitch), abs(yaw)) > 1:
            raise ValueError(f"the action's 'camera' is {action['camera']!r}; both parts must be in -1..1")
        camera = [pitch * self.max_turn, yaw * self.max_turn]
        observation, reward, done, info = self.game.step({**keys, "camera": camera})
        return observation, reward, done, False, {**info, "world_seed": self.world_seed}

    def render(self) -> np.ndarray | None:
        """The picture of the last observation, uint8 [360, 640, 3]; None without a render mode."""
        return None if self.render_mode is None else self.game.render()

    def close(self) -> None:
        """Let go of the world."""
        self.game.close()


def _modern(space: gym.Space) -> spaces.Space:
    """The gymnasium space with the same members as a gym space."""
    if isinstance(space, gym.spaces.Dict):
        return spaces.Dict({key: _modern(part) for key, part in space.spaces.items()})
    if isinstance(space, Enum):
        return spaces.Text(max(map(len, ITEMS)), charset=string.ascii_lowercase + "_")
    return spaces.Box(space.low, space.high, space.shape, space.dtype.type)


gymnasium.register(
    id="BlockWorld-v0", entry_point="blockworld.gymnasium_env:BlockWorld", max_episode_steps=EPISODE
)

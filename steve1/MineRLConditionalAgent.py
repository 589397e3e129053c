"""The agent: observation and goal in, environment action out, a step at a time.

``MineRLConditionalAgent`` plays one world; ``AgentBatch``, which it is made of, plays N worlds in one batch,
each row with its own memory and its own random stream. Neither knows where observations come from: playing
whole episodes is ``steve1.playing.rollout``'s work, making goals ``steve1.playing.goals``'s, and joining what the
policy says with the goal and without it (guidance) ``steve1.embed_conditioned_policy.guide``'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from steve1.checkpoints import load_model_file, load_weights, tensors_hash
from steve1.cli import UsageError, UserError
from steve1.config import FRAME_SIZE, MINERL_SETTINGS, PI_HEAD_KWARGS, POLICY_2X_KWARGS, POV_SHAPE
from steve1.embed_conditioned_policy import MinecraftAgentPolicy, choose, join
from steve1.streams import torch_stream
from steve1.vpt.actions import ENV_KEYS, UNPREDICTED, agent_to_env


def agent_frame(pov: np.ndarray, img_size: Sequence[int]) -> np.ndarray:
    """What the policy sees of a picture: uint8 [H, W, 3] -> uint8 [h, w, 3], INTER_LINEAR.

    First to the 128x128 of stored frames, then to ``img_size`` where that differs, as training frames went.
    """
    if pov.ndim != 3 or pov.shape[2] != 3 or pov.dtype != np.uint8:
        raise ValueError(f"pov is {list(pov.shape)} of {pov.dtype}; uint8 [H, W, 3] is needed")
    for height, width in ((FRAME_SIZE, FRAME_SIZE), tuple(img_size[:2])):
        if pov.shape[:2] != (height, width):
            pov = cv2.resize(pov, (width, height), interpolation=cv2.INTER_LINEAR)
    return pov


def minerl_actions(joint: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    """MineRL actions of N joint actions ``{"buttons": [N], "camera": [N]}``: 23 keys of 0/1 and camera float32 [2]."""
    env = agent_to_env(*(joint[name].cpu().numpy() for name in ("buttons", "camera")))
    camera = env.pop("camera").astype(np.float32)
    return [
        {
            **dict.fromkeys(UNPREDICTED, 0),
            **{name: int(values[row]) for name, values in env.items()},
            "camera": camera[row],
        }
        for row in range(len(camera))
    ]


PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; None takes a GPU where there is one. Raises UsageError where it isn't there."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0][:80]
        raise UsageError(
            f"--device {name} can't be used here ({reason}); leave it out, or give cpu"
        ) from None
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """Raise :class:`~steve1.cli.UsageError` where a device can't act in a precision of :data:`PRECISIONS`."""
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU; on a CPU use bf16, or leave it out")


@dataclass(frozen=True)
class Thought:
    """What the last actions of N rows were chosen from: log-probs, "buttons" [N, 8641] and "camera" [N, 121].

    ``conditional`` with the goal; ``unconditional`` without it, None where guidance is off; ``guided``: the two joined,
    not renormalised, which ``chosen`` ("buttons" [N], "camera" [N]) was taken from.
    """

    conditional: dict[str, torch.Tensor]
    unconditional: dict[str, torch.Tensor] | None
    guided: dict[str, torch.Tensor]
    chosen: dict[str, torch.Tensor]


class AgentBatch:
    """One policy playing N worlds in one batch; ``thought`` is of its last step.

    Args:
        generators: a random stream a row (:func:`steve1.streams.torch_stream`), so that a row plays the same
            whatever else is in the batch.
        cond_scale: guidance scale of all rows; None and 0 mean none.
        deterministic: take the best action instead of sampling.
    """

    def __init__(
        self,
        policy: MinecraftAgentPolicy,
        generators: Sequence[torch.Generator],
        cond_scale: float | None = None,
        deterministic: bool = False,
    ) -> None:
        if not generators:
            raise ValueError("no generators were given; a batch has at least one row")
        self.policy, self.cond_scale, self.deterministic = policy, cond_scale, deterministic
        self._generators = list(generators)
        self._state = policy.initial_state((2 if cond_scale else 1) * len(generators))
        self._first = torch.ones(len(generators), dtype=torch.bool)
        self.thought: Thought | None = None

    def reset(self, row: int, generator: torch.Generator | None = None) -> None:
        """Begin a new episode in one row: its memory is wiped, its random stream goes on or is ``generator``."""
        self._first[row] = True
        if generator is not None:
            self._generators[row] = generator

    def set_cond_scale(self, cond_scale: float | None) -> None:
        """Change the guidance scale between two steps, keeping the memory; None and 0 turn guidance off.

        Turned on in the middle of an episode, the unconditional half begins with the conditional half's memory,
        for it has seen the same pictures; what came of the goal in it is forgotten as the episode goes on.
        """
        rows = len(self._generators)
        if cond_scale and not self.cond_scale:
            self._state = [tuple(torch.cat([part, part]) for part in block) for block in self._state]
        elif self.cond_scale and not cond_scale:
            self._state = [tuple(part[:rows] for part in block) for block in self._state]
        self.cond_scale = cond_scale

    def act(self, povs: Iterable[np.ndarray], goals: torch.Tensor | np.ndarray) -> list[dict[str, Any]]:
        """Choose an action for each row.

        ``povs``: N pictures, uint8 [H, W, 3]. ``goals``: float [N, E]; zeros are no goal. Returns N MineRL actions.
        """
        size, device = self.policy.net.img_shape, self.policy.net.final_ln.weight.device
        img = torch.from_numpy(np.stack([agent_frame(pov, size) for pov in povs]))  # [N, h, w, 3]
        goals = torch.as_tensor(goals, dtype=torch.float32)
        wanted = (len(self._generators), self.policy.net.mineclip_embed_dim)
        if img.shape[0] != wanted[0] or tuple(goals.shape) != wanted:
            raise ValueError(
                f"{img.shape[0]} pictures and goals of shape {list(goals.shape)} for {wanted[0]} rows; this policy "
                f"takes goals {list(wanted)}, so give it embeddings of width {wanted[1]}"
            )
        conditional, unconditional, self._state = self.policy.consider(
            {"img": img.to(device), "mineclip_embed": goals.to(device)},
            self._first.to(device),
            self._state,
            self.cond_scale,
        )
        guided = join(conditional, unconditional, self.cond_scale)
        joint = choose(guided, not self.deterministic, self._generators)
        self._first = torch.zeros_like(self._first)
        self.thought = Thought(conditional, unconditional, guided, joint)
        return minerl_actions(joint)


class MineRLConditionalAgent:
    """STEVE-1 in one world.

    Args:
        env: checked against what the policy was trained on (:func:`check_env`); None leaves that out.
        device: torch device; None takes a GPU where there is one.
        policy_kwargs, pi_head_kwargs: the architecture; None means the published 2x policy.
        seed: of the sampling; None samples from torch's global stream. deterministic: take the best action instead.
        precision: one of :data:`PRECISIONS`; half precision makes published policies faster on a GPU.

    The policy has random weights until :meth:`load_weights`.
    """

    def __init__(
        self,
        env: Any = None,
        device: str | torch.device | None = None,
        policy_kwargs: dict | None = None,
        pi_head_kwargs: dict | None = None,
        *,
        seed: int | None = None,
        deterministic: bool = False,
        precision: str = "no",
    ) -> None:
        if env is not None:
            check_env(env)
        device = find_device(device)
        check_precision(precision, device)
        self.policy = MinecraftAgentPolicy(
            POLICY_2X_KWARGS if policy_kwargs is None else policy_kwargs,
            PI_HEAD_KWARGS if pi_head_kwargs is None else pi_head_kwargs,
        )
        self.policy.to(device).eval()
        self.policy.set_precision(PRECISIONS[precision])
        self.deterministic = deterministic
        self._generator = torch.default_generator
        self.reset(seed=seed)

    def load_weights(self, path: str | os.PathLike) -> None:
        """Load a ``.weights`` file; raises :class:`~steve1.cli.UserError` where it does not fit."""
        load_weights(self.policy, path)
        self.reset(self._batch.cond_scale)

    def reset(self, cond_scale: float | None = None, seed: int | None = None) -> None:
        """Begin an episode with an empty memory; sampling goes on, or begins anew where a ``seed`` is given.

        ``cond_scale``: guidance scale (published: 6.0 for text goals, 7.0 for visual ones); None or 0 means none.
        """
        if seed is not None:
            self._generator = torch_stream("actions", seed)
        self._batch = AgentBatch(self.policy, [self._generator], cond_scale, self.deterministic)

    def get_action(
        self, obs: Mapping[str, Any], goal_embed: torch.Tensor | np.ndarray | Sequence[float]
    ) -> dict[str, Any]:
        """The action after an observation, and one step of memory.

        ``obs``: ``{"pov": uint8 [H, W, 3]}``. ``goal_embed``: float [E] or [1, E]; zeros are no goal.
        Returns a MineRL action: 23 keys of 0/1 and ``camera``, degrees [pitch, yaw], float32 [2].
        """
        goal = torch.as_tensor(goal_embed, dtype=torch.float32)
        return self._batch.act([np.asarray(obs["pov"])], goal[None] if goal.ndim == 1 else goal)[0]


def load_policy(
    in_model: str | os.PathLike,
    in_weights: str | os.PathLike,
    device: str | torch.device | None = None,
    precision: str = "no",
) -> tuple[MinecraftAgentPolicy, str]:
    """A policy ready to act, and the hash of its weights as they stand in the file.

    ``device``, ``precision``: as :class:`MineRLConditionalAgent` takes them; raises
    :class:`~steve1.cli.UserError` where they, or the files, do not fit.
    """
    place = find_device(device)
    check_precision(precision, place)
    agent = MineRLConditionalAgent(None, place, *load_model_file(in_model))
    agent.load_weights(in_weights)
    weights_hash = tensors_hash(agent.policy)
    agent.policy.set_precision(PRECISIONS[precision])
    return agent.policy, weights_hash


def check_env(env: Any) -> None:
    """Raise :class:`~steve1.cli.UserError` listing all by which an env differs from what the policy knows.

    Its action keys, its picture, and, where it says them (MineRL's ``task`` does), resolution, field of view,
    gamma, GUI scale and cursor size.
    """
    problems = []
    keys, wanted = set(env.action_space.spaces), {*ENV_KEYS, "camera"}
    if keys != wanted:
        problems.append(
            f"its actions lack {sorted(wanted - keys)} and have {sorted(keys - wanted)} beyond MineRL 1.0's"
        )
    pov = env.observation_space.spaces.get("pov")
    if pov is None or tuple(pov.shape) != POV_SHAPE:
        problems.append(f"its pov is {None if pov is None else list(pov.shape)}, not {list(POV_SHAPE)}")
    task = getattr(env, "task", None)
    for name, value in MINERL_SETTINGS.items():
        found = getattr(task, name, None)
        if found is not None and list(found) != value:
            problems.append(f"its {name} is {list(found)}, not {value}")
    if problems:
        raise UserError(
            f"this world is not as the policy knows it: {'; '.join(problems)}. Make it with steve1.envs.make_env"
        )

"""Several worlds asked at once: those that run in processes of their own work side by side, to the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steve1.envs.telling import WorldLost

Step = tuple[dict[str, Any], float, bool, dict[str, Any]]


def reset_all(envs: Sequence[Any]) -> list[dict[str, Any] | WorldLost]:
    """What each world's ``reset`` returns, or the :class:`WorldLost` that it raises."""
    return [
        sent if isinstance(sent, WorldLost) else _caught(env.receive_reset if sent else env.reset)
        for env, sent in [(env, _sent(env, "send_reset")) for env in envs]
    ]


def step_all(
    envs: Sequence[Any], actions: Sequence[Mapping[str, Any] | None]
) -> list[Step | WorldLost | None]:
    """What each world's ``step`` returns, or the :class:`WorldLost` that it raises; None where the action is None."""
    sent = [
        None if action is None else _sent(env, "send_step", action)
        for env, action in zip(envs, actions, strict=True)
    ]
    found: list[Step | WorldLost | None] = []
    for env, action, begun in zip(envs, actions, sent, strict=True):
        if begun is None or isinstance(begun, WorldLost):
            found.append(begun)
        elif begun:
            found.append(_caught(env.receive_step))
        else:
            found.append(_caught(env.step, action))
    return found


def _sent(env: Any, send: str, *args: Any) -> bool | WorldLost:
    """Whether the world was asked, without waiting for its answer; those in this process can't be."""
    if not hasattr(env, send):
        return False
    lost = _caught(getattr(env, send), *args)
    return lost if isinstance(lost, WorldLost) else True


def _caught(ask: Any, *args: Any) -> Any:
    try:
        return ask(*args)
    except WorldLost as error:
        return error

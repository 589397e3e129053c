"""The order of play: which behaviour comes when, what happens in between, and what the world does to the players.

Between recorded ticks the world now and then turns the player's head, anywhere between straight up and straight
down, shoves it aside or opens the inventory, without any action: so players show again and again how to get back to
what they do. Without that a policy learns from the steady part of a behaviour only to keep what it sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from blockworld.env import BlockWorldEnv
from blockworld.players.behaviour import Action, action, towards
from blockworld.players.behaviours import PLAYERS, hover, unknown
from blockworld.players.wordings import USUAL

# How often each behaviour comes in a round; chopping takes long, so it needs more showing.
DECK = ("sky", "dig", "tree", "tree", "seeds", "explore", "swim", "inventory")
_ACCIDENTS = 0.25  # how often the inventory opens by itself for one turn of the head


@dataclass(frozen=True)
class Move:
    """An action to be played now, and the behaviour that it shows (None: none that can be seen).

    ``segment`` counts the showings from 0; moves in between have the number of the next one.
    """

    action: Action
    behaviour: str | None
    segment: int


def play(env: BlockWorldEnv, rng: np.random.Generator, behaviours: Sequence[str] = USUAL) -> Iterator[Move]:
    """Yield moves without end; each must be given to ``env.step`` before the next is asked for.

    ``env`` has been reset and is changed between moves as well (see above), so look at it, and record it,
    after taking a move and before playing it. ``behaviours``: names of PLAYERS.
    """
    deck = [name for name in DECK if name in behaviours]
    deck += [name for name in behaviours if name not in DECK]
    if not deck or unknown(behaviours):
        raise ValueError(f"no players for {list(behaviours)}; there are {', '.join(PLAYERS)}")
    segment = 0
    while True:
        for name in rng.permutation(deck).tolist():
            yield from _wander(env, rng, segment)
            yield from _show(env, rng, name, segment)
            segment += 1


def _wander(env: BlockWorldEnv, rng: np.random.Generator, segment: int) -> Iterator[Move]:
    """Up to ten ticks of walking in a bow."""
    turn = towards(1.6 if rng.random() < 0.5 else -1.6, 1.7)
    for _ in range(rng.integers(11)):
        keys = ("forward", "jump") if env.player.blocked or env.player.in_water else ("forward",)
        yield Move(action(*keys, pitch=towards(8.0 - env.player.pitch, 5.9), yaw=turn), None, segment)


def _show(env: BlockWorldEnv, rng: np.random.Generator, name: str, segment: int) -> Iterator[Move]:
    player = PLAYERS[name](env, rng)
    player.begin()
    for _ in range(rng.integers(*player.frames, endpoint=True)):
        if not env.gui_open:
            if rng.random() < player.steady:
                player.disturb()
            elif name != "inventory" and rng.random() < _ACCIDENTS * player.steady:
                env.step(action("inventory"))
                env.step(action())
                yield from _close(env, rng, segment)
        move = player.act()
        yield Move(move, name if player.shown else None, segment)
    if env.gui_open:
        yield from _close(env, rng, segment)


def _close(env: BlockWorldEnv, rng: np.random.Generator, segment: int) -> Iterator[Move]:
    """Close the screen after a few ticks: a key counts only when it was up the tick before."""
    for tick in range(rng.integers(1, 5)):
        yield Move(hover(tick + 1), None, segment)
    yield Move(action("inventory"), None, segment)

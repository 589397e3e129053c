"""Which worlds and which sampling an evaluation plays: seeds counted upward, or a list in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from steve1.cli import UserError
from steve1.files import read_text

# Comes with the repository. Its worlds are for measuring alone: nothing is trained, tuned or chosen on them.
EVALUATION_SEEDS = Path(__file__).resolve().parents[2] / "configs" / "evaluation_seeds.json"


@dataclass(frozen=True)
class Seed:
    """One episode's randomness: ``world`` makes its world, ``sampling`` its actions and its prior's sample."""

    world: int
    sampling: int


@dataclass(frozen=True)
class SeedList:
    """Seeds in the order in which they are played. ``name`` says which they are, in reports."""

    name: str
    seeds: tuple[Seed, ...]


def counted(first: int, n: int) -> SeedList:
    """The ``n`` seeds from ``first`` upward, each for its world and its sampling alike."""
    seeds = tuple(Seed(seed, seed) for seed in range(first, first + n))
    return SeedList(f"seed {first}" if n == 1 else f"seeds {first} to {first + n - 1}", seeds)


def read_seeds(source: str, n: int | None = None) -> SeedList:
    """The list "evaluation" or that in the file ``source``; the first ``n`` of it where ``n`` is given.

    A file is JSON ``{"name": str, "seeds": [{"world": int, "sampling": int}, ...]}``. Raises
    :class:`~steve1.cli.UserError` for any other, for a seed that comes twice, and for fewer than ``n``.
    """
    path = EVALUATION_SEEDS if source == "evaluation" else Path(source)
    if not path.is_file():
        raise UserError(f"--seeds {source} is no file; give evaluation or a JSON file of seeds")
    try:
        content = json.loads(read_text(path))
        name = str(content["name"])
        seeds = tuple(Seed(_seed(row["world"]), _seed(row["sampling"])) for row in content["seeds"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no list of seeds ({type(error).__name__}: {error}); it must be "
            '{"name": "...", "seeds": [{"world": 5, "sampling": 7}, ...]}'
        ) from None
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{path} has {'no seeds' if not seeds else 'a seed twice'}; mend it")
    if n is None or n == len(seeds):
        return SeedList(name, seeds)
    if n > len(seeds):
        raise UserError(f"{path} has {len(seeds)} seeds, {n} were asked for; ask for fewer")
    return SeedList(f"{name}, the first {n} of {len(seeds)}", seeds[:n])


def _seed(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is no whole number from 0 to 2147483647")
    return value

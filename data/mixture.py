"""The datasets of a sampling: their names, the weights with which their items are drawn, and in which order.

``NAME_datasets.json`` stands beside a sampling of several datasets. Weights belong to the drawing of items: every
episode is used, and whatever the datasets' sizes, the share of each among the drawn items is its weight. A
sampling without the file, or without weights, draws every item equally often.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steve1.cli import UserError
from steve1.files import read_text, write_json
from steve1.streams import numpy_stream

if TYPE_CHECKING:
    from data.minecraft_dataset import MinecraftDataset

Group = tuple[np.ndarray, float]  # items of one dataset, int [n], and its weight


@dataclass(frozen=True)
class Mixture:
    """Attributes:

    names: of the datasets. weights: shares of the drawn items, of sum 1; None where each item counts alike.
    dataset_of: the position in ``names`` of each episode's folder.
    """

    names: list[str]
    weights: list[float] | None
    dataset_of: dict[str, int]

    def owners(self, dataset: MinecraftDataset) -> list[int]:
        """The dataset of each item; raises UserError for an episode that the mixture does not know."""
        unknown = [path for path in dataset.episode_dirs if path not in self.dataset_of]
        if unknown:
            raise UserError(
                f"the episode {unknown[0]} is in the sampling's list and in no dataset of its _datasets.json; create "
                "the sampling again, or delete that file to draw all items alike"
            )
        return [self.dataset_of[dataset.episode_dirs[number]] for number, _ in dataset.chunks]

    def groups(self, dataset: MinecraftDataset) -> list[Group] | None:
        """The items of each dataset to be drawn with its weight; None where no weights are given.

        Raises UserError where a dataset with a weight has no item.
        """
        owners = np.array(self.owners(dataset))
        if self.weights is None:
            return None
        groups = []
        for number, (name, weight) in enumerate(zip(self.names, self.weights, strict=True)):
            items = np.flatnonzero(owners == number)
            if weight > 0 and not len(items):
                raise UserError(
                    f"{weight:.1%} of the items are to be drawn from {name}, and none of its episodes can be used; "
                    "they may be shorter than T + 15 frames or cut off by --data_limit: lower --T, or raise that"
                )
            if weight > 0:
                groups.append((items, weight))
        return groups


def datasets_file(sampling_dir: str | os.PathLike, name: str) -> Path:
    """Where the datasets of a sampling stand."""
    return Path(sampling_dir) / f"{name}_datasets.json"


def dataset_names(folders: Sequence[str]) -> list[str]:
    """A name for each folder: its last part, without ``dataset_``, and where two are equal a number."""
    names: list[str] = []
    for folder in folders:
        plain = Path(folder).resolve().name.removeprefix("dataset_") or "dataset"
        number = sum(name == plain or name.startswith(f"{plain}_") for name in names)
        names.append(f"{plain}_{number + 1}" if plain in names else plain)
    return names


def save_mixture(path: Path, mixture: Mixture, folders: Sequence[str]) -> None:
    """Write ``NAME_datasets.json``; ``folders`` are where the datasets come from."""
    weights: Sequence[float | None] = mixture.weights or [None] * len(mixture.names)
    rows = zip(mixture.names, folders, weights, strict=True)
    write_json(
        path,
        {
            "datasets": [{"name": name, "folder": folder, "weight": weight} for name, folder, weight in rows],
            "episodes": {folder: mixture.names[number] for folder, number in mixture.dataset_of.items()},
        },
    )


def load_mixture(sampling_dir: str | os.PathLike, name: str) -> Mixture | None:
    """The datasets of a sampling; None where it does not tell (one dataset, or made by an earlier version).

    Raises:
        UserError: where the file is there and is none.
    """
    path = datasets_file(sampling_dir, name)
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        names = [str(row["name"]) for row in content["datasets"]]
        given = [row["weight"] for row in content["datasets"]]
        weights = None if all(weight is None for weight in given) else [float(w or 0) for w in given]
        dataset_of = {folder: names.index(owner) for folder, owner in content["episodes"].items()}
        if weights is not None and not (min(weights) >= 0 and 0 < sum(weights) < float("inf")):
            raise ValueError(f"weights {weights}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} can't be read ({error}); create the sampling again") from None
    if weights is not None:
        weights = [weight / sum(weights) for weight in weights]
    return Mixture(names, weights, dataset_of)


def mixed_order(groups: Sequence[Group], seed: int) -> Iterator[tuple[int, int]]:
    """The endless stream of (pass over its dataset, item) in which a weighted sampling is drawn.

    Each place goes to the dataset that is furthest behind its share, so that after any number of places each has
    its share to within one item (of k datasets: k - 1). Each dataset's items come in permutations of their own.
    """
    weights = np.array([weight for _, weight in groups])
    weights = weights / weights.sum()
    drawn = np.zeros(len(groups), dtype=np.int64)
    orders: list[np.ndarray] = [items for items, _ in groups]
    for place in itertools.count(1):
        group = int(np.argmax(weights * place - drawn))
        items = groups[group][0]
        turn, index = divmod(int(drawn[group]), len(items))
        if index == 0:
            orders[group] = items[numpy_stream("mixed items", seed, group, turn).permutation(len(items))]
        drawn[group] += 1
        yield turn, int(orders[group][index])

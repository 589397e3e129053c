"""Training items: chunks of episodes with hindsight goals and guidance dropout, and the order they come in.

An item is T consecutive frames of one episode, their actions, and for each frame the embedding of a goal that
the same episode reaches a little later. Everything random is a function of (seed, epoch, item), so items do not
depend on the number of workers, and a resumed run sees what an unbroken one would. docs/formats.md.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.EpisodeStorage import EpisodeStorage
from data.goals import check_marked, goal_of_each_frame, sample_goals
from data.loader_errors import explained
from data.mixture import Group, mixed_order
from steve1.cli import UserError
from steve1.config import FIRST_EMBED, FRAME_SIZE
from steve1.files import read_text
from steve1.streams import numpy_stream
from steve1.vpt.actions import env_to_agent, stored

Item = tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]


def chunk_starts(length: int, T: int) -> list[int]:
    """Return where the chunks of an episode start: 15, 15+T, ..., the last one moved back to end at its end."""
    return [min(start, length - T) for start in range(FIRST_EMBED, length, T) if length >= FIRST_EMBED + T]


class MinecraftDataset:
    """Items of a list of episodes, for torch's DataLoader (which needs no subclassing).

    ``dataset[i]`` and ``dataset[epoch, i]`` return ``(obs, actions, firsts)``, numpy arrays:
    ``obs = {"img": uint8 [T, H, W, 3], "mineclip_embed": float32 [T, E]}``,
    ``actions = {"buttons": int64 [T], "camera": int64 [T]}``, ``firsts``: bool [T], true at the first frame.
    Goals don't cross an episode's cuts; a frame whose segment is too short for an embedding of its own has zeros, no
    goal.
    An integer alone means epoch 0; validation uses that with ``p_uncond=0``, which fixes its goals.

    After :meth:`use_features` an item has ``obs["features"]``, float32 [T, width], in place of ``obs["img"]``.

    Attributes:
        chunks: list of (episode's position in ``episode_dirs``, first frame), one an item.
        left_out: folders of the episodes that are too short to hold one item.
        frames: frames of the episodes that are used; an item covers T of them.
        marked_by: which policy and rule marked the boundaries that goals lie at; None with uniform goals.

    Args:
        T: frames an item. min_btwn_goals, max_btwn_goals: goal gaps in frames, the maximum excluded.
        goal_sampling: "uniform", or "boundaries" for goals where marked behaviours end (data/goals.py).
        p_uncond: probability that all goals of an item are zeros. img_size: (height, width) that frames are
            resized to by ``cv2.INTER_LINEAR``, as the agent does; None keeps the stored 128x128.

    Raises :class:`~steve1.cli.UserError` for impossible values, a missing folder, or when no episode is left; an
    item raises it, naming the episode, where a file is missing or damaged, an embedding is not finite, or embeddings
    are of another width than the first episode's.
    """

    def __init__(
        self,
        episode_dirs: Sequence[str | os.PathLike],
        T: int,
        min_btwn_goals: int,
        max_btwn_goals: int,
        p_uncond: float = 0.1,
        seed: int = 0,
        img_size: tuple[int, int] | None = None,
        goal_sampling: str = "uniform",
    ) -> None:
        if T < 1:
            raise UserError(f"T is {T}; an item has at least 1 frame")
        if not 1 <= min_btwn_goals < max_btwn_goals:
            raise UserError(
                f"min_btwn_goals is {min_btwn_goals} and max_btwn_goals {max_btwn_goals}; the minimum must be at "
                "least 1 and below the maximum"
            )
        if not 0 <= p_uncond <= 1:
            raise UserError(f"p_uncond is {p_uncond}; a probability is between 0 and 1")
        if seed < 0:
            raise UserError(f"seed is {seed}; it must be at least 0")
        if len(episode_dirs) == 0:
            raise UserError("the list of episodes is empty; create a sampling with 2_create_sampling.sh")
        self.episode_dirs = [str(path) for path in episode_dirs]
        self.T, self.min_btwn_goals, self.max_btwn_goals = T, min_btwn_goals, max_btwn_goals
        self.p_uncond, self.seed, self.img_size = p_uncond, seed, img_size
        self.goal_sampling = goal_sampling
        self.chunks: list[tuple[int, int]] = []
        self.left_out: list[str] = []
        self.frames = 0
        self._episodes: dict[int, EpisodeStorage] = {}
        self._agent_actions: dict[int, dict[str, np.ndarray]] = {}
        self._features: Mapping[str, Path] | None = None
        self._feature_width = 0
        for number, path in enumerate(self.episode_dirs):
            length = len(EpisodeStorage(path))
            starts = chunk_starts(length, T)
            self.chunks += [(number, start) for start in starts]
            if starts:
                self.frames += length
            else:
                self.left_out.append(path)
        if not self.chunks:
            raise UserError(
                f"all {len(self.left_out)} episodes are shorter than T + {FIRST_EMBED} = {T + FIRST_EMBED} frames "
                f"(the first is {self.left_out[0]}); lower T or record longer episodes"
            )
        self.marked_by = check_marked(self.used_dirs) if goal_sampling == "boundaries" else None

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        epoch, item = index if isinstance(index, tuple) else (0, index)
        if not 0 <= item < len(self.chunks):
            raise IndexError(f"item {item} of {len(self.chunks)}")
        with named(self.episode_dirs[self.chunks[item][0]]):
            return self._item(epoch, item)

    def _item(self, epoch: int, item: int) -> Item:
        number, start = self.chunks[item]
        episode = self._episode(number)
        unconditional, goals = self._draw(epoch, item)
        embeds = self._embeds(number, goals)
        if unconditional:
            embeds = np.zeros_like(embeds)
        firsts = np.zeros(self.T, dtype=bool)
        firsts[0] = True
        actions = self._actions(number, start)
        return {**self._seen(episode, start), "mineclip_embed": embeds}, actions, firsts

    def _seen(self, episode: EpisodeStorage, start: int) -> dict[str, np.ndarray]:
        """What stands for the pictures of an item."""
        stop = start + self.T
        if self._features is None:
            return {"img": resized(episode.load_frames(start, stop), self.img_size)}
        features = np.load(self._features[str(episode.dirpath)], mmap_mode="r")
        return {"features": np.array(features[start:stop])}

    def use_features(self, files: Mapping[str, Path], width: int) -> None:
        """Serve picture features instead of pictures: for each of :attr:`used_dirs` an .npy, float32 [n, width]."""
        self._features, self._feature_width = {str(Path(name)): path for name, path in files.items()}, width

    @property
    def used_dirs(self) -> list[str]:
        """The folders of the episodes that items are taken from."""
        return [self.episode_dirs[number] for number in dict.fromkeys(number for number, _ in self.chunks)]

    def load_frames(self, episode_dir: str, start: int, stop: int) -> np.ndarray:
        """Frames of an episode in the size of the items', uint8 [stop - start, H, W, 3]."""
        with named(episode_dir):
            return resized(EpisodeStorage(episode_dir).load_frames(start, stop), self.img_size)

    @functools.cached_property
    def embed_dim(self) -> int:
        """The width E of the goal embeddings, as the first episode's metadata or embeddings say."""
        episode = self._episode(self.chunks[0][0])
        width = episode.metadata.get("embed_dim")
        return width if isinstance(width, int) and width > 0 else episode.load_embeds_attn().shape[1]

    @property
    def item_bytes(self) -> int:
        """What one item takes in memory: pictures, embeddings, actions and firsts."""
        height, width = self.img_size or (FRAME_SIZE, FRAME_SIZE)
        seen = height * width * 3 if self._features is None else 4 * self._feature_width
        return self.T * (seen + 4 * self.embed_dim + 2 * 8 + 1)

    def goals(self, item: int, epoch: int = 0) -> np.ndarray:
        """Return the goal frame of each of an item's frames, int64 [T], as ``dataset[epoch, item]`` uses them."""
        return self._draw(epoch, item)[1]

    def goal_embeds(self, item: int, epoch: int = 0) -> np.ndarray:
        """Return an item's goal embeddings alone, float32 [T, E], never dropped out."""
        with named(self.episode_dirs[self.chunks[item][0]]):
            return self._embeds(self.chunks[item][0], self.goals(item, epoch))

    def _draw(self, epoch: int, item: int) -> tuple[bool, np.ndarray]:
        """All that is random in an item: whether its goals are dropped, and each frame's goal, int64 [T]."""
        number, start = self.chunks[item]
        rng = numpy_stream(self.seed, epoch, item)
        unconditional = bool(rng.random() < self.p_uncond)
        episode = self._episode(number)
        marks = episode.load_boundaries().frames if self.goal_sampling == "boundaries" else None
        goals = sample_goals(len(episode), self.min_btwn_goals, self.max_btwn_goals, rng, episode.cuts, marks)
        return unconditional, goal_of_each_frame(goals, start, self.T)

    def _embeds(self, number: int, goals: np.ndarray) -> np.ndarray:
        embeds = self._episode(number).load_goals()[goals]  # [T, E]
        if embeds.shape[1] != self.embed_dim:
            raise UserError(
                f"the embeddings of {self.episode_dirs[number]} are {embeds.shape[1]} wide, and those of "
                f"{self.episode_dirs[self.chunks[0][0]]} {self.embed_dim}; make a sampling of one kind"
            )
        embeds[np.isnan(embeds[:, 0])] = 0
        return embeds

    def __getstate__(self) -> dict:
        # Workers that are sent a pickle open what they need themselves.
        kept = {name: value for name, value in self.__dict__.items() if name != "embed_dim"}
        return {**kept, "_episodes": {}, "_agent_actions": {}}

    def _episode(self, number: int) -> EpisodeStorage:
        if number not in self._episodes:
            self._episodes[number] = EpisodeStorage(self.episode_dirs[number])
        return self._episodes[number]

    def _actions(self, number: int, start: int) -> dict[str, np.ndarray]:
        """The joint actions of the T frames from ``start`` on, int64 [T] each."""
        episode, stop = self._episode(number), start + self.T
        if not episode.published:
            return env_to_agent(episode.load_actions(start, stop))
        # A pickled list can only be read whole, so it is kept, in its smallest form: three bytes a frame.
        if number not in self._agent_actions:
            env_actions = EpisodeStorage(self.episode_dirs[number]).load_actions()
            self._agent_actions[number] = stored(env_to_agent(env_actions))
        kept = self._agent_actions[number]
        return {name: values[start:stop].astype(np.int64) for name, values in kept.items()}


@contextlib.contextmanager
def named(folder: str) -> Iterator[None]:
    """Name the episode and file in what reading them raises.

    torch's workers hand over an error's class and its text alone, so that is all it may consist of.
    """
    try:
        yield
    except UserError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        path = error.filename or folder
        what = "is missing" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
        raise UserError(
            f"{path} {what}; make the episode again, or leave it out of the sampling (data/EpisodeStorage.py "
            f"--validate {folder} says what else is wrong with it)"
        ) from None


def resized(frames: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Frames in the size that a policy sees, uint8 [T, h, w, 3] -> uint8 [T, H, W, 3]; None keeps them as they are."""
    if size is None or frames.shape[1:3] == tuple(size):
        return frames
    import cv2

    height, width = size
    out = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        cv2.resize(frame, (width, height), dst=out[index], interpolation=cv2.INTER_LINEAR)
    return out


def item_order(n_items: int, seed: int, epoch: int) -> np.ndarray:
    """Return the permutation of the items, int64 [n_items], in which an epoch visits them."""
    return numpy_stream(seed, epoch).permutation(n_items)


class ItemSampler:
    """A DataLoader's ``batch_sampler``: lists of (epoch, item), without end.

    All ranks walk one endless stream of items, the epochs' permutations one after the other. Global batch k is
    ``batch_size * world_size`` items of it, from position ``start_item + k * batch_size * world_size``, and each
    rank takes its contiguous slice. Batches may straddle an epoch's edge, so no item is ever dropped.

    Args:
        start_item: position in the stream to begin at: how many items all ranks together have seen so far.
        shuffle: False visits the items in their own order in every epoch.
        groups: of a sampling with weights, see data/mixture.py; the stream is then theirs, and an item's epoch is
            the pass over its dataset.
    """

    def __init__(
        self,
        n_items: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        start_item: int = 0,
        shuffle: bool = True,
        groups: Sequence[Group] | None = None,
    ) -> None:
        assert n_items >= 1
        assert batch_size >= 1
        assert 0 <= rank < world_size
        assert start_item >= 0
        self.n_items, self.batch_size, self.rank, self.world_size = n_items, batch_size, rank, world_size
        self.seed, self.start_item, self.shuffle = seed, start_item, shuffle
        self.groups = groups

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        if self.groups:
            return self._mixed(self.groups)
        return self._one_after_the_other()

    def _mixed(self, groups: Sequence[Group]) -> Iterator[list[tuple[int, int]]]:
        stream = itertools.islice(mixed_order(groups, self.seed), self.start_item, None)
        while True:
            batch = list(itertools.islice(stream, self.batch_size * self.world_size))
            yield batch[self.rank * self.batch_size :][: self.batch_size]

    def _one_after_the_other(self) -> Iterator[list[tuple[int, int]]]:
        position = self.start_item + self.rank * self.batch_size
        orders: dict[int, np.ndarray] = {}
        while True:
            batch = []
            for p in range(position, position + self.batch_size):
                epoch, index = divmod(p, self.n_items)
                if epoch not in orders:
                    orders = {known: order for known, order in orders.items() if known == epoch - 1}
                    orders[epoch] = self._order(epoch)
                batch.append((epoch, int(orders[epoch][index])))
            yield batch
            position += self.batch_size * self.world_size

    def _order(self, epoch: int) -> np.ndarray:
        return item_order(self.n_items, self.seed, epoch) if self.shuffle else np.arange(self.n_items)


def batches(loader: Iterable[Any]) -> Generator[Any, None, None]:
    """The batches of a torch DataLoader; closing this iterator ends the loader's workers.

    A worker's :class:`~steve1.cli.UserError` comes wrapped in its traceback; here it is the sentence alone. A lost
    worker is one too, where it is noticed here (data/loader_errors.py).
    """
    failed = None
    try:
        with explained():
            yield from loader
    except UserError as error:
        # What was raised refers to itself and to the loader, whose workers would wait until it is collected.
        traceback.clear_frames(error.__traceback__)
        failed = str(error).rpartition("UserError: ")[2].strip()
    if failed is not None:
        raise UserError(failed)


def load_sampling(sampling_dir: str | os.PathLike, name: str) -> tuple[list[str], list[str]]:
    """Read ``NAME_train.txt`` and ``NAME_val.txt`` and return both lists of episode folders.

    Relative lines are taken from the working folder; empty lines and lines that begin with # are skipped.
    The validation list may be empty, the training list may not.

    Raises :class:`~steve1.cli.UserError` where a list or a folder in it is missing.
    """
    train, val = (read_list(Path(sampling_dir) / f"{name}_{part}.txt") for part in ("train", "val"))
    if not train:
        raise UserError(
            f"{Path(sampling_dir) / f'{name}_train.txt'} lists no episode; create the sampling again"
        )
    return train, val


def read_list(path: str | os.PathLike) -> list[str]:
    """Read one list of episode folders; raises :class:`~steve1.cli.UserError` where it or a folder is missing."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"there is no sampling {path}; create it with 2_create_sampling.sh or check --sampling and --sampling_dir"
        )
    lines = [line.strip() for line in read_text(path).split("\n")]
    folders = [line for line in lines if line and not line.startswith("#")]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(
                f"the episode folder {folder}, listed in {path}, does not exist; create the sampling again"
            )
    return folders

"""Mark where behaviours end in episodes, by what a policy does not foresee; for --goal_sampling boundaries.

    python data/generation/mark_boundaries.py --sampling neurips --in_model data/weights/vpt/2x.model \\
        --in_weights data/weights/vpt/rl-from-foundation-2x.weights

    python data/generation/mark_boundaries.py --sampling quickstart --sampling_dir data/quickstart/samplings \\
        --in_model configs/quickstart_policy.json --in_weights data/quickstart/weights/steve1/small.weights

The policy sees each episode once, without a goal, and says how unlikely it found each recorded action; a behaviour
ends where that stands out from what it was before (the exact rule: data/boundaries.py). The marks of an episode are a
file in its folder, goal_boundaries.npz. Episodes that are marked are passed over, so the same command goes on after
a stop; marks of another policy or rule are replaced only when --replace says so, and where only the rule is another,
no frame is looked at again.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from data.boundaries import Boundaries, Rule, find_boundaries
from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.parallel import cores, ordered_map
from steve1 import hub
from steve1.cli import (
    UserError,
    boolean,
    count,
    entry_point,
    not_there,
    number,
    out_of_range,
    report_all,
)
from steve1.config import data_root

if TYPE_CHECKING:
    import numpy as np

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

CHUNK = 128  # frames that the policy sees at once; its memory goes from one to the next
_SHOWN = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # thresholds in the closing table


# ---- one episode ----


def surprise(policy: MinecraftAgentPolicy, episode: EpisodeStorage) -> np.ndarray:
    """How unlikely the policy, without a goal, finds each recorded action: float32 [n], nats.

    Its memory begins empty at the episode's start and at each cut, as in play, and goes from chunk to chunk.
    Raises :class:`~steve1.cli.UserError` where a loss is not finite.
    """
    import numpy as np
    import torch

    from data.minecraft_dataset import resized
    from steve1.vpt.actions import env_to_agent

    n, device = len(episode), policy.net.final_ln.weight.device
    height, width = policy.net.img_shape[:2]
    nll = np.zeros(n, dtype=np.float32)
    for begin, end in itertools.pairwise([0, *episode.cuts.tolist(), n]):
        memory = policy.initial_state(1)
        for start in range(begin, end, CHUNK):
            stop = min(start + CHUNK, end)
            frames = resized(episode.load_frames(start, stop), (height, width))
            taken = {
                name: torch.from_numpy(values)[None].to(device)
                for name, values in env_to_agent(episode.load_actions(start, stop)).items()
            }
            first = torch.zeros(1, stop - start, dtype=torch.bool, device=device)
            first[0, 0] = start == begin
            goal = torch.zeros(1, stop - start, policy.net.mineclip_embed_dim, device=device)
            obs = {"img": torch.from_numpy(frames)[None].to(device), "mineclip_embed": goal}
            with torch.no_grad():
                (log_probs, _), memory = policy(obs, first, memory)
            nll[start:stop] = -policy.log_prob(log_probs, taken)[0].float().cpu().numpy()
    if not np.isfinite(nll).all():
        raise UserError(
            f"{episode.dirpath}: the policy's loss at frame {int(np.flatnonzero(~np.isfinite(nll))[0])} is no finite "
            "number; give other --in_weights"
        )
    return nll


def mark(model: str, weights: str, policy_hash: str, rule: Rule, episode_dir: str) -> Boundaries:
    """Mark one episode, keep the marks in its folder, and return them."""
    with single_threaded():
        marks = Boundaries.mark(
            surprise(loaded(model, weights), EpisodeStorage(episode_dir)),
            policy_hash,
            rule,
            EpisodeStorage(episode_dir).cuts,
        )
    EpisodeStorage(episode_dir).write_boundaries(marks)
    return marks


@functools.lru_cache(maxsize=1)
def loaded(model: str, weights: str) -> MinecraftAgentPolicy:
    """The policy, without a goal; one is kept for all episodes that a process marks."""
    from data.generation.gen_mixed_agents import load_agent

    return load_agent(model, weights, say=lambda line: None)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Sums on several threads come out otherwise, bit by bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- all of them ----


def to_do(
    episode_dirs: Sequence[str], policy_hash: str, rule: Rule, replace: bool
) -> tuple[list[str], list[Boundaries]]:
    """The episodes that the policy has to see, and the marks of the others, as they are now.

    Where the same policy marked by another rule and ``replace`` says so, its losses are judged anew at once.
    Raises :class:`~steve1.cli.UserError` where there are marks of another policy or rule otherwise.
    """
    missing, there, other = [], [], []
    again: list[tuple[EpisodeStorage, Boundaries]] = []
    for path in episode_dirs:
        episode = EpisodeStorage(path)
        try:
            marks = episode.load_boundaries() if episode.has_boundaries() else None
        except UserError:  # damaged, or of other frames: of no use to anybody
            marks = None
        if marks is None:
            missing.append(path)
        elif marks.policy == policy_hash and marks.rule == rule:
            there.append(marks)
        else:
            other.append(f"{path}, {marks.maker_name}")
            if marks.policy == policy_hash:
                again.append((episode, marks))
            else:
                missing.append(path)
    if other and not replace:
        raise UserError(
            f"{len(other):,} of {len(episode_dirs):,} episodes are marked by another policy or rule (the first: "
            f"{other[0]}); give what they were marked with, or --replace True to mark them anew"
        )
    for episode, marks in again:
        anew = Boundaries.mark(marks.nll, policy_hash, rule, marks.cuts)
        episode.write_boundaries(anew)
        there.append(anew)
    return missing, there


def summary(marked: Sequence[Boundaries], rule: Rule) -> str:
    """What was marked, and how much other thresholds would mark."""
    frames = sum(len(marks.nll) for marks in marked)
    found = sum(len(marks.frames) for marks in marked)
    loss = sum(float(marks.nll.astype(float).sum()) for marks in marked) / max(frames, 1)
    lines = [
        f"{len(marked):,} episodes of {frames:,} frames: {found:,} boundaries, {_every(frames, found)}; the policy's "
        f"mean loss without a goal is {loss:.2f} nats a frame",
        "with another --threshold (the frames are not looked at again; give --replace True):",
    ]
    for threshold in _SHOWN:
        other = Rule(threshold, rule.min_length)
        n = sum(len(find_boundaries(marks.nll, other, marks.cuts)) for marks in marked)
        lines.append(f"  {threshold:<4g} {n:>9,} boundaries, {_every(frames, n)}")
    return "\n".join(lines)


def _every(frames: int, found: int) -> str:
    return f"one every {frames / found:.0f} frames" if found else "none"


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Mark what is not marked yet, and say what there is."""
    args = build_parser().parse_args(argv)
    if args.in_model is None and hub.is_hub(args.in_weights):
        args.in_model = args.in_weights
    report_all(problems(args))
    rule = Rule(args.threshold, args.min_length)
    episode_dirs = episodes(args)

    # ---- What is left to do
    import torch
    from tqdm import tqdm

    from steve1.checkpoints import tensors_hash

    policy_hash = tensors_hash(loaded(args.in_model, args.in_weights))
    missing, marked = to_do(episode_dirs, policy_hash, rule, args.replace)
    if marked:
        print(f"{len(marked):,} of {len(episode_dirs):,} episodes are marked already")

    # ---- The pass
    workers = args.workers or (1 if torch.cuda.is_available() else cores())
    if min(workers, len(missing)) > 1:
        loaded.cache_clear()  # the workers have their own
    work = functools.partial(mark, args.in_model, args.in_weights, policy_hash, rule)
    with contextlib.closing(ordered_map(work, missing, workers)) as results:
        for marks in tqdm(results, total=len(missing), unit="episode", disable=None, leave=False):
            marked.append(marks)
    print(summary(marked, rule))


def episodes(args: argparse.Namespace) -> list[str]:
    """The folders of the episodes that the flags name, each once."""
    if args.sampling is not None:
        from data.minecraft_dataset import load_sampling

        train, val = load_sampling(args.sampling_dir, args.sampling)
        return list(dict.fromkeys([*train, *val]))
    found = list(dict.fromkeys(str(path) for folder in args.episodes_dir for path in find_episodes(folder)))
    if not found:
        raise UserError(f"no episode was found in {', '.join(args.episodes_dir)}; check --episodes_dir")
    return found


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("episodes: a sampling, or folders")
    group.add_argument("--sampling", default=None, help="mark the episodes of both lists of this sampling")
    group.add_argument(
        "--sampling_dir",
        default=str(data_root() / "samplings"),
        help="folder of the samplings (default: %(default)s)",
    )
    group.add_argument(
        "--episodes_dir", nargs="+", default=None, help="mark all episodes at or below these folders"
    )
    group = parser.add_argument_group("the policy that judges")
    group.add_argument(
        "--in_model",
        default=None,
        help="architecture: a VPT .model file, or .json of the same nesting (default: what --in_weights holds, in the "
        "hub's form)",
    )
    group.add_argument(
        "--in_weights", required=True, help="its weights: those that training is to start from, VPT's say"
    )
    group = parser.add_argument_group("the rule")
    group.add_argument(
        "--threshold",
        type=number,
        default=Rule.threshold,
        help="nats by which a frame's loss must exceed the mean of its segment (default: %(default)s)",
    )
    group.add_argument(
        "--min_length",
        type=count,
        default=Rule.min_length,
        help="frames that a segment has at least (default: %(default)s)",
    )
    group.add_argument(
        "--replace",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="replace marks of another policy or rule (default: False, they are refused)",
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=0,
        help="processes that work side by side, one thread each, all with the same result (default: 0, a core each, "
        "and 1 where there is a GPU)",
    )
    return parser


def problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags, a sentence each."""
    found = out_of_range(args, "threshold", above=0)
    found += out_of_range(args, "min_length", least=1)
    found += out_of_range(args, "workers", least=0, note="0: a core each")
    if (args.sampling is None) == (args.episodes_dir is None):
        found.append("give either --sampling or --episodes_dir: which episodes are to be marked")
    if args.in_model is None:
        found.append("--in_model is needed; give data/weights/vpt/2x.model, or the JSON beside weights")
    for name in ("in_model", "in_weights"):
        place = getattr(args, name)
        if place is not None:
            wrong = hub.problem(place) if hub.is_hub(place) else None
            found += [f"--{name} {place}: {wrong}"] if wrong else []
            found += [] if hub.is_hub(place) else not_there(args, name)
    return found + not_there(args, "episodes_dir", folder=True)


if __name__ == "__main__":
    main()

"""Sum up datasets or a sampling: frames, hours, size, what was pressed, how the camera moved, the embeddings.

Real:
    python data/sampling/dataset_summary.py --dataset_dirs data/dataset_contractor,data/dataset_custom
    python data/sampling/dataset_summary.py --sampling neurips

Tiny (a sample of the embeddings only):
    python data/sampling/dataset_summary.py --dataset_dirs data/dataset_custom --max_episodes 10
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError, comma_list, count, entry_point, report_all
from steve1.config import FIRST_EMBED, FPS, data_root

if TYPE_CHECKING:
    import numpy as np

    from data.sampling.sessions import Episode

N_PAIRS = 10_000  # random pairs of embeddings whose cosine is averaged


def folder_bytes(folder: str) -> int:
    """Return the size of all files below a folder, in bytes."""
    return sum(
        os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names
    )


def summarize(episodes: Sequence[Episode], seed: int = 0, progress: bool = False) -> dict[str, Any]:
    """Return the figures of a list of episodes as plain numbers (shares are of all frames).

    Embeddings: ``norm`` over rows from 15 on, ``cosine`` of random pairs from one episode and from two
    (0 where there are none), ``not_finite`` rows, of which there should be none. ``entropy``: of the histograms
    of joint buttons and joint camera actions, nats a frame; their sum is the loss of the best policy that
    ignores the picture and the goal.
    """
    import numpy as np
    from tqdm import tqdm

    from data.EpisodeStorage import EpisodeStorage
    from steve1.vpt.actions import (
        BUTTONS,
        CAMERA_BINS,
        N_BUTTON_ACTIONS,
        N_CAMERA_ACTIONS,
        camera_to_bins,
        env_to_agent,
    )

    joint = {
        "buttons": np.zeros(N_BUTTON_ACTIONS, dtype=np.int64),
        "camera": np.zeros(N_CAMERA_ACTIONS, dtype=np.int64),
    }
    pressed = dict.fromkeys(BUTTONS, 0)
    bins = np.zeros((2, CAMERA_BINS), dtype=np.int64)
    n_bytes = not_finite = still = 0
    norms: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    rng = np.random.default_rng(seed)
    for episode in tqdm(episodes, unit="episode", disable=None if progress else True, mininterval=0.5):
        storage = EpisodeStorage(episode.path)
        n_bytes += folder_bytes(episode.path)
        actions = storage.load_actions()
        anything = np.zeros(episode.frames, dtype=bool)
        for name in BUTTONS:
            held = np.asarray(actions[name]).astype(bool)
            pressed[name] += int(held.sum())
            anything |= held
        moved = camera_to_bins(actions["camera"])  # [T, 2]
        for axis in (0, 1):
            bins[axis] += np.bincount(moved[:, axis], minlength=CAMERA_BINS)
        still += int((~anything & (moved == CAMERA_BINS // 2).all(axis=1)).sum())
        for head, taken in env_to_agent(actions).items():
            joint[head] += np.bincount(taken, minlength=len(joint[head]))
        embeds = storage.load_embeds_attn()[FIRST_EMBED:]
        finite = np.isfinite(embeds).all(axis=1)
        not_finite += int((~finite).sum())
        if finite.any():
            norms.append(np.linalg.norm(embeds[finite], axis=1))
            kept.append(embeds[finite][rng.integers(finite.sum(), size=64)])
    frames = sum(episode.frames for episode in episodes)
    lengths = [episode.frames for episode in episodes]
    norm = np.concatenate(norms) if norms else np.zeros(1)
    return {
        "episodes": len(episodes),
        "sessions": len({episode.session for episode in episodes}),
        "frames": frames,
        "hours": frames / FPS / 3600,
        "gigabytes": n_bytes / 1e9,
        "length": {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)},
        "pressed": {name: value / frames for name, value in pressed.items()},
        "camera": {name: (bins[axis] / frames).tolist() for axis, name in enumerate(("pitch", "yaw"))},
        "doing_nothing": still / frames,
        "entropy": {head: _entropy(counts) for head, counts in joint.items()},
        "embeddings": {
            "width": sorted({int(rows.shape[1]) for rows in kept}),
            "mineclip_hashes": sorted({e.mineclip_hash for e in episodes if e.mineclip_hash}),
            "not_finite": not_finite,
            "norm": {
                "mean": float(norm.mean()),
                "std": float(norm.std()),
                "min": float(norm.min()),
                "max": float(norm.max()),
            },
            "cosine": _cosines(kept, rng),
        },
    }


def _entropy(counts: np.ndarray) -> float:
    """The entropy of a histogram, nats."""
    import numpy as np

    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _cosines(kept: list[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    import numpy as np

    if len({rows.shape[1] for rows in kept}) != 1:
        return {"same_episode": 0.0, "other_episode": 0.0}
    rows = np.stack(kept)  # [episodes, 64, E]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    first, second = (rng.integers(len(rows), size=N_PAIRS) for _ in range(2))
    left, right = (rng.integers(rows.shape[1], size=N_PAIRS) for _ in range(2))
    differ = first != second
    same = np.einsum("ij,ij->i", rows[first, left], rows[first, right])[left != right]
    other = np.einsum("ij,ij->i", rows[first, left], rows[second, right])[differ]
    return {
        "same_episode": float(same.mean()),
        "other_episode": float(other.mean()) if differ.any() else 0.0,
    }


def text_table(title: str, summary: dict[str, Any]) -> str:
    """Return a summary as lines of text, at most 100 wide."""
    from steve1.vpt.actions import BIN_ANGLES

    lengths, embeddings = summary["length"], summary["embeddings"]
    norm, cosine = embeddings["norm"], embeddings["cosine"]
    lines = [
        title,
        f"  {summary['episodes']:,} episodes of {summary['sessions']:,} sessions, {summary['frames']:,} frames, "
        f"{summary['hours']:.2f} h, {summary['gigabytes']:.3g} GB",
        f"  frames an episode: {lengths['min']:,} to {lengths['max']:,}, median {lengths['median']:,.0f}",
        f"  nothing pressed and camera still: {summary['doing_nothing']:.1%} of frames",
        "  pressed, share of frames:",
    ]
    ordered = sorted(summary["pressed"].items(), key=lambda pair: -pair[1])
    lines += [f"    {name:<10} {share:>7.2%} {'#' * round(40 * share)}".rstrip() for name, share in ordered]
    lines.append("  camera, share of frames by degrees a frame:")
    lines.append("    " + " ".join(f"{'':>7}" if a is None else f"{a:>7.2f}" for a in (None, *BIN_ANGLES)))
    for axis, shares in summary["camera"].items():
        lines.append(f"    {axis:<7} " + " ".join(f"{share:>7.2%}" for share in shares))
    buttons, camera = summary["entropy"]["buttons"], summary["entropy"]["camera"]
    lines.append(
        f"  entropy of the actions' histogram: buttons {buttons:.3f} + camera {camera:.3f} = {buttons + camera:.3f} "
        "nats a frame"
    )
    lines.append(
        f"  embeddings: width {', '.join(map(str, embeddings['width'])) or 'unknown'}, norm {norm['mean']:.3f} "
        f"(std {norm['std']:.3f}, {norm['min']:.3f} to {norm['max']:.3f})"
    )
    lines.append(
        f"    mean cosine {cosine['same_episode']:.3f} within an episode, {cosine['other_episode']:.3f} between two"
    )
    known = ", ".join(value[:12] for value in embeddings["mineclip_hashes"]) or "unknown"
    lines.append(f"    made by MineCLIP {known}")
    if embeddings["not_finite"]:
        lines.append(f"    {embeddings['not_finite']:,} rows are not finite: convert those episodes again")
    return "\n".join(lines)


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset_dirs",
        type=comma_list,
        default=[],
        metavar="A,B",
        help="folders of episodes (default: none)",
    )
    parser.add_argument("--sampling", help="name of a sampling whose two lists are summed up (default: none)")
    parser.add_argument(
        "--sampling_dir", type=Path, default=data_root() / "samplings", help="default: data/samplings"
    )
    parser.add_argument(
        "--max_episodes",
        type=count,
        default=0,
        help="look at this many random episodes of each (default 0: all)",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file (default: no file)")
    parser.add_argument("--seed", type=count, default=0, help="of what is sampled (default 0)")
    args = parser.parse_args(argv)
    problems = []
    if not args.dataset_dirs and not args.sampling:
        problems.append("give --dataset_dirs A,B or --sampling NAME")
    if args.max_episodes < 0:
        problems.append(f"--max_episodes {args.max_episodes}: at least 1, or 0 for all")
    if args.seed < 0:
        problems.append(f"--seed {args.seed}: at least 0")
    report_all(problems)

    from data.minecraft_dataset import load_sampling
    from data.sampling.sessions import read_dataset, read_episodes
    from data.sampling.split import shuffled
    from steve1.files import write_json

    groups = {folder: read_dataset(folder) for folder in args.dataset_dirs}
    if args.sampling:
        lists = load_sampling(args.sampling_dir, args.sampling)
        for side, paths in zip(("train", "val"), lists, strict=True):
            if paths:
                groups[f"{args.sampling} ({side})"] = read_episodes(paths)
    summaries = {}
    for title, episodes in groups.items():
        if args.max_episodes:
            episodes = shuffled(episodes, args.seed, 0)[: args.max_episodes]
            title = f"{title}, {len(episodes)} of {len(groups[title])} episodes"
        if not any(episode.frames for episode in episodes):
            raise UserError(f"{title} holds no frames; check it with data/EpisodeStorage.py --validate")
        summaries[title] = summarize(episodes, args.seed, progress=len(episodes) > 20)
        print(text_table(title, summaries[title]))
    if args.json:
        write_json(args.json, summaries)


if __name__ == "__main__":
    main()

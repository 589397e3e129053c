"""Look at a batch before training on it: shapes, ranges, embedding norms, actions, goals, and a picture of them.

    python data/inspect_batch.py --sampling my_finetune_task --in_model data/weights/vpt/2x.model \\
        --T 320 --batch_size 8 --max_btwn_goals 100 --output_path batch.png

    python data/inspect_batch.py --sampling quickstart --sampling_dir data/quickstart/samplings \\
        --in_model configs/quickstart_policy.json --T 64 --trunc_t 32 --batch_size 4 --min_btwn_goals 10 \\
        --max_btwn_goals 60 --output_path /tmp/batch.png

The flags mean what they mean to training/train.py: the same ones give the very batch that training would begin
with. What looks wrong in it is said at the end. Nothing is changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data.item_flags import add_item_flags, add_list_flags, item_problems
from steve1.cli import count, entry_point, out_of_range, report_all

if TYPE_CHECKING:
    import numpy as np

    from data.minecraft_dataset import MinecraftDataset

_COMMON = 8  # buttons listed


def build_parser() -> argparse.ArgumentParser:
    """The flags; those of training/train.py have its names and defaults."""
    parser = argparse.ArgumentParser(
        description="Print and draw the batch that training would begin with.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    group = parser.add_argument_group("data")
    add_list_flags(group)
    group.add_argument("--num_workers", type=count, default=0, help="processes that load data; 0: this one")
    group.add_argument(
        "--in_model",
        default=None,
        help="architecture whose img_shape pictures are resized to; none: as stored, 128x128",
    )
    add_item_flags(parser)
    group = parser.add_argument_group("batch")
    group.add_argument("--batch_size", type=count, default=12, help="items")
    group.add_argument("--seed", type=count, default=0, help="of the order, the goals and the dropout")
    group = parser.add_argument_group("picture")
    group.add_argument(
        "--output_path", "--output", default="batch.png", help="the contact sheet, a PNG (default batch.png)"
    )
    group.add_argument(
        "--columns", type=count, default=5, help="moments drawn of each item, each beside its goal"
    )
    return parser


def flag_problems(args: argparse.Namespace) -> list[str]:
    """Everything that is wrong with the flags by themselves, one sentence each."""
    problems = item_problems(args)
    problems += out_of_range(args, "batch_size", "columns", least=1)
    problems += out_of_range(args, "num_workers", "seed", least=0)
    if not args.output_path.endswith(".png"):
        problems.append(f"--output_path {args.output_path} must end in .png")
    return problems


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Print the batch's figures and write its picture."""
    args = build_parser().parse_args(argv)
    report_all(flag_problems(args))

    # ---- the batch, exactly as training loads it ----
    from torch.utils.data import DataLoader

    from data.minecraft_dataset import ItemSampler, MinecraftDataset, batches, load_sampling
    from data.mixture import load_mixture
    from steve1.checkpoints import load_model_file

    img_size = None
    if args.in_model:
        height, width = load_model_file(args.in_model)[0]["img_shape"][:2]
        img_size = (height, width)
    train_dirs, _ = load_sampling(args.sampling_dir, args.sampling)
    dataset = MinecraftDataset(
        train_dirs[: args.data_limit] if args.data_limit else train_dirs,
        T=args.T,
        min_btwn_goals=args.min_btwn_goals,
        max_btwn_goals=args.max_btwn_goals,
        goal_sampling=args.goal_sampling,
        p_uncond=args.p_uncond,
        seed=args.seed,
        img_size=img_size,
    )
    mixture = load_mixture(args.sampling_dir, args.sampling)
    groups = mixture.groups(dataset) if mixture else None
    places = next(iter(ItemSampler(len(dataset), args.batch_size, seed=args.seed, groups=groups)))
    loader: Any = DataLoader(cast("Any", dataset), batch_sampler=[places], num_workers=args.num_workers)
    obs, actions, firsts = next(batches(loader))
    batch = {**obs, **actions, "firsts": firsts}
    arrays = {name: tensor.numpy() for name, tensor in batch.items()}

    # ---- figures ----
    print(
        f"The first batch of sampling {args.sampling} with seed {args.seed}: {args.batch_size} of {len(dataset)} "
        f"items, each {args.T} frames in {args.T // args.trunc_t} piece(s) of {args.trunc_t}"
    )
    for line in describe(dataset, places, arrays):
        print(line)
    for problem in suspicions(arrays):
        print(f"LOOKS WRONG: {problem}")

    # ---- picture ----
    import cv2

    from data.batch_sheet import batch_sheet
    from steve1.files import whole_file

    sheet = batch_sheet(dataset, places, arrays, args.columns)
    with whole_file(args.output_path) as partial:
        partial.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    print(f"Wrote {Path(args.output_path)}")


def unconditional(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Which items have no goal: bool [B]."""
    return (arrays["mineclip_embed"] == 0).all(axis=(1, 2))


def describe(
    dataset: MinecraftDataset, places: Sequence[tuple[int, int]], arrays: dict[str, np.ndarray]
) -> list[str]:
    """Lines about a batch: what is in it, how large, how often."""
    import numpy as np

    from steve1.vpt.actions import BIN_ANGLES, BUTTONS, CAMERA_BINS, agent_to_env, camera_bins

    lines = []
    for name, values in arrays.items():
        low, high = _short(values.min()), _short(values.max())
        mean = f", mean {_short(values.mean())}" if name in ("img", "mineclip_embed") else ""
        lines.append(f"  {name:<15} {values.dtype!s:<8} {list(values.shape)!s:<22} {low} .. {high}{mean}")

    without = unconditional(arrays)
    lines.append(f"items without a goal: {without.sum()} of {len(without)} (p_uncond {dataset.p_uncond:g})")
    norms = np.linalg.norm(arrays["mineclip_embed"][~without], axis=-1).ravel()
    short, norms = int((norms == 0).sum()), norms[norms > 0]
    if short:
        lines.append(
            f"frames without a goal, in segments of fewer than 16 frames: {short} of {without.size * dataset.T}"
        )
    if norms.size:
        lines.append(
            f"norm of the goal embeddings: mean {norms.mean():.3f}, std {norms.std():.3f}, "
            f"min {norms.min():.3f}, max {norms.max():.3f}"
        )
    gaps = np.concatenate([gap_to_goal(dataset, place) for place in places])
    lines.append(f"frames until the goal: mean {gaps.mean():.1f}, min {gaps.min()}, max {gaps.max()}")

    buttons, camera = arrays["buttons"].ravel(), arrays["camera"].ravel()
    pressed = agent_to_env(buttons, camera)
    keys = np.stack([pressed[name] for name in BUTTONS])  # [20, B*T]
    null = ~keys.any(axis=0) & ~pressed["camera"].any(axis=-1)
    lines.append(
        f"frames in which nothing is pressed and nothing moves: {null.sum()} of {null.size} ({null.mean():.1%})"
    )
    shares = sorted(zip(keys.mean(axis=1), BUTTONS, strict=True), reverse=True)
    listed = ", ".join(f"{name} {share:.1%}" for share, name in shares[:_COMMON] if share > 0)
    lines.append(f"most frequent buttons: {listed or 'none'}")
    lines.append("camera, degrees    " + "".join(f"{angle:>8.2f}" for angle in BIN_ANGLES))
    for axis, bins in zip(("pitch", "yaw"), camera_bins(camera).T, strict=True):
        part = np.bincount(bins, minlength=CAMERA_BINS) / bins.size
        lines.append(f"  {axis:<5} (+ {'down' if axis == 'pitch' else 'right':<5})    " + _percents(part))
    return lines


def suspicions(arrays: dict[str, np.ndarray]) -> list[str]:
    """What can't be right in a batch, one sentence each, with the remedy."""
    import numpy as np

    problems = []
    img, embeds = arrays["img"], arrays["mineclip_embed"]
    flat = img.reshape(len(img), -1)
    if any(item.min() == item.max() for item in flat):
        problems.append("all pictures of an item have one colour; look at its video")
    with_goal = embeds[~unconditional(arrays)]
    if with_goal.size and np.ptp(with_goal, axis=(0, 1)).max() == 0:
        problems.append(
            "all goals of the batch are the same; embed the episodes anew with the right MineCLIP"
        )
    if len(np.unique(arrays["camera"])) == 1 and arrays["camera"].size > 1:
        problems.append("the camera never moves; check the actions' camera in degrees")
    if len(np.unique(arrays["buttons"])) == 1 and arrays["buttons"].size > 1:
        problems.append("the buttons never change; check the actions' names")
    return problems


def gap_to_goal(dataset: MinecraftDataset, place: tuple[int, int]) -> np.ndarray:
    """Frames from each of an item's frames to its goal, int64 [T]."""
    import numpy as np

    epoch, item = place
    start = dataset.chunks[item][1]
    return dataset.goals(item, epoch) - np.arange(start, start + dataset.T)


def _percents(shares: np.ndarray) -> str:
    return "".join(f"{share:>8.1%}" for share in shares)


def _short(value: Any) -> str:
    return (
        str(value)
        if getattr(value, "dtype", None) is not None and value.dtype.kind in "biu"
        else f"{value:.3f}"
    )


if __name__ == "__main__":
    main()

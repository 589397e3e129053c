"""What a quickstart came to: times, losses against what ignorance would reach, verdicts, and where everything is.

    python benchmarks/quickstart_report.py --data_root data/quickstart
    python benchmarks/quickstart_report.py --data_root data/quickstart_tenth

Every figure is read from what the stages wrote; this script measures nothing itself. It also writes report.json,
and films.png, three moments of each film.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.cli import UserError, entry_point
from steve1.judging.tables import verdict_table
from steve1.judging.verdicts import NO_GOAL, WINS, from_json


def read_json(path: Path) -> dict:
    """A JSON file that a stage wrote; raises UserError naming the file when the stage has not run."""
    if not path.is_file():
        raise UserError(f"{path} is missing; run ./quickstart.sh to its end first")
    return json.loads(path.read_text(encoding="utf-8"))


def stage_times(path: Path) -> dict[str, int]:
    """Seconds of each stage, added up over the runs that it took."""
    seconds: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        spent, _, title = line.partition("\t")
        seconds[title] = seconds.get(title, 0) + int(spent)
    return seconds


def collect(root: Path) -> dict[str, Any]:
    """All figures of a quickstart in ``root`` as plain numbers; losses and entropies are nats a frame."""
    summary = read_json(root / "samplings" / "quickstart_summary.json")
    train = next(figures for title, figures in summary.items() if "(train)" in title)
    entropy = train["entropy"]["buttons"] + train["entropy"]["camera"]
    rows = [
        json.loads(line)
        for line in (root / "policy_checkpoint" / "logs" / "metrics.jsonl").read_text().splitlines()
    ]
    last = [row for row in rows if "loss/val" in row][-1]
    judged = read_json(root / "judged.json")
    verdicts = [v for v in judged["verdicts"] if v["own"] and v["against"] == NO_GOAL]
    accuracy = read_json(root / "weights" / "mineclip" / "small.json").get("accuracy", {})
    return {
        "seconds": stage_times(root / "stages.tsv"),
        "recorded_frames": sum(figures["frames"] for figures in summary.values()),
        "trained_frames": last["processed_frames"],
        "retrieval": {name: result["accuracy"] for name, result in accuracy.items() if result},
        "action_entropy": entropy,
        "val_loss": last["loss/val"],
        "val_loss_uncond": last["loss/val_uncond"],
        "val_loss_shuffled": last["loss/val_shuffled"],
        "below_entropy": 1 - last["loss/val"] / entropy,
        "shuffled_minus_right": last["loss/val_shuffled"] - last["loss/val"],
        "wins": sum(verdict["word"] == WINS for verdict in verdicts),
        "verdicts": {verdict["name"]: verdict for verdict in verdicts},
        "worlds": max(len(group["episodes"]) for group in judged["groups"]),
    }


def films(root: Path) -> list[Path]:
    """The videos that the agent was filmed in."""
    return sorted((root / "generated_videos").glob("*.mp4"))


def text(figures: dict[str, Any], root: Path) -> str:
    """The table that a quickstart ends with."""
    lines = ["", "==== What came of it", "", "time"]
    lines += [f"  {seconds:5d} s  {title}" for title, seconds in figures["seconds"].items()]
    total = sum(figures["seconds"].values())
    lines += [f"  {total:5d} s  in all ({total / 60:.1f} minutes, installation apart)", "", "learning"]
    for name, share in figures["retrieval"].items():
        words = {"seen": "wordings it learnt", "held_out": "wordings it never saw"}[name]
        lines.append(f"  {share:8.1%}  of held-out clips find their own text ({words})")
    lines += [
        f"  {figures['recorded_frames']:8,}  recorded frames, {figures['trained_frames']:,} trained",
        f"  {figures['action_entropy']:8.3f}  nats a frame: entropy of the training actions' histogram",
        f"  {figures['val_loss']:8.3f}  validation loss with the right goals, {figures['below_entropy']:.0%} below it "
        "(at least 25 % expected)",
        f"  {figures['val_loss_uncond']:8.3f}  without a goal",
        f"  {figures['val_loss_shuffled']:8.3f}  with another item's goals, {figures['shuffled_minus_right']:+.3f} "
        "(at least +0.5 expected)",
        "",
        f"play: {figures['worlds']} worlds that no player saw, text prompts through the prior",
    ]
    table = verdict_table([from_json(verdict) for verdict in figures["verdicts"].values()])
    lines += [f"  {line}" for line in table.splitlines()]
    lines += ["", "look at"]
    lines += [f"  {path}" for path in films(root)]
    lines += [
        f"  {root / 'films.html'} and {root / 'judged.html'}",
        f"  {root / 'films.png'}",
        f"  {root / 'policy_checkpoint' / 'logs' / 'curves.png'}",
        f"  {root / 'weights' / 'steve1'}/  (small_best.weights, small_prior.pt)",
        f"  tensorboard --logdir {root / 'policy_checkpoint' / 'logs'}",
    ]
    return "\n".join(lines)


MOMENTS = (0.1, 0.4, 0.8)  # of a film's length
SHEET_WIDTH = 400  # pixels a picture


def contact_sheet(videos: Sequence[Path], path: Path) -> None:
    """Write a PNG with a row a film and a column for each of MOMENTS."""
    import cv2
    import numpy as np

    from data.video import decode, video_info
    from steve1.files import whole_file

    rows = []
    for video in videos:
        wanted = [int(moment * video_info(video).frames) for moment in MOMENTS]
        pictures = [frame for i, frame in enumerate(decode(video)) if i in wanted]
        height = round(SHEET_WIDTH * pictures[0].shape[0] / pictures[0].shape[1])
        size = (SHEET_WIDTH, height)
        rows.append(np.hstack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]))
    _, encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    with whole_file(path) as partial:
        partial.write_bytes(encoded.tobytes())


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_root", type=Path, required=True, help="what quickstart.sh wrote, e.g. data/quickstart"
    )
    args = parser.parse_args(argv)

    from steve1.files import write_json

    figures = collect(args.data_root)
    write_json(args.data_root / "report.json", figures)
    contact_sheet(films(args.data_root), args.data_root / "films.png")
    print(text(figures, args.data_root))


if __name__ == "__main__":
    main()

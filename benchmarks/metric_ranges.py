"""What a run's metrics were: first, lowest, median, highest and last of each tag, and the three validation losses.

Real:
    python benchmarks/metric_ranges.py data/finetuning_checkpoint

The quickstart's run, from which docs/metrics.md quotes:
    python benchmarks/metric_ranges.py data/quickstart/policy_checkpoint

Reads CHECKPOINT_DIR/logs/metrics.jsonl, which training/train.py writes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from steve1.cli import UserError, entry_point
from training.reporting import read_metrics


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint_dir", type=Path, help="--checkpoint_dir of the run")
    path = parser.parse_args(argv).checkpoint_dir / "logs" / "metrics.jsonl"
    rows = read_metrics(path)
    if not rows:
        raise UserError(f"{path} holds no metrics; give the --checkpoint_dir of a run that has logged")
    print(
        f"{'tag':<20}" + "".join(f"{name:>12}" for name in ("first", "lowest", "median", "highest", "last"))
    )
    for tag in dict.fromkeys(key for row in rows for key in row if key != "step"):
        values = [row[tag] for row in rows if tag in row]
        figures = (values[0], min(values), statistics.median(values), max(values), values[-1])
        print(f"{tag:<20}" + "".join(f"{value:>12.4g}" for value in figures))
    last: dict = next((row for row in reversed(rows) if "loss/val_uncond" in row), {})
    for tag, what in (
        ("loss/val_uncond", "without a goal"),
        ("loss/val_shuffled", "with another item's goals"),
    ):
        if tag in last:
            print(f"{what}: {last[tag] - last['loss/val']:+.3f} nats a frame against the right goals")


if __name__ == "__main__":
    main()

"""What a run tells: TensorBoard, lines on the screen, a log file, a progress bar, a picture of the curves.

Only the main process reports. ``CHECKPOINT_DIR/logs/metrics.jsonl`` holds every number as one line of JSON a
step; the curves are drawn from it.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

from steve1.files import whole_file, write_text
from training.schedule import short_count


class Reporter:
    """Reports a run; with ``enabled`` off (any process but the main one) it does nothing.

    Args:
        logs: ``CHECKPOINT_DIR/logs``: TensorBoard's events, ``metrics.jsonl`` and ``curves.png``.
        text_dir: folder of ``train_YYYYMMDD.log``, to which every line on the screen is appended.
        step: where the run begins; what a broken-off run logged beyond it is forgotten.
    """

    def __init__(self, logs: Path, text_dir: Path, step: int, total_frames: int, enabled: bool):
        self.enabled = enabled
        if not enabled:
            return
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm

        logs.mkdir(parents=True, exist_ok=True)
        text_dir.mkdir(parents=True, exist_ok=True)
        self.text_dir = text_dir
        self.metrics_file = logs / "metrics.jsonl"
        self.curves_file = logs / "curves.png"
        self.total_frames = total_frames
        self.frames = 0
        self._forget_after(step)
        self._board = SummaryWriter(str(logs), purge_step=step + 1)
        # The bar appears on terminals only; logs of jobs get the lines.
        self._bar = tqdm(total=total_frames, unit="frame", unit_scale=True, disable=None, smoothing=0.05)

    def _forget_after(self, step: int) -> None:
        rows = read_metrics(self.metrics_file)
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            write_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in kept))

    def say(self, text: str) -> None:
        """Print ``text`` above the progress bar and append it to the day's log file."""
        if not self.enabled:
            return
        self._bar.write(text, file=sys.stdout)
        sys.stdout.flush()
        with open(self.text_dir / f"train_{datetime.now():%Y%m%d}.log", "a", encoding="utf-8") as log:
            log.write(text + "\n")

    def progress(self, frames: int) -> None:
        """Move the progress bar to ``frames``."""
        if self.enabled:
            self._bar.update(frames - self.frames)
            self.frames = frames

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Record values under their TensorBoard tags."""
        if not self.enabled:
            return
        for tag, value in values.items():
            self._board.add_scalar(tag, value, step)
        with open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def training(self, step: int, values: dict[str, float], seconds_left: float) -> None:
        """Record the training metrics of ``step`` and print them as a block."""
        self.metrics(step, values)
        self.say(
            f"Metrics for step {step}:\n"
            f"    Curr DateTime: {datetime.now():%Y-%m-%d %H:%M:%S}\n"
            f"    loss: {values['loss/train']:.3f}\n"
            f"    learning_rate: {values['learning_rate']:.3g}\n"
            f"    grad_l2_norm: {values['grad_l2_norm']:.3f}\n"
            f"    processed_frames: {int(values['processed_frames'])}\n"
            f"    frames_per_second: {values['frames_per_second']:.0f}\n"
            f"    data_wait_share: {values['data_wait_share']:.1%}\n"
            f"    validation_share: {values['validation_share']:.1%}\n"
            f"    epoch: {values['epoch']:.2f}\n"
            f"    time_left: {duration(seconds_left)}\n"
            f"    step: {step}"
        )

    def validation(self, step: int, losses: dict[str, float], frames: int) -> None:
        """Record the validation losses of ``step``, by TensorBoard tag, and print them."""
        self.metrics(step, {**losses, "processed_frames": frames})
        self.say(
            "\n".join(
                f"    {tag.replace('loss/val', 'val_loss')}: {value:.3f}" for tag, value in losses.items()
            )
        )

    def draw_curves(self) -> None:
        """Draw ``curves.png`` anew."""
        if self.enabled:
            draw_curves(read_metrics(self.metrics_file), self.curves_file)

    def close(self) -> None:
        if self.enabled:
            self._board.close()
            self._bar.close()


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m05s`` or ``12s``."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def read_metrics(path: Path) -> list[dict]:
    """The lines of a ``metrics.jsonl``; a last line that a kill has torn is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


_PANELS = (
    ("loss, nats a frame", ("loss/train", "loss/val", "loss/val_uncond", "loss/val_shuffled")),
    ("gradient norm before clipping", ("grad_l2_norm",)),
    ("learning rate", ("learning_rate",)),
)
_BEGINNING = 0.05  # share of the run that need not fit into the picture of the losses


def draw_curves(rows: list[dict], path: Path) -> None:
    """Draw the curves of a run (rows of ``metrics.jsonl``) over processed frames into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5))
    figure.subplots_adjust(left=0.04, right=0.99, wspace=0.15)
    FigureCanvasAgg(figure)
    end = max((row["processed_frames"] for row in rows if "processed_frames" in row), default=0)
    for axes, (title, tags) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        late = []
        for tag in tags:
            points = [(row["processed_frames"], row[tag]) for row in rows if tag in row]
            if points:
                marker = "o" if len(points) < 20 else None
                axes.plot(*zip(*points, strict=True), label=tag, marker=marker, ms=3)
            late += [value for frames, value in points if frames >= _BEGINNING * end]
        if late and len(tags) > 1:  # losses: the steep beginning would flatten all the rest
            margin = 0.1 * (max(late) - min(late)) + 0.05
            axes.set_ylim(min(late) - margin, max(late) + margin)
        axes.set_title(title)
        axes.set_xlabel("processed frames")
        axes.xaxis.set_major_formatter(lambda n, _: short_count(int(n)))
        axes.grid(alpha=0.3)
        if len(tags) > 1 and axes.lines:
            axes.legend()
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=90)

"""Training a MineCLIP by contrast of clips and texts, in memory. Knows no files; training/train_mineclip.py does.

Encoding frames takes nearly all of the time, so each 16-frame window is shown by a few of its frames
(``frames_per_clip``), drawn anew each time and repeated in their neighbours' places. Whole windows are then embedded
without further training: a second stage on whole windows, the image encoder at rest, lost held-out accuracy in
both trials.

All randomness of a step comes from (seed, step), so training stopped after any step can be taken up again.
Axes: N clips of a batch, T frames of a window, F all frames, E the embedding's width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from steve1.cli import UserError
from steve1.mineclip import MineCLIP
from steve1.mineclip.tokenizer import END, START, tokenize
from steve1.streams import numpy_stream

LOGIT_SCALE = 10.0  # at the start; learned
MAX_LOGIT_SCALE = 100.0  # CLIP's limit (Radford et al. 2021, section 2.5)


@dataclass
class Segment:
    """Frames ``first .. first+length-1`` of :class:`Clips` show one meaning."""

    first: int
    length: int
    meaning: int
    episode: str


@dataclass
class Clips:
    """Labelled footage: frames uint8 [F, H, W, 3] RGB at the MineCLIP's resolution, and what they show."""

    frames: Tensor
    segments: list[Segment]

    def of(self, episodes: set[str]) -> list[Segment]:
        return [segment for segment in self.segments if segment.episode in episodes]


def contrast_loss(video: Tensor, text: Tensor, meanings: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE over cosines, in nats; pairs of one meaning are positives of each other.

    ``video`` and ``text`` are [N, E], ``meanings`` int [N]. As CLIP's loss (Radford et al. 2021, figure 3) but with
    targets spread evenly over a row's positives, and less their entropy: 0 is the best possible.
    """
    logits = logit_scale * F.normalize(video, dim=-1) @ F.normalize(text, dim=-1).T  # [N, N]
    positives = (meanings[:, None] == meanings[None, :]).to(logits.dtype)
    targets = positives / positives.sum(dim=1, keepdim=True)
    best = positives.sum(dim=1).log().mean()
    losses = [-(targets * part.log_softmax(dim=1)).sum(dim=1).mean() for part in (logits, logits.T)]
    return sum(losses) / 2 - best  # type: ignore[return-value]


class Contrast:
    """A MineCLIP in training.

    Args:
        mineclip: starts from the weights that it has.
        clips: frames at the MineCLIP's resolution.
        train: the segments to learn from; each at least a window long.
        texts: for each meaning its texts.
        steps: in all. frames_per_clip: divides the window.
        token_dropout: share of a text's tokens that are replaced by random ones, so that words never seen mean
            nothing rather than anything. shift: pixels by which clips are moved at most. seed: of everything.
    """

    def __init__(
        self,
        mineclip: MineCLIP,
        clips: Clips,
        train: Sequence[Segment],
        texts: Sequence[Sequence[str]],
        *,
        steps: int,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
        frames_per_clip: int,
        token_dropout: float,
        shift: int,
        seed: int,
    ) -> None:
        self.mineclip, self.clips, self.train = mineclip, clips, train
        self.steps = steps
        self.batch_size, self.peak_rate, self.frames_per_clip = batch_size, learning_rate, frames_per_clip
        self.token_dropout, self.shift, self.seed = token_dropout, shift, seed
        self.window = mineclip.config["window"]
        length = mineclip.config["context_length"]
        self.tokens = [tokenize(list(some), length) for some in texts]
        self.by_meaning = [
            [segment for segment in train if segment.meaning == meaning] for meaning in range(len(texts))
        ]
        self.present = [meaning for meaning, segments in enumerate(self.by_meaning) if segments]
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(LOGIT_SCALE), device=mineclip.device))
        matrices = [p for p in mineclip.parameters() if p.ndim > 1]
        others = [*(p for p in mineclip.parameters() if p.ndim <= 1), self.log_scale]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=learning_rate,
        )
        self.step = 0

    @property
    def position(self) -> int:
        return self.step

    def advance(self) -> dict[str, float]:
        """Train on one batch; returns its loss and rate, by TensorBoard tag."""
        rate = self.learning_rate()
        rng = self._rng(self.step)
        meanings, starts = self._draw_clips(rng)
        tokens = self._draw_texts(meanings, rng)
        frames = _shifted(self.clips.frames[self._frames_of(starts, rng)], self.shift, rng)
        features = self.mineclip.forward_image_features(frames.permute(0, 1, 4, 2, 3))
        features = features.repeat_interleave(self.window // self.frames_per_clip, dim=1)  # [N, window, E]
        video = self.mineclip.forward_video_features(features)
        text = self.mineclip.encode_text(tokens)
        labels = torch.from_numpy(meanings).to(video.device)
        loss = contrast_loss(video, text, labels, self.log_scale.exp())
        self._update(loss)
        self.step += 1
        return {"loss/train": loss.item(), "learning_rate": rate}

    def state(self) -> dict[str, Any]:
        return {
            "mineclip": self.mineclip.state_dict(),
            "log_scale": self.log_scale.detach(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.mineclip.load_state_dict(state["mineclip"])
        with torch.no_grad():
            self.log_scale.copy_(state["log_scale"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learning_rate(self) -> float:
        """It rises over the first twentieth of the steps and falls along a cosine to 0."""
        warmup = max(self.steps // 20, 1)
        if self.step < warmup:
            return self.peak_rate * (self.step + 1) / warmup
        return (
            self.peak_rate
            * 0.5
            * (1 + math.cos(math.pi * (self.step - warmup) / max(self.steps - warmup, 1)))
        )

    def _update(self, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise UserError(f"the loss is {loss.item()} in step {self.step + 1}; lower --learning_rate")
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.mineclip.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))

    def _rng(self, step: int) -> np.random.Generator:
        return numpy_stream("contrast", self.seed, step)

    def _draw_clips(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Meanings [N], as evenly spread as can be, and the first frames [N] of random windows of them."""
        repeats = -(-self.batch_size // len(self.present))
        meanings = np.concatenate([rng.permutation(self.present) for _ in range(repeats)])[: self.batch_size]
        starts = np.empty(len(meanings), dtype=np.int64)
        for i, meaning in enumerate(meanings):
            segments = self.by_meaning[meaning]
            segment = segments[rng.integers(len(segments))]
            starts[i] = segment.first + rng.integers(segment.length - self.window + 1)
        return meanings, starts

    def _draw_texts(self, meanings: np.ndarray, rng: np.random.Generator) -> Tensor:
        rows = [self.tokens[meaning][rng.integers(len(self.tokens[meaning]))] for meaning in meanings]
        tokens = torch.stack(rows)  # [N, L]
        words = (tokens != START) & (tokens != END) & (torch.cumsum(tokens == END, dim=1) == 0)
        replaced = torch.from_numpy(rng.random(tokens.shape) < self.token_dropout) & words
        # A random token is below START, so the end token stays the largest.
        return torch.where(replaced, torch.from_numpy(rng.integers(1, START, tokens.shape)), tokens)

    def _frames_of(self, starts: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Positions in the clips' frames, [N, frames_per_clip]: one frame of each part of the window."""
        run = self.window // self.frames_per_clip
        places = np.arange(self.frames_per_clip) * run + rng.integers(
            run, size=(len(starts), self.frames_per_clip)
        )
        return torch.from_numpy(starts[:, None] + places)


def _shifted(frames: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Move each clip's picture [N, T, H, W, 3] by up to ``most`` pixels, repeating the edge."""
    if not most:
        return frames
    out = torch.empty_like(frames)
    height, width = frames.shape[2:4]
    for i, (down, right) in enumerate(rng.integers(-most, most + 1, size=(len(frames), 2))):
        rows = (torch.arange(height) - int(down)).clamp(0, height - 1)
        columns = (torch.arange(width) - int(right)).clamp(0, width - 1)
        out[i] = frames[i][:, rows][:, :, columns]
    return out

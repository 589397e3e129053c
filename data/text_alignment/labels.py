"""Labels: which frames of which episode show what, in words. The only module that reads them.

A label is a line of JSON:

    {"episode": NAME, "start": 40, "stop": 120, "behaviour": "dig", "text": "dig a hole"}

NAME is the recording's name without its ending, which is also the episode folder's name. ``start`` and ``stop``
(exclusive) count the episode's frames, i.e. those that are left when null frames are dropped. ``behaviour`` may be
missing; labels of one behaviour mean the same, whatever their texts.

Beside the labels, or anywhere, ``wordings.json`` may say each behaviour in several ways:
``{"wordings": {BEHAVIOUR: [TEXT, ...]}, "held_out": {BEHAVIOUR: [TEXT, ...]}}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steve1.cli import UserError
from steve1.files import read_text

WORDINGS_FILE = "wordings.json"


@dataclass(frozen=True)
class Label:
    """Frames ``start .. stop-1`` of ``episode`` show ``text``; ``meaning`` is what tells labels apart."""

    episode: str
    start: int
    stop: int
    text: str
    behaviour: str | None = None

    @property
    def meaning(self) -> str:
        """The behaviour, or the text where no behaviour is given."""
        return self.behaviour if self.behaviour is not None else self.text


def load_labels(path: str | os.PathLike) -> list[Label]:
    """Read a file of label lines, or all ``*.jsonl`` of a folder in the order of their names.

    Blank lines and further keys are passed over. Raises :class:`~steve1.cli.UserError` naming the file and
    line of the first mistake, and where there is no label at all.
    """
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} holds no *.jsonl; labels are lines of JSON in such files")
    labels = [label for file in files for label in _read(file)]
    if not labels:
        raise UserError(f"{path} holds no labels; a label is a line such as {_EXAMPLE}")
    return labels


def own_labels(episodes: Iterable[str | os.PathLike]) -> list[Label]:
    """The labels that episodes carry themselves: ``label`` in metadata.json says what all of their frames show.

    Converting a BASALT task writes them; episodes without one give none.
    """
    from data.EpisodeStorage import EpisodeStorage

    labels = []
    for path in map(Path, episodes):
        episode = EpisodeStorage(path)
        text = episode.metadata.get("label")
        if isinstance(text, str) and text.strip() and len(episode):
            labels.append(Label(path.name, 0, len(episode), text))
    return labels


def load_wordings(path: str | os.PathLike) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Read a file of wordings: ``(wordings, held_out)``, each ``{behaviour: [texts]}``.

    A file that is ``{behaviour: [texts]}`` itself holds nothing out. Raises
    :class:`~steve1.cli.UserError` for anything else, and for a text that is both or that two behaviours have.
    """
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); mend it or make it again") from None
    if isinstance(content, dict) and isinstance(content.get("wordings"), dict):
        parts = content["wordings"], content.get("held_out", {})
    else:
        parts = content, {}
    for part in parts:
        if not isinstance(part, dict) or not all(_are_texts(texts) for texts in part.values()):
            raise UserError(
                f"{path} must hold lists of texts by behaviour, {{NAME: [TEXT, ...]}}, or two such objects "
                '{"wordings": {...}, "held_out": {...}}'
            )
    seen: dict[str, str] = {}
    for part in parts:
        for behaviour, texts in part.items():
            for text in texts:
                if seen.setdefault(text, behaviour) != behaviour:
                    raise UserError(
                        f"{path} gives {text!r} to both {seen[text]} and {behaviour}; a text must tell them apart"
                    )
    wordings, held_out = parts
    both = sorted({text for texts in wordings.values() for text in texts} & _all_texts(held_out))
    if both:
        raise UserError(f"{path} both holds out and gives to learn {both[0]!r}; leave it in one place")
    return wordings, held_out


def find_wordings(labels_path: str | os.PathLike) -> Path | None:
    """The ``wordings.json`` in the folder of labels (or beside the file of labels), None where there is none."""
    path = Path(labels_path)
    found = (path if path.is_dir() else path.parent) / WORDINGS_FILE
    return found if found.is_file() else None


def texts_by_meaning(
    labels: Sequence[Label], wordings: dict[str, list[str]]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return ({meaning: its texts}, meanings without wordings): wordings where given, else the labels' own texts."""
    texts: dict[str, list[str]] = {}
    for meaning in sorted({label.meaning for label in labels}):
        own = sorted({label.text for label in labels if label.meaning == meaning})
        texts[meaning] = list(dict.fromkeys(wordings.get(meaning) or own))
    return texts, [meaning for meaning in texts if not wordings.get(meaning)]


_EXAMPLE = '{"episode": "NAME", "start": 40, "stop": 120, "behaviour": "dig", "text": "dig a hole"}'


def _read(file: Path) -> list[Label]:
    labels = []
    for number, raw in enumerate(read_text(file).split("\n"), 1):
        if raw.strip():
            try:
                labels.append(_label(json.loads(raw)))
            except ValueError as error:
                reason = str(error) if isinstance(error, _Wrong) else "it is torn or not JSON"
                raise UserError(f"{file}, line {number}: {reason}; mend it, or leave it out") from None
    return labels


class _Wrong(ValueError):
    """A label is not as it should be."""


def _label(line: Any) -> Label:
    if not isinstance(line, dict):
        raise _Wrong(f"it is a JSON {type(line).__name__}, not an object")
    for key in ("episode", "text"):
        if not isinstance(line.get(key), str) or not line[key].strip():
            raise _Wrong(f"{key} should be a text that is not empty, not {json.dumps(line.get(key))[:40]}")
    for key in ("start", "stop"):
        if not isinstance(line.get(key), int) or isinstance(line[key], bool):
            raise _Wrong(f"{key} should be a frame's number, not {json.dumps(line.get(key))[:40]}")
    if not 0 <= line["start"] < line["stop"]:
        raise _Wrong(f"frames {line['start']} to {line['stop']}; start must be at least 0 and below stop")
    behaviour = line.get("behaviour")
    if behaviour is not None and (not isinstance(behaviour, str) or not behaviour.strip()):
        raise _Wrong(f"behaviour should be a name, or left out, not {json.dumps(behaviour)[:40]}")
    return Label(line["episode"], line["start"], line["stop"], line["text"], behaviour)


def _are_texts(texts: Any) -> bool:
    return isinstance(texts, list) and bool(texts) and all(isinstance(t, str) and t.strip() for t in texts)


def _all_texts(wordings: dict[str, list[str]]) -> set[str]:
    return {text for texts in wordings.values() for text in texts}

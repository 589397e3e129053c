"""The model card of exported weights: where they come from, what they were trained with, what they did in play.

Knows nothing of weights; it shows what ``steve1/export.py`` noted and the figures of a report of ``run_agent.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steve1.cli import UserError
from steve1.files import read_text

_LONGEST = 160  # characters of a value; steve1_notes.json beside the card has it whole

_USE = """## Use

With the port that wrote this folder, where one flag names policy, prior and MineCLIP:

    python run_agent.py --in_weights hf://OWNER/{name} --custom_text_prompt "chop a tree"

With [MineStudio](https://github.com/CraftJarvis/MineStudio):

    from minestudio.models import SteveOnePolicy
    policy = SteveOnePolicy.from_pretrained("OWNER/{name}")
"""


def write(
    name: str, notes: Mapping[str, Mapping[str, Any]], evaluation: str | None, missing: Sequence[str]
) -> str:
    """The card, Markdown with the hub's header. ``notes``: of each part; ``missing``: parts that are left out."""
    policy = notes["policy"]
    temperature = policy.get("pi_head_kwargs", {}).get("temperature", 1.0)
    data = {**policy.get("data", {}), **{k: policy[k] for k in ("processed_frames", "step") if k in policy}}
    parts = [[part, str(noted["tensors_hash"])[:16]] for part, noted in notes.items()]
    said = [
        "---",
        "library_name: minestudio",
        "tags: [minecraft, steve-1, imitation-learning]",
        "---",
        "",
        f"# {name}",
        "",
        "A text- and video-conditioned Minecraft policy of the kind of [STEVE-1](https://arxiv.org/abs/2306.00937).",
        "",
        *_table(["part", "SHA-256 of its tensors"], parts),
        "",
        *[f"It holds no {part}; MineStudio fills that part with random numbers.\n" for part in missing],
        f"The head's temperature is {temperature:g}. MineStudio plays with 1.0; to play alike, divide its logits.\n"
        if temperature != 1.0
        else "",
        _USE.format(name=name),
        "## Data",
        "",
        *_values(data, "What it was trained on is not noted beside these weights."),
        "",
        "## Flags",
        "",
        *_values(policy.get("flags", {}), "How it was trained is not noted beside these weights."),
        "",
        "## Evaluation",
        "",
        evaluation or "No evaluation was given.",
    ]
    return "\n".join(said) + "\n"


def evaluation(report: str | os.PathLike, policy_hash: str) -> str:
    """The table of a report's figures for the agent whose weights are ``policy_hash``.

    ``report``: the JSON beside a report's page. Raises :class:`~steve1.cli.UserError` where it is about others.
    """
    try:
        content = json.loads(read_text(report))
        labels = [one["label"] for one in content["agents"] if one["in_weights_hash"] == policy_hash]
        groups, measures = content["groups"], content["shown"]
        rows = [
            [
                group["prompt"] or group["kind"],
                f"{group['cond_scale'] or 0:g}",
                str(len(group["episodes"])),
                *(_figure(group["figures"].get(measure)) for measure in measures),
            ]
            for group in groups
            if group["agent"] in labels
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{report} is no report's figures ({type(error).__name__}: {error}); give the .json that run_agent.py "
            "--report writes beside its page"
        ) from None
    if not rows:
        raise UserError(
            f"{report} has no episode played by these weights; give the report of an evaluation of them"
        )
    world = content["settings"].get("world", "?")
    lines = _table(["prompt", "guidance", "episodes", *measures], rows)
    settings = content["settings"]
    return "\n".join(
        [
            f"Played in {world}, {settings.get('gameplay_length', '?')} frames an episode, seeds: {content['seeds']}. "
            "Means, with 95 % intervals where there are enough worlds.",
            "",
            *lines,
        ]
    )


def _figure(span: Mapping[str, Any] | None) -> str:
    if span is None:
        return "-"
    bounds = (
        "" if span["low"] is None or span["high"] is None else f" [{span['low']:.3g}, {span['high']:.3g}]"
    )
    return f"{span['mean']:.3g}{bounds}"


def _values(values: Mapping[str, Any], nothing: str) -> Iterable[str]:
    if not values:
        return [nothing]
    rows = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        rows.append([name, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"])
    return _table(["", "value"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), line("---" for _ in head), *map(line, rows)]

"""Which episodes the flags of run_agent ask for: prompts, guidance scales, seeds, and the names of their files."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steve1.cli import UserError
from steve1.files import read_text
from steve1.playing.measures import MEASURES
from steve1.playing.prompts import BEHAVIOURS, PUBLISHED_PROMPTS
from steve1.playing.seeds import SeedList

# What --behaviours and --prompts know; the published prompts have these names too.
KNOWN_BEHAVIOURS: dict[str, str] = {**PUBLISHED_PROMPTS, **BEHAVIOURS}


@dataclass(frozen=True)
class PlannedEpisode:
    """An episode to play: a prompt in one world. ``kind`` is "text", "visual" or "no_goal".

    ``prompt``: the text, where the visual prompt is, or "". ``behaviour``: what it asks for, by the published
    prompt's name where it is one. ``own_measure``: the measure that it is judged by, where the user names one.
    ``cond_scale``: None is no guidance. ``video``: the film, if it is filmed; the
    record's JSON has the same name. ``commands``: that the world is given before the episode.
    """

    name: str
    kind: str
    prompt: str
    behaviour: str
    cond_scale: float | None
    world_seed: int
    sampling_seed: int
    video: Path
    commands: tuple[str, ...] = ()
    own_measure: str | None = None

    @property
    def caption(self) -> str:
        return {"text": self.prompt, "visual": f"{self.name} (visual prompt)"}.get(self.kind, "no goal")

    @property
    def json(self) -> Path:
        return self.video.with_suffix(".json")


def planned_episodes(args: argparse.Namespace, seeds: SeedList) -> list[PlannedEpisode]:
    """Every episode that the flags ask for, prompt by prompt, in the order of the table."""
    prompts = _prompts(args)
    scales = {"text": [args.text_cond_scale], "visual": [args.visual_cond_scale]}
    plays = [(p, scale) for p in prompts for scale in (args.cond_scale or scales[p.kind])]
    if args.no_goal:
        plays += [(prompt, 0.0) for prompt in _no_goals(prompts)]
    sweep = args.cond_scale is not None and len(args.cond_scale) > 1
    versus = "_vs_".join(_plain(label) for label in labels(args)) if args.compare_weights else ""
    planned = []
    for prompt, scale in plays:
        parts = [prompt.file]
        if sweep and prompt.kind != "no_goal":
            parts.append(f"scale{scale:g}")
        parts += [versus] if versus else []
        for seed in seeds.seeds:
            own = [f"seed{seed.world}"] + ([f"s{seed.sampling}"] if seed.sampling != seed.world else [])
            planned.append(
                PlannedEpisode(
                    prompt.name,
                    prompt.kind,
                    prompt.text,
                    prompt.behaviour,
                    scale or None,
                    seed.world,
                    seed.sampling,
                    args.save_dirpath / f"{'_'.join([*parts, *own])}.mp4",
                    prompt.commands,
                    _own_measure(args, prompt),
                )
            )
    return planned


@dataclass(frozen=True)
class _Prompt:
    """``file``: how its files' names begin, unlike any other's of the run. ``text``: see ``PlannedEpisode.prompt``."""

    name: str
    file: str
    kind: str
    text: str
    behaviour: str
    commands: tuple[str, ...] = ()


def _no_goals(prompts: Sequence[_Prompt]) -> list[_Prompt]:
    """Playing without a goal, once for each list of commands: worlds are compared that began alike."""
    first: dict[tuple[str, ...], _Prompt] = {}
    for prompt in prompts:
        first.setdefault(prompt.commands, prompt)
    files = {
        commands: f"no_goal_{prompt.file}" if commands else "no_goal" for commands, prompt in first.items()
    }
    return [_Prompt("no_goal", file, "no_goal", "", "no_goal", commands) for commands, file in files.items()]


def _own_measure(args: argparse.Namespace, prompt: _Prompt) -> str | None:
    if prompt.kind == "no_goal":
        return None
    return next((args.own_measure[key] for key in _called(prompt) if key in args.own_measure), None)


def _called(prompt: _Prompt) -> tuple[str, ...]:
    """What ``--own_measure`` may call a prompt."""
    return prompt.text, prompt.name, prompt.behaviour


def read_own_measures(args: argparse.Namespace) -> list[str]:
    """Put a dict in place of ``--own_measure``; a sentence for each that is none."""
    given, args.own_measure, problems = args.own_measure, {}, []
    for text in given:
        prompt, _, measure = (part.strip() for part in text.rpartition("="))
        if not prompt or measure not in MEASURES:
            problems.append(f"--own_measure {text}: give PROMPT=MEASURE, a measure of {', '.join(MEASURES)}")
        args.own_measure[prompt] = measure
    return problems


def own_measure_problems(args: argparse.Namespace) -> list[str]:
    """A sentence for each prompt of ``--own_measure`` that is not played."""
    known = [_called(prompt) for prompt in _prompts(args)]
    return [
        f"--own_measure {given}={measure}: no such prompt is played; it is one of "
        f"{', '.join(repr(names[0]) for names in known)}"
        for given, measure in args.own_measure.items()
        if not any(given in names for names in known)
    ]


def _prompts(args: argparse.Namespace) -> list[_Prompt]:
    """The prompts in the table's order, without that of no goal."""
    behaviours = behaviour_texts(args)
    if not (args.custom_text_prompt or args.visual_prompt or behaviours or args.tasks):
        folder = args.visual_prompts_dir
        behaviours = dict(PUBLISHED_PROMPTS)
        visual = [name for name in PUBLISHED_PROMPTS if (folder / f"{name}.pkl").is_file()]
    else:
        visual = args.visual_prompt
    known = {text: name for name, text in PUBLISHED_PROMPTS.items()}
    # A text is played once, under the first of its names.
    first = {text: name for name, text in reversed(behaviours.items())}
    found: list[tuple[str, str, str, str, str, tuple[str, ...]]] = [
        (name, name, "text", text, name, ()) for name, text in behaviours.items() if first[text] == name
    ]
    texts = [text for text in args.custom_text_prompt if text not in first]
    found += [
        (name, name, "text", text, known.get(text, name), ())
        for name, text in zip(text_names(texts), texts, strict=True)
    ]
    visual = _distinct_sources(visual, args.visual_prompts_dir)
    for name, given in zip(visual_names(visual, args.visual_prompts_dir), visual, strict=True):
        path, frame = visual_source(given, args.visual_prompts_dir)
        found.append((name, slug(name), "visual", given, path.stem if frame is None else name, ()))
    for task in args.tasks:
        behaviour, stem = known.get(task.text, task.name), slug(re.sub("[_/]", " ", task.name))
        if task.text:
            found.append((task.name, stem, "text", task.text, behaviour, task.commands))
        if task.reference_video is not None:
            given = str(task.reference_video)
            found.append((task.name, stem, "visual", given, behaviour, task.commands))
    taken: set[str] = {"no_goal"}
    prompts = []
    for name, stem, kind, text, behaviour, commands in found:
        file = f"{stem}_{kind}"
        if file in taken:
            file = f"{stem}_{_hash(chr(10).join([text, *commands]))}_{kind}"
        taken.add(file)
        prompts.append(_Prompt(name, file, kind, text, behaviour, commands))
    return prompts


# ---- behaviours ----


def behaviour_texts(args: argparse.Namespace) -> dict[str, str]:
    """The texts that ``--behaviours`` and ``--prompts`` name, by behaviour; empty where neither is given.

    Raises :class:`~steve1.cli.UserError` where the file of ``--prompts`` is no object of texts by known behaviours.
    """
    if args.prompts is None:
        return {name: KNOWN_BEHAVIOURS[name] for name in args.behaviours}
    texts = _read_prompts(args.prompts)
    return {name: texts.get(name, KNOWN_BEHAVIOURS[name]) for name in args.behaviours or texts}


def _read_prompts(path: Path) -> Mapping[str, str]:
    try:
        prompts = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}); mend it") from None
    if not isinstance(prompts, dict) or not all(
        isinstance(text, str) and text.strip() for text in prompts.values()
    ):
        raise UserError(f'{path} must hold an object of texts by behaviour, such as {{"sky": "look up"}}')
    unknown = [name for name in prompts if name not in KNOWN_BEHAVIOURS]
    if unknown or not prompts:
        raise UserError(
            f"{path} names {', '.join(unknown) or 'nothing'}; the behaviours are {', '.join(KNOWN_BEHAVIOURS)}"
        )
    return {name: text.strip() for name, text in prompts.items()}


# ---- names ----


def text_names(texts: Sequence[str]) -> list[str]:
    """What texts are called in files, each unlike the others; those of another script by their numbers."""
    return [slug(text) if _plain(text) else f"prompt_{place}" for place, text in enumerate(texts, start=1)]


def slug(text: str) -> str:
    """A file's name for a text with Latin letters; one that doesn't tell all of it has a hash, to be unlike others."""
    plain = _plain(text)
    return plain if plain.replace("_", " ") == text else f"{plain}_{_hash(text)}"


def _plain(text: str) -> str:
    """Its letters without accents and its digits, in lower case; "" where it has none that ASCII knows."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")[:60].strip("_")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def visual_source(given: str, folder: Path) -> tuple[Path, int | None]:
    """Where a visual prompt's embedding is: a pickle and None, or an episode's folder and a frame.

    ``given``: a published name (its file is in ``folder``), a path ending in .pkl, or EPISODE_DIR:FRAME.
    """
    episode, colon, frame = given.rpartition(":")
    if colon and frame.isdigit():
        return Path(episode), int(frame)
    if given in PUBLISHED_PROMPTS:
        return folder / f"{given}.pkl", None
    return Path(given), None


def visual_problems(given: str, folder: Path) -> list[str]:
    """A sentence where a visual prompt can't be found."""
    path, frame = visual_source(given, folder)
    if frame is not None:
        return [] if path.is_dir() else [f"--visual_prompt {given}: there is no episode folder {path}"]
    if path.is_file():
        return []
    if given in PUBLISHED_PROMPTS:
        return [
            f"--visual_prompt {given}: {path} does not exist; put the published embedding there, or name its "
            "folder with --visual_prompts_dir"
        ]
    return [
        f"--visual_prompt {given} is no file; give a .pkl, EPISODE_DIR:FRAME, or one of "
        f"{', '.join(PUBLISHED_PROMPTS)}"
    ]


def _distinct_sources(given: Sequence[str], folder: Path) -> list[str]:
    """Visual prompts without those that name the same file, or the same frame, once more."""
    sources: dict[tuple[Path, int | None], str] = {}
    for one in given:
        path, frame = visual_source(one, folder)
        sources.setdefault((path.resolve(), frame), one)
    return list(sources.values())


def visual_names(given: Sequence[str], folder: Path) -> list[str]:
    """What visual prompts are called: by file or folder, and by as much of the path as tells them apart."""
    sources = [visual_source(one, folder) for one in given]
    paths = [(path if frame is None else path.resolve(), frame) for path, frame in sources]

    def name(path: Path, frame: int | None, depth: int) -> str:
        parts = (path.absolute().with_suffix("") if frame is None else path).parts[-depth:]
        return "/".join(parts) + ("" if frame is None else f" frame {frame}")

    depths = [1] * len(paths)
    for _ in range(max((len(path.absolute().parts) for path, _ in paths), default=0)):
        names = [name(*source, depth) for source, depth in zip(paths, depths, strict=True)]
        depths = [d + (names.count(own) > 1) for own, d in zip(names, depths, strict=True)]
    names = [name(*source, depth) for source, depth in zip(paths, depths, strict=True)]
    return [one if names.count(own) > 1 else own for own, one in zip(names, given, strict=True)]


def labels(args: argparse.Namespace) -> list[str]:
    """What the agents are called, baseline first: by their weights' files, and folders where these are the same."""
    paths = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    for depth in (1, 2, 3):
        names = ["/".join(path.absolute().with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({which})" for name, which in zip(names, ("baseline", "other"), strict=True)]

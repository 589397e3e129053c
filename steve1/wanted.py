"""Which films the flags of run_agent ask for: prompts, guidance scales, seeds, and their files' names."""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

from steve1.filming import Episode
from steve1.playing.prompts import PUBLISHED_PROMPTS
from steve1.playing.seeds import SeedList


def slug(text: str) -> str:
    """A file's name for a prompt; where it doesn't tell all of the text, a hash makes it unlike others."""
    plain = _plain(text)
    if plain.replace("_", " ") == text:
        return plain
    return f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:6]}".lstrip("_")


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].strip("_")


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


def visual_name(given: str) -> str:
    """What a visual prompt is called, in captions and files."""
    path, frame = visual_source(given, Path())
    return path.stem if frame is None else f"{path.resolve().name} frame {frame}"


def labels(args: argparse.Namespace) -> list[str]:
    """What the agents are called, baseline first: by their weights' files, and folders where these are the same."""
    paths = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    for depth in (1, 2, 3):
        names = ["/".join(path.absolute().with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({which})" for name, which in zip(names, ("baseline", "other"), strict=True)]


def episodes(args: argparse.Namespace, seeds: SeedList) -> list[Episode]:
    """Every film that the flags ask for, in the order of the table."""
    folder = args.visual_prompts_dir
    if args.custom_text_prompt or args.visual_prompt:
        wanted = [(slug(text), "text", text) for text in args.custom_text_prompt]
        wanted += [(visual_name(given), "visual", given) for given in args.visual_prompt]
    else:
        wanted = [(name, "text", text) for name, text in PUBLISHED_PROMPTS.items()]
        wanted += [(name, "visual", name) for name in PUBLISHED_PROMPTS if (folder / f"{name}.pkl").is_file()]
    scales = {"text": [args.text_cond_scale], "visual": [args.visual_cond_scale]}
    plays = [
        (name, kind, prompt, scale)
        for name, kind, prompt in wanted
        for scale in (args.cond_scale or scales[kind])
    ]
    if args.no_goal:
        plays.append(("no_goal", "no_goal", "", 0.0))
    sweep = args.cond_scale is not None and len(args.cond_scale) > 1
    versus = "_vs_".join(_plain(label) for label in labels(args)) if args.compare_weights else ""
    films = []
    for name, kind, prompt, scale in plays:
        parts = [name if kind == "no_goal" else f"{slug(name) if kind == 'visual' else name}_{kind}"]
        if sweep and kind != "no_goal":
            parts.append(f"scale{scale:g}")
        parts += [versus] if versus else []
        for seed in seeds.seeds:
            own = [f"seed{seed.world}"] + ([f"s{seed.sampling}"] if seed.sampling != seed.world else [])
            video = args.save_dirpath / f"{'_'.join([*parts, *own])}.mp4"
            films.append(Episode(name, kind, prompt, seed.world, scale or None, video, seed.sampling))
    return films

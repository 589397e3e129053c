"""Play text and visual prompts in a world, film each episode, count what was done, and report it.

Real (the 11 published prompts, text and visual, 1,000 frames each; then a fine-tuned policy against its baseline on
the evaluation worlds, with a page to show for it):
    python run_agent.py --in_weights data/weights/steve1/steve1.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt
    python run_agent.py --in_weights data/weights/steve1/mine_best.weights \\
        --compare_weights data/weights/steve1/steve1.weights --prior_weights data/weights/steve1/steve1_prior.pt \\
        --seeds evaluation --num_envs 4 --report data/generated_videos/mine.html

Tiny (the quickstart's weights in the embedded world, half a minute):
    python run_agent.py --env blockworld --in_model configs/quickstart_policy.json \\
        --in_weights data/quickstart/weights/steve1/small.weights \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth \\
        --custom_text_prompt "look at the sky" --gameplay_length 100 --save_dirpath /tmp/films

Each episode becomes NAME.mp4 and, beside it, NAME.json with its settings and counts. What exists is skipped, so
the same command goes on where it was stopped. The counts are printed at the end. docs/evaluation.md says what each
figure means.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError, comma_list, count, entry_point, number, report_all
from steve1.config import data_root
from steve1.filming import Agent, Episode, ScoreOf, film_all, read_json, read_sides
from steve1.flags import (
    add_device_flags,
    add_model_flags,
    add_world_flags,
    missing_files,
    missing_python,
)
from steve1.playing.measures import MEASURES, PUBLISHED_MEASURES
from steve1.playing.prompts import PUBLISHED_PROMPTS
from steve1.playing.seeds import SeedList, counted, read_seeds
from steve1.wanted import episodes, labels, slug, visual_problems, visual_source

if TYPE_CHECKING:
    import torch

__all__ = ["episodes", "main", "parse", "seed_list", "slug"]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = add_model_flags(parser)
    models.add_argument(
        "--compare_weights",
        type=Path,
        default=None,
        help="other weights of the same architecture, the baseline say: both play every prompt on the same world and "
        "sampling seeds, side by side in one video, these on the left (default: none)",
    )
    add_device_flags(models)
    goals = parser.add_argument_group("prompts")
    goals.add_argument(
        "--custom_text_prompt",
        nargs="+",
        action="extend",
        default=[],
        metavar="TEXT",
        help="texts to play, each in quotes; may be given several times (default, where no --visual_prompt is given "
        "either: the 11 published prompts, and their visual prompts where these exist)",
    )
    goals.add_argument(
        "--visual_prompt",
        nargs="+",
        action="extend",
        default=[],
        metavar="PROMPT",
        help="visual prompts to play: a .pkl of an embedding, EPISODE_DIR:FRAME for the 16 frames that end there, or a "
        "published prompt's name (default: none)",
    )
    goals.add_argument(
        "--visual_prompts_dir",
        type=Path,
        default=data_root() / "visual_prompt_embeds",
        help="folder of the published prompts' NAME.pkl (default: data/visual_prompt_embeds)",
    )
    goals.add_argument(
        "--no_goal",
        action="store_true",
        help="also play without a goal: zeros, no guidance (default: don't)",
    )
    goals.add_argument(
        "--text_cond_scale",
        type=number,
        default=6.0,
        help="guidance for texts; 0 turns it off (default 6.0)",
    )
    goals.add_argument(
        "--visual_cond_scale",
        type=number,
        default=7.0,
        help="guidance for visual prompts; 0 turns it off (default 7.0)",
    )
    goals.add_argument(
        "--cond_scale",
        type=_scales,
        default=None,
        metavar="S[,S...]",
        help="guidance for all prompts, in place of the two above; 0 turns it off; several, 0,2,4,6 say, are all "
        "played: a sweep (default: not given)",
    )
    playing = parser.add_argument_group("playing")
    add_world_flags(playing)
    playing.add_argument(
        "--gameplay_length", type=count, default=1000, help="frames an episode, 20 a second (default 1000)"
    )
    playing.add_argument(
        "--seed",
        type=count,
        default=None,
        help="of the first world, its sampling and its prior's sample (default 0)",
    )
    playing.add_argument(
        "--num_seeds",
        type=count,
        default=None,
        help="worlds for each prompt, with seeds from --seed upward, or of --seeds (default 1; of --seeds all)",
    )
    playing.add_argument(
        "--seeds",
        default=None,
        metavar="evaluation|FILE",
        help="list of world and sampling seeds, in place of --seed: that of configs/evaluation_seeds.json, on which "
        "nothing is trained or chosen, or a file of that form (default: none)",
    )
    playing.add_argument(
        "--num_envs",
        type=count,
        default=1,
        help="worlds that are played in one batch, for each weights file (default 1)",
    )
    playing.add_argument(
        "--deterministic",
        action="store_true",
        help="take the best action at every step, and the prior's middle, instead of sampling (default: sample)",
    )
    playing.add_argument(
        "--save_dirpath",
        type=Path,
        default=data_root() / "generated_videos",
        help="folder of the videos (default: data/generated_videos)",
    )
    measuring = parser.add_argument_group("measuring")
    measuring.add_argument(
        "--measures",
        type=comma_list,
        default=list(PUBLISHED_MEASURES),
        metavar="A,B",
        help=f"columns of the table and charts of the report, of {', '.join(MEASURES)} (default: the published four)",
    )
    measuring.add_argument(
        "--score_every",
        type=count,
        default=0,
        help="frames between two MineCLIP scores, which encode up to 16 frames each; 0: no scores (default 0)",
    )
    measuring.add_argument(
        "--report",
        type=Path,
        default=None,
        metavar="PATH.html",
        help="also write one page with charts and the videos, and the same figures as PATH.json (default: none)",
    )
    measuring.add_argument(
        "--report_embed_mb",
        type=number,
        default=50.0,
        help="videos that are put into the page itself, so that it can be mailed, in MB in all; the rest are links; "
        "0: all are links (default 50)",
    )
    args = parser.parse_args(argv)
    args.custom_text_prompt = list(dict.fromkeys(text.strip() for text in args.custom_text_prompt))
    args.visual_prompt = list(dict.fromkeys(args.visual_prompt))
    report_all(_problems(args))
    return args


def _scales(text: str) -> list[float]:
    return list(dict.fromkeys(number(part) for part in text.split(",")))


def _problems(args: argparse.Namespace) -> list[str]:
    problems = [
        f"--{name} {value} is below {least}; give at least {least}"
        for name, value, least in (
            ("gameplay_length", args.gameplay_length, 1),
            ("num_seeds", args.num_seeds, 1),
            ("num_envs", args.num_envs, 1),
            ("seed", args.seed, 0),
            ("score_every", args.score_every, 0),
            ("report_embed_mb", args.report_embed_mb, 0),
        )
        if value is not None and not value >= least
    ]
    for name in ("text_cond_scale", "visual_cond_scale", "cond_scale"):
        given = getattr(args, name)
        for scale in given if isinstance(given, list) else [given]:
            if scale is not None and not 0 <= scale < float("inf"):
                problems.append(f"--{name} {scale} must be at least 0 and finite; 0 turns guidance off")
    if "" in args.custom_text_prompt:
        problems.append("--custom_text_prompt is empty; give a text, or leave the flag out")
    for given in args.visual_prompt:
        problems += visual_problems(given, args.visual_prompts_dir)
    if args.seeds is not None and args.seed is not None:
        problems.append("--seed and --seeds were both given; --seeds names all seeds, so leave --seed out")
    unknown = [name for name in args.measures if name not in MEASURES]
    if unknown or not args.measures:
        problems.append(f"--measures {','.join(unknown)}: choose from {', '.join(MEASURES)}")
    if args.report is not None and args.report.suffix != ".html":
        problems.append(f"--report {args.report} must end in .html; its figures go beside it, in .json")
    if args.compare_weights is not None:
        problems += missing_files(args, ("compare_weights",))
        if args.compare_weights.absolute() == args.in_weights.absolute():
            problems.append("--compare_weights and --in_weights are the same file; give two to compare")
    return problems + missing_files(args) + missing_python(args)


def seed_list(args: argparse.Namespace) -> SeedList:
    """The seeds that the flags name."""
    if args.seeds is not None:
        return read_seeds(args.seeds, args.num_seeds)
    return counted(args.seed or 0, args.num_seeds or 1)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    seeds = seed_list(args)
    films = episodes(args, seeds)

    # ---- what exists ----
    missing = [film for film in films if not film.video.exists()]
    for film in films:
        if film.video.exists():
            print(f"{film.video} exists and is skipped{_differences(film, args)}")
    if not (args.custom_text_prompt or args.visual_prompt):
        absent = [name for name in PUBLISHED_PROMPTS if not any(f.prompt == name for f in films)]
        if absent:
            print(
                f"no visual prompts of {', '.join(absent)} in {args.visual_prompts_dir}: played as texts alone"
            )

    if missing:
        # ---- models, goals, worlds ----
        agents = load_agents(args)
        goals, score_of, note = make_goals(args, missing, agents)

        # ---- play and film ----
        from steve1.envs import make_env

        film_all(
            agents,
            missing,
            goals,
            lambda: make_env(args.env, minerl_python=args.minerl_python),
            {**note, "seeds": seeds.name},
            args.gameplay_length,
            args.num_envs,
            args.deterministic,
            score_of,
        )

    # ---- counts ----
    from steve1 import evaluation

    print(evaluation.table(films, args.measures))
    compared = evaluation.difference_table(films, args.measures)
    if compared:
        print(f"\n{compared}")
    for line in evaluation.losses(films):
        print(line)
    made = sum(film.video.exists() for film in missing)
    print(f"{made} videos made, {len(films) - len(missing)} were there: {args.save_dirpath}")
    if args.report is not None:
        from steve1.report import write_report

        print(write_report(args.report, films, args.measures, seeds.name, args.report_embed_mb))


def load_agents(args: argparse.Namespace) -> list[Agent]:
    """The policies, baseline first, each with what is noted of its weights."""
    from steve1.MineRLConditionalAgent import load_policy

    paths = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    agents = []
    for label, path in zip(labels(args), paths, strict=True):
        policy, weights_hash = load_policy(args.in_model, path, args.device, args.precision)
        note = {"in_weights": str(path), "in_weights_hash": weights_hash}
        agents.append(Agent(label, policy, note))
    return agents


def make_goals(
    args: argparse.Namespace, films: Sequence[Episode], agents: Sequence[Agent]
) -> tuple[list[torch.Tensor], ScoreOf, dict[str, Any]]:
    """A goal [E] for each film, what scores its episodes, and what is noted of all that in its JSON."""
    import torch

    from steve1.playing.goals import load_text_goals, visual_goal
    from steve1.playing.scoring import EpisodeScore

    net = agents[0].policy.net
    width, device = net.mineclip_embed_dim, net.final_ln.weight.device
    note: dict[str, Any] = dict.fromkeys(("prior_weights", "prior_hash", "mineclip_hash"))
    note |= {"precision": args.precision, "device": device.type, "score_every": args.score_every}
    texts = None
    if args.score_every or any(film.kind == "text" for film in films):
        texts = load_text_goals(args, {agent.note["in_weights"]: width for agent in agents})
        note |= texts.hashes()
        note["prior_weights"] = str(args.prior_weights) if args.prior_weights is not None else None
    goals: list[torch.Tensor] = []
    wanted: list[torch.Tensor | None] = []  # what the scores compare with
    for film in films:
        if film.kind == "text":
            assert texts is not None
            goals.append(texts.goal(film.prompt, film.sampling, args.deterministic).detach())
            wanted.append(texts.embed(film.prompt))
        elif film.kind == "visual":
            path, frame = visual_source(film.prompt, args.visual_prompts_dir)
            goals.append(
                visual_goal(path, width) if frame is None else episode_goal(args, path, frame, width)
            )
            wanted.append(goals[-1])
        else:
            goals.append(torch.zeros(width))
            wanted.append(None)

    def score_of(row: int) -> EpisodeScore | None:
        embed = wanted[row]
        if texts is None or not args.score_every or embed is None:
            return None
        return EpisodeScore(texts.mineclip.to(device), embed, args.score_every)

    return goals, score_of, note


def episode_goal(args: argparse.Namespace, folder: Path, frame: int, width: int) -> torch.Tensor:
    """The stored embedding [E] of the 16 frames of an episode that end at ``frame``."""
    from data.EpisodeStorage import EpisodeStorage
    from steve1.playing.goals import check_made_by, fitting_goal

    episode, source = EpisodeStorage(folder), f"--visual_prompt {folder}:{frame}"
    if frame >= len(episode):
        raise UserError(f"{source}: the episode has frames 0 to {len(episode) - 1}")
    goal = fitting_goal(episode.load_embeds_attn()[frame], source, width)
    weights = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    check_made_by(episode.metadata.get("mineclip_hash"), str(folder), weights, args.allow_other_mineclip)
    return goal


def _differences(film: Episode, args: argparse.Namespace) -> str:
    """Words for how a video that exists was made otherwise than the flags say, as far as its JSON tells."""
    now = {
        "cond_scale": film.cond_scale,
        "gameplay_length": args.gameplay_length,
        "deterministic": args.deterministic,
        "precision": args.precision,
        "score_every": args.score_every,
    }
    if film.kind == "text":
        now["prior_weights"] = None if args.prior_weights is None else str(args.prior_weights)
    then = read_json(film)
    other = [f"{key} {then[key]}" for key, value in now.items() if key in then and then[key] != value]
    ours = [str(path) for path in (args.compare_weights, args.in_weights) if path is not None]
    theirs = [side.get("in_weights") for side in read_sides(film)]
    if theirs and None not in theirs and theirs != ours:
        other.append(f"in_weights {', '.join(map(str, theirs))}")
    if not other:
        return ""
    return f", though it was made with {', '.join(other)}: remove it or give another --save_dirpath to make it anew"


if __name__ == "__main__":
    main()

"""Play text and visual prompts in a world, film each episode, and count what was done.

Real (the 11 published prompts, text and visual, 1,000 frames each):
    python run_agent.py --in_weights data/weights/steve1/steve1.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt

Tiny (the quickstart's weights in the embedded world, half a minute):
    python run_agent.py --env blockworld --in_model configs/quickstart_policy.json \\
        --in_weights data/quickstart/weights/steve1/small.weights \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth \\
        --custom_text_prompt "look at the sky" --gameplay_length 100 --save_dirpath /tmp/films

Each episode becomes NAME.mp4 and, beside it, NAME.json with its settings and counts. What exists is skipped, so
the same command goes on where it was stopped. The counts are printed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import count, entry_point, number, report_all
from steve1.config import data_root
from steve1.filming import Episode, film_all, losses, read_json, table
from steve1.flags import add_model_flags, add_world_flags, missing_files, missing_python
from steve1.prompts import PUBLISHED_PROMPTS

if TYPE_CHECKING:
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = add_model_flags(parser)
    models.add_argument("--device", default=None, help="torch device (default: a GPU where there is one)")
    goals = parser.add_argument_group("prompts")
    goals.add_argument(
        "--custom_text_prompt",
        nargs="+",
        action="extend",
        default=[],
        metavar="TEXT",
        help="texts to play, each in quotes; may be given several times (default: the 11 published prompts, and their "
        "visual prompts where these exist)",
    )
    goals.add_argument(
        "--visual_prompts_dir",
        type=Path,
        default=data_root() / "visual_prompt_embeds",
        help="folder of the published prompts' NAME.pkl, read when no text is given (default: "
        "data/visual_prompt_embeds)",
    )
    goals.add_argument(
        "--no_goal",
        action="store_true",
        help="also play the baseline: a goal of zeros, no guidance (default: don't)",
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
        type=number,
        default=None,
        help="guidance for all prompts, in place of the two above; 0 turns it off (default: not given)",
    )
    playing = parser.add_argument_group("playing")
    add_world_flags(playing)
    playing.add_argument(
        "--gameplay_length", type=count, default=1000, help="frames an episode, 20 a second (default 1000)"
    )
    playing.add_argument(
        "--seed",
        type=count,
        default=0,
        help="of the first world, its sampling and its prior's sample (default 0)",
    )
    playing.add_argument(
        "--num_seeds",
        type=count,
        default=1,
        help="worlds for each prompt, with seeds from --seed upward (default 1)",
    )
    playing.add_argument(
        "--num_envs", type=count, default=1, help="worlds that are played in one batch (default 1)"
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
    args = parser.parse_args(argv)
    args.custom_text_prompt = list(dict.fromkeys(text.strip() for text in args.custom_text_prompt))
    report_all(_problems(args))
    return args


def _problems(args: argparse.Namespace) -> list[str]:
    problems = [
        f"--{name} {value} is below {least}; give at least {least}"
        for name, value, least in (
            ("gameplay_length", args.gameplay_length, 1),
            ("num_seeds", args.num_seeds, 1),
            ("num_envs", args.num_envs, 1),
            ("seed", args.seed, 0),
        )
        if value < least
    ]
    for name in ("text_cond_scale", "visual_cond_scale", "cond_scale"):
        scale = getattr(args, name)
        if scale is not None and not 0 <= scale < float("inf"):
            problems.append(f"--{name} {scale} must be at least 0 and finite; 0 turns guidance off")
    if "" in args.custom_text_prompt:
        problems.append("--custom_text_prompt is empty; give a text, or leave the flag out")
    return problems + missing_files(args) + missing_python(args)


def episodes(args: argparse.Namespace) -> list[Episode]:
    """Every film that the flags ask for, in the order of the table."""
    text_scale = args.text_cond_scale if args.cond_scale is None else args.cond_scale
    visual_scale = args.visual_cond_scale if args.cond_scale is None else args.cond_scale
    if args.custom_text_prompt:
        wanted = [(slug(text), "text", text, text_scale) for text in args.custom_text_prompt]
    else:
        wanted = [(name, "text", text, text_scale) for name, text in PUBLISHED_PROMPTS.items()]
        wanted += [
            (name, "visual", str(args.visual_prompts_dir / f"{name}.pkl"), visual_scale)
            for name in PUBLISHED_PROMPTS
            if (args.visual_prompts_dir / f"{name}.pkl").is_file()
        ]
    if args.no_goal:
        wanted.append(("no_goal", "no_goal", "", None))
    films = []
    for name, kind, prompt, scale in wanted:
        stem = name if kind == "no_goal" else f"{name}_{kind}"
        films += [
            Episode(name, kind, prompt, seed, scale or None, args.save_dirpath / f"{stem}_seed{seed}.mp4")
            for seed in range(args.seed, args.seed + args.num_seeds)
        ]
    return films


def slug(text: str) -> str:
    """A file's name for a prompt; where it doesn't tell all of the text, a hash makes it unlike others."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].strip("_")
    if plain.replace("_", " ") == text:
        return plain
    return f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:6]}".lstrip("_")


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    films = episodes(args)

    # ---- what exists ----
    missing = [film for film in films if not film.video.exists()]
    for film in films:
        if film.video.exists():
            print(f"{film.video} exists and is skipped{_differences(film, args)}")

    if missing:
        # ---- models, goals, worlds ----
        policy, goals, origin = load_models(args, missing)

        # ---- play and film ----
        from steve1.envs import make_env

        film_all(
            policy,
            missing,
            goals,
            lambda: make_env(args.env, minerl_python=args.minerl_python),
            origin,
            args.gameplay_length,
            args.num_envs,
            args.deterministic,
        )

    # ---- counts ----
    print(table(films))
    for line in losses(films):
        print(line)
    made = sum(film.video.exists() for film in missing)
    print(f"{made} videos made, {len(films) - len(missing)} were there: {args.save_dirpath}")


def load_models(
    args: argparse.Namespace, films: Sequence[Episode]
) -> tuple[MinecraftAgentPolicy, list[torch.Tensor], dict[str, Any]]:
    """The policy, a goal [E] for each film, and what is noted of the weights in each film's JSON."""
    import torch

    from steve1 import goals as goal_makers
    from steve1.checkpoints import load_mineclip, load_model_file, tensors_hash
    from steve1.MineRLConditionalAgent import MineRLConditionalAgent

    agent = MineRLConditionalAgent(None, args.device, *load_model_file(args.in_model))
    agent.load_weights(args.in_weights)
    policy = agent.policy
    width = policy.net.mineclip_embed_dim
    origin: dict[str, Any] = {
        "in_weights": str(args.in_weights),
        "in_weights_hash": tensors_hash(policy),
        "prior_weights": None,
        "prior_hash": None,
        "mineclip_hash": None,
    }
    texts = list(dict.fromkeys(film.prompt for film in films if film.kind == "text"))
    embeds: dict[str, torch.Tensor] = {}
    prior = None
    if texts:
        mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
        origin["mineclip_hash"] = tensors_hash(mineclip)
        if args.prior_weights is not None:
            from data.text_alignment.vae import load_prior

            prior = load_prior(args.prior_weights)
            origin |= {"prior_weights": str(args.prior_weights), "prior_hash": tensors_hash(prior)}
        goal_makers.check_goals_fit(
            mineclip,
            args.mineclip_weights,
            width,
            args.in_weights,
            prior.input_dim if prior is not None else None,
            args.prior_weights,
            args.allow_other_mineclip,
        )
        embeds = dict(zip(texts, goal_makers.text_embeds(mineclip, texts), strict=True))
    goals = []
    for film in films:
        if film.kind == "text":
            goals.append(
                goal_makers.text_goal(embeds[film.prompt], prior, film.seed, args.deterministic).detach()
            )
        elif film.kind == "visual":
            goals.append(goal_makers.visual_goal(film.prompt, width))
        else:
            goals.append(torch.zeros(width))
    return policy, goals, origin


def _differences(film: Episode, args: argparse.Namespace) -> str:
    """Words for how a video that exists was made otherwise than the flags say, as far as its JSON tells."""
    now = {
        "cond_scale": film.cond_scale,
        "gameplay_length": args.gameplay_length,
        "deterministic": args.deterministic,
        "in_weights": str(args.in_weights),
        "prior_weights": str(args.prior_weights) if args.prior_weights and film.kind == "text" else None,
    }
    then = read_json(film)
    if film.kind != "text":
        then.pop("prior_weights", None)
        now.pop("prior_weights")
    other = [f"{key} {then[key]}" for key, value in now.items() if key in then and then[key] != value]
    if not other:
        return ""
    return f", though it was made with {', '.join(other)}: remove it or give another --save_dirpath to make it anew"


if __name__ == "__main__":
    main()

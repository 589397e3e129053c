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

Each episode becomes NAME.mp4 and, beside it, NAME.json: its record, all that decides it and all that was measured.
With --no_films it is the record alone. A record that equals the one wanted is used again, so the same command goes on
where it was stopped; anything else of that name is moved to earlier/ and played anew. docs/evaluation.md says what
each figure means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import UserError, comma_list, count, entry_point, number, out_of_range, report_all
from steve1.config import data_root
from steve1.flags import (
    add_device_flags,
    add_goal_strip_flag,
    add_model_flags,
    add_world_flags,
    complete_models,
    missing_files,
    missing_python,
    missing_sampling,
    pythons,
)
from steve1.playing.measures import MEASURES, PUBLISHED_MEASURES
from steve1.playing.plan import (
    KNOWN_BEHAVIOURS,
    own_measure_problems,
    planned_episodes,
    read_own_measures,
    visual_problems,
)
from steve1.playing.prompts import PUBLISHED_PROMPTS
from steve1.playing.seeds import SeedList, counted, read_seeds
from steve1.playing.tasks import check_commands, read_tasks

if TYPE_CHECKING:
    from steve1.mineclip import MineCLIP
    from steve1.playing.agents import Agent, PreparedEpisode
    from steve1.playing.episode import PlayedEpisode


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
        help="texts to play, each in quotes; may be given several times (default, where no other prompt is given "
        "either: the 11 published prompts, and their visual prompts where these exist)",
    )
    goals.add_argument(
        "--behaviours",
        type=comma_list,
        default=[],
        metavar="A,B",
        help=f"published prompts to play, by name, of {', '.join(KNOWN_BEHAVIOURS)} (default: none)",
    )
    goals.add_argument(
        "--prompts",
        type=Path,
        default=None,
        metavar="FILE",
        help='JSON {"sky": "look up", ...} of other texts for behaviours, which are judged as these; without '
        "--behaviours all of the file are played (default: the published texts)",
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
        "--tasks",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="PATH",
        help="tasks of MCU, YAML files or folders of them: text, reference_video or both are played, after the task's "
        "custom_init_commands, which need --env minestudio (default: none)",
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
        "--processes",
        type=count,
        default=None,
        metavar="N",
        help="batches that are played at once, each in a process that computes with one thread, so that figures don't "
        "depend on N (default: one after another in this process; with all its threads, unless --no_films is given)",
    )
    playing.add_argument(
        "--no_films",
        action="store_true",
        help="keep the records alone, NAME.json, and make no videos (default: film)",
    )
    playing.add_argument(
        "--overlay",
        action="store_true",
        help="below each film's picture also show keys, camera, the likeliest actions with and without the goal, and "
        "--goal_strip's moments; what is played stays the same (default: the picture and the prompt)",
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
        help="folder of the records and videos (default: data/generated_videos)",
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
        "--own_measure",
        nargs="+",
        action="extend",
        default=[],
        metavar="PROMPT=MEASURE",
        help='what a prompt, task or behaviour is judged by, "chop a tree=log_hits" (default: published prompts by '
        "OWN_MEASURES of steve1/playing/measures.py, others by none)",
    )
    measuring.add_argument(
        "--score_every",
        type=count,
        default=0,
        help="frames between two MineCLIP scores, which encode up to 16 frames each; 0: no scores (default 0)",
    )
    add_goal_strip_flag(measuring)
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
    complete_models(args)
    args.custom_text_prompt = list(dict.fromkeys(text.strip() for text in args.custom_text_prompt))
    args.visual_prompt = list(dict.fromkeys(args.visual_prompt))
    problems = _problems(args)
    problems += _read_tasks(args) + read_own_measures(args)
    report_all(problems)
    report_all(own_measure_problems(args))
    return args


def _read_tasks(args: argparse.Namespace) -> list[str]:
    """Put the tasks in place of their paths; a sentence where that can't be."""
    try:
        args.tasks = read_tasks(args.tasks)
    except UserError as error:
        return [str(error)]
    return []


def _scales(text: str) -> list[float]:
    return list(dict.fromkeys(number(part) for part in text.split(",")))


def _problems(args: argparse.Namespace) -> list[str]:
    problems = out_of_range(args, "gameplay_length", "num_seeds", "num_envs", "processes", least=1)
    problems += out_of_range(args, "seed", least=0)
    problems += out_of_range(args, "score_every", "report_embed_mb", least=0, note="0: none")
    scales = ("text_cond_scale", "visual_cond_scale", "cond_scale")
    problems += out_of_range(args, *scales, least=0, note="0: no guidance")
    if "" in args.custom_text_prompt:
        problems.append("--custom_text_prompt is empty; give a text, or leave the flag out")
    for given in args.visual_prompt:
        problems += visual_problems(given, args.visual_prompts_dir)
    unknown = [name for name in args.behaviours if name not in KNOWN_BEHAVIOURS]
    if unknown:
        problems.append(f"--behaviours {','.join(unknown)}: choose from {', '.join(KNOWN_BEHAVIOURS)}")
    problems += missing_files(args, ("prompts",))
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
    if args.overlay and args.no_films:
        problems.append("--overlay and --no_films were both given; without films there is nothing to draw on")
    return problems + missing_files(args) + missing_python(args) + missing_sampling(args)


def seed_list(args: argparse.Namespace) -> SeedList:
    """The seeds that the flags name."""
    if args.seeds is not None:
        return read_seeds(args.seeds, args.num_seeds)
    return counted(args.seed or 0, args.num_seeds or 1)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    seeds = seed_list(args)
    planned = planned_episodes(args, seeds)
    check_commands(args.tasks, args.env, **pythons(args))
    if not (args.custom_text_prompt or args.visual_prompt or args.behaviours or args.prompts or args.tasks):
        absent = [name for name in PUBLISHED_PROMPTS if not any(p.prompt == name for p in planned)]
        if absent:
            print(
                f"no visual prompts of {', '.join(absent)} in {args.visual_prompts_dir}: played as texts alone"
            )

    # ---- models, goals, and all that decides each episode ----
    from data.goal_moments import load_moments
    from data.visual_sources import episode_goal, last_pictures
    from steve1.playing.agents import load_agents, prepare
    from steve1.playing.reuse import look_up, set_aside, summary

    agents = load_agents(args)
    index = None
    if args.goal_strip is not None:
        index = load_moments(args.goal_strip, agents[0].policy.net.mineclip_embed_dim)
        print(index.about)
    prepared, mineclip = prepare(
        args, planned, agents, seeds.name, partial(episode_goal, args), last_pictures, index
    )

    # ---- what was played before ----
    found = [look_up(episode, filmed=not args.no_films) for episode in prepared]
    played = {e.plan: list(f.episodes) for e, f in zip(prepared, found, strict=True) if f.episodes}
    for line in summary(prepared, found):
        print(line)
    missing = [episode for episode in prepared if episode.plan not in played]

    # ---- play ----
    for episode, there in zip(prepared, found, strict=True):
        if there.otherwise:
            set_aside(episode.plan.video)
    for batch, records in play(args, agents, mineclip, missing):
        for episode, sides in zip(batch, records, strict=True):
            played[episode.plan] = sides
    episodes = [record for episode in prepared for record in played[episode.plan]]

    # ---- figures ----
    from steve1.judging import tables
    from steve1.judging.verdicts import groups_of, judge_groups

    groups = groups_of(episodes)
    print(tables.figures_table(groups, args.measures))
    for table in (tables.matrix_table(groups), tables.verdict_table(judge_groups(groups, args.measures))):
        if table:
            print(f"\n{table}")
    for line in tables.losses(episodes):
        print(line)
    for line in tables.unjudged(episodes):
        print(line)
    if any(episode.measured["lost"] for episode in episodes):
        print("to play a lost episode again, remove its JSON and run the same command")
    what = "episodes played" if args.no_films else "videos made"
    made = sum(any(e.measured["frames"] for e in played[episode.plan]) for episode in missing)
    print(f"{made} {what}, {len(prepared) - len(missing)} were there: {args.save_dirpath}")
    if args.report is not None:
        from steve1.judging.report import write_report

        print(write_report(args.report, episodes, args.measures, args.report_embed_mb))


def play(
    args: argparse.Namespace,
    agents: Sequence[Agent],
    mineclip: MineCLIP | None,
    missing: Sequence[PreparedEpisode],
) -> Iterator[tuple[list[PreparedEpisode], list[list[PlayedEpisode]]]]:
    """Play the missing episodes batch by batch, here or in several processes; their records, an agent each."""
    import torch
    from tqdm import tqdm

    from data.parallel import ordered_map
    from steve1.films.side_by_side import BatchFilms, OverlaidFilms
    from steve1.playing.batches import Player, Setup, batches, play_elsewhere

    if not missing:
        return
    # Where the flag leaves it open, the world is the one that the records name.
    args = argparse.Namespace(**{**vars(args), "env": missing[0].decides[0]["world"]})
    jobs = batches(missing, args.num_envs)
    filmed = OverlaidFilms if args.overlay else BatchFilms
    films = None if args.no_films else filmed
    frames = len(missing) * args.gameplay_length
    threads = torch.get_num_threads()
    with tqdm(total=frames, unit="frame", unit_scale=True, mininterval=1, disable=None) as bar:
        here = Player(args, agents, mineclip, films, bar.update)
        elsewhere = partial(play_elsewhere, Setup(args, films))
        several = (args.processes or 1) > 1 and len(jobs) > 1
        results = ordered_map(elsewhere if several else here.play, jobs, args.processes or 1, "--processes")
        try:
            if not several and (args.no_films or args.processes is not None):
                torch.set_num_threads(1)
            for batch, records in zip(jobs, results, strict=True):
                for record in (record for sides in records for record in sides if record.measured["lost"]):
                    who = f" ({record.about['label']})" if len(agents) > 1 else ""
                    bar.write(f"{record.about['file']}{who}: {record.measured['lost']}", file=sys.stderr)
                if several:
                    bar.update(len(batch) * args.gameplay_length)
                yield batch, records
        finally:
            results.close()
            here.close()
            torch.set_num_threads(threads)


if __name__ == "__main__":
    main()

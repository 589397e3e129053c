"""Play live: watch the agent in a browser and tell it what to do while it plays.

Real (the published weights; MineRL where it is installed):
    python run_interactive.py --in_weights data/weights/steve1/steve1.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt

Tiny (the quickstart's weights in the embedded world):
    python run_interactive.py --env blockworld --in_model configs/quickstart_policy.json \\
        --in_weights data/quickstart/weights/steve1/small.weights \\
        --prior_weights data/quickstart/weights/steve1/small_prior.pt \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth --cond_scale 1

Open the link that it prints. On a server without a screen, let ssh carry the port from your own machine:
    ssh -L 8000:127.0.0.1:8000 SERVER        and open the same link there

The game waits until a page is open. Everything is filmed: "Save film" ends the film so far and begins the next; each is
NAME.mp4 with the prompt below the picture, and beside it NAME.json with the prompts and the frames where they begin.
On the page you can also play yourself: what was played, by you and by the agent, is recorded, and "Save as recording"
puts it where prepare_custom_data.sh reads it (docs/finetuning.md, "Teach by correcting").
Ctrl-C ends the session and keeps the last film. Whoever has the link can play, for the token in it is the session's
only key; each session makes a new one, unless the environment has one in STEVE1_TOKEN.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1 import hub
from steve1.cli import count, entry_point, number, out_of_range, report_all
from steve1.config import FPS, data_root
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
from steve1.live.access import Access, listen, make_token, not_host_names, url

if TYPE_CHECKING:
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy
    from steve1.live.recordings import SavedRecording
    from steve1.playing.goals import TextGoals


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_device_flags(add_model_flags(parser))
    page = parser.add_argument_group("page")
    page.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other machines play too (default 127.0.0.1: this machine alone)",
    )
    page.add_argument(
        "--allow_host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names under which a proxy shows the page, without http:// and port (default: none)",
    )
    add_goal_strip_flag(page)
    page.add_argument("--port", type=count, default=8000, help="0 takes any free one (default 8000)")
    playing = parser.add_argument_group("playing")
    add_world_flags(playing)
    playing.add_argument(
        "--seed",
        type=count,
        default=0,
        help="of the first world, its sampling and its prior's samples (default 0)",
    )
    playing.add_argument("--prompt", default="", help="what to do at first (default: nothing, no goal)")
    playing.add_argument(
        "--cond_scale", type=number, default=6.0, help="guidance at first; 0 turns it off (default 6.0)"
    )
    playing.add_argument(
        "--deterministic",
        action="store_true",
        help="take the best action at every step, and the prior's middle, instead of sampling (default: sample)",
    )
    playing.add_argument(
        "--fps",
        type=number,
        default=float(FPS),
        help=f"steps a second aimed at; 0 is as fast as the machine can (default {FPS})",
    )
    playing.add_argument(
        "--save_dirpath",
        type=Path,
        default=data_root() / "generated_videos",
        help="folder of the films (default: data/generated_videos)",
    )
    playing.add_argument(
        "--recordings_dir",
        type=Path,
        default=data_root() / "recordings",
        help="folder that recordings of the play are saved in; none: nothing is recorded (default: data/recordings)",
    )
    args = parser.parse_args(argv)
    complete_models(args)
    report_all(_problems(args))
    return args


def _problems(args: argparse.Namespace) -> list[str]:
    problems = out_of_range(args, "port", least=0, most=65535, note="0: any free one")
    problems += out_of_range(args, "seed", least=0, most=2**31 - 1)
    problems += out_of_range(args, "cond_scale", least=0, most=100, note="0: no guidance")
    problems += out_of_range(args, "fps", least=0, most=1000, note="0: as fast as the machine can")
    problems += not_host_names(args.allow_host)
    return problems + missing_files(args) + missing_python(args) + missing_sampling(args)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)

    # ---- the address, before the models take their time ----
    from steve1.live.server import serve

    access = Access(args.host, make_token(), tuple(args.allow_host))
    listener = listen(args.host, args.port)

    # ---- models, world, film ----
    import asyncio

    from steve1.envs import make_env
    from steve1.live.insight import LookInto
    from steve1.live.play import Play
    from steve1.live.recorder import Prompt, Recorder
    from steve1.live.recordings import Recordings, recover
    from steve1.live.session import Session
    from steve1.mineclip.tokenizer import misread

    policy, texts, goal_of, origin = load_models(args)
    index = None
    if args.goal_strip is not None:
        from data.goal_moments import load_moments

        index = load_moments(args.goal_strip, policy.net.mineclip_embed_dim)
        index.check_made_by(None if args.allow_other_mineclip else origin["mineclip_hash"])
    args.save_dirpath.mkdir(parents=True, exist_ok=True)
    session = Session(
        lambda: make_env(args.env, **pythons(args)),
        policy,
        goal_of,
        Recorder(args.save_dirpath, {**origin, "deterministic": args.deterministic}),
        Prompt(args.prompt.strip(), args.cond_scale, args.seed),
        args.fps,
        args.deterministic,
    )

    session.remarks_of.append(lambda text, goal: misread(text, texts.mineclip.config["context_length"]))

    # ---- recordings, what a killed session left first ----
    recordings, left = None, []
    if args.recordings_dir != Path("none"):
        left = recover(args.recordings_dir)
        recordings = Recordings(args.recordings_dir, {**origin, "deterministic": args.deterministic})

    # ---- play until Ctrl-C ----
    link = url(listener, access.token)

    def ready() -> None:
        print(f"Open {link} in a browser; Ctrl-C ends the session", flush=True)
        if index is not None:
            print(index.about, flush=True)
        for found in left:
            print(f"left by a session that was killed: {_told(found)}", flush=True)

    asyncio.run(serve(session, listener, access, ready, [Play(recordings), LookInto(texts, index)]))
    for film in session.films:
        print(f"{film.video}: {film.frames} frames")
    print(f"{len(session.films)} films made: {args.save_dirpath}")
    for saved in recordings.saved if recordings else ():
        print(_told(saved))


def _told(recording: SavedRecording) -> str:
    return f"{recording.folder}: {recording.ticks} ticks, a person's in {recording.human}"


def load_models(
    args: argparse.Namespace,
) -> tuple[MinecraftAgentPolicy, TextGoals, Callable[[str, int], torch.Tensor], dict[str, Any]]:
    """The policy, what embeds texts, what makes goals [E] of texts and seeds, and what films note of the weights."""
    import torch

    from steve1.MineRLConditionalAgent import load_policy
    from steve1.playing.goals import load_text_goals

    policy, weights_hash = load_policy(args.in_model, args.in_weights, args.device, args.precision)
    width = policy.net.mineclip_embed_dim
    goals = load_text_goals(args, {args.in_weights: width})

    def goal_of(text: str, seed: int) -> torch.Tensor:
        return goals.goal(text, seed, args.deterministic) if text else torch.zeros(width)

    origin = {
        "in_weights": hub.shown(args.in_weights),
        "in_weights_hash": weights_hash,
        "prior_weights": None if args.prior_weights is None else hub.shown(args.prior_weights),
        "precision": args.precision,
        **goals.hashes(),
    }
    goals.mineclip.to(policy.net.final_ln.weight.device)
    return policy, goals, goal_of, origin


if __name__ == "__main__":
    main()

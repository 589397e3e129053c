"""What correcting an agent while it plays did: an agent that never saw a tree felled, twenty corrections, fine-tuned.

Real (after ./quickstart.sh; twenty minutes on two quiet cores, the same command goes on):
    python benchmarks/teaching.py --quickstart data/quickstart --output_dir data/teaching
Tiny (to see that it works, three minutes):
    python benchmarks/teaching.py --quickstart data/quickstart --output_dir /tmp/teaching --training_seeds 1 \\
        --worlds 2 --frames_played 20 --recordings 6 --start_frames 1k --corrections 4 --correction_ticks 100 \\
        --n_frames 1k

The agent that is taught is the quickstart's policy, trained on recordings without trees. It plays live, asked to chop a
tree; a scripted hand takes over through the page's own protocol on a real server, fells it tick by tick, hands back and
saves the recording, twenty times in as many worlds. The hand's ticks alone are converted (--only human), mixed with the
old episodes, and the agent is fine-tuned with each training seed. All play by their prompts in worlds in which nothing
was chosen; the old episodes' share is chosen before, in others, with the first training seed. Means over training seeds
with 95 % t-intervals. Writes the table into --output_dir, as Markdown and as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finetuning import Bench, Figures, kept, summary, table, write_report

from steve1.bench import run_all
from steve1.cli import comma_list, count, entry_point, number, out_of_range, report_all

NEW, PROMPT = "tree", "chop a tree"
TEACHING, CHOOSING, JUDGING = 3_000_000, 6_000_000, 7_000_000  # first worlds
WATCHED = 15  # ticks that the agent plays before the hand takes over


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quickstart", type=Path, required=True, help="STEVE1_DATA_ROOT of a finished quickstart"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--corrections", type=count, default=20, help="times that it is shown (default 20)")
    parser.add_argument("--correction_ticks", type=count, default=140, help="ticks of each (default 140)")
    parser.add_argument("--training_seeds", type=count, default=5, help="runs of fine-tuning (default 5)")
    parser.add_argument(
        "--worlds", type=count, default=16, help="worlds for each prompt and run (default 16)"
    )
    parser.add_argument("--frames_played", type=count, default=200, help="frames in each (default 200)")
    parser.add_argument(
        "--recordings", type=count, default=50, help="old recordings, of 600 frames (default 50)"
    )
    parser.add_argument(
        "--start_frames",
        type=count,
        default=100_000,
        help="frames that the agent is made with (default 100k)",
    )
    parser.add_argument("--n_frames", type=count, default=16_000, help="frames of each run (default 16k)")
    parser.add_argument("--learning_rate", type=number, default=3e-4, help="peak, of each run (default 3e-4)")
    parser.add_argument(
        "--old_share",
        type=comma_list,
        default=["0.5", "0.8"],
        help="shares of old items that are tried, one: nothing is chosen (default 0.5,0.8)",
    )
    parser.add_argument(
        "--cond_scale",
        type=number,
        default=None,
        help="guidance (default: what the quickstart was judged with)",
    )
    parser.add_argument(
        "--behaviours",
        type=comma_list,
        default=["sky", "dig", "seeds", "inventory"],
        help="old behaviours that are judged (default sky,dig,seeds,inventory)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    problems = out_of_range(args, "training_seeds", "worlds", "frames_played", "n_frames", least=1)
    problems += out_of_range(args, "recordings", "corrections", least=3)
    problems += out_of_range(args, "correction_ticks", least=90, note="an item is 79 frames")
    if NEW in args.behaviours:
        problems.append(f"--behaviours are old ones; {NEW} is the new one")
    if not all(_is_share(share) for share in args.old_share):
        problems.append("--old_share are numbers between 0 and 1, with commas")
    report_all(problems)
    bench = Teaching(args)

    bench.make_agent()
    bench.correct()
    bench.make_samplings()
    share = bench.choose_share()
    cells: dict[str, list[Figures]] = {"start": [bench.play("before", bench.start, JUDGING)]}
    for seed in range(args.training_seeds):
        weights = bench.taught(seed, share)
        cells.setdefault("taught", []).append(bench.play(f"taught_{seed}", weights, JUDGING))
    rows = summary(cells, NEW)
    text = table({"before": rows["start"], "taught": rows["taught"]})
    write_report(args, "teaching", {"old_share": share, "cells": cells, "rows": rows}, text)
    print(
        f"share of old items: {share:g}, chosen in worlds from {CHOOSING:_}; judged in worlds from {JUDGING:_}"
    )


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


class Teaching(Bench):
    """The stages; each goes on where it was stopped."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.old_episodes, self.new_episodes = self.out / "dataset_old", self.out / "dataset_corrections"
        self.recordings = self.out / "corrections"
        self.start = self.out / "runs" / "start" / "out.weights"
        self.prompts = ["--behaviours", ",".join([NEW, *args.behaviours])]

    def sample(self, *flags: object) -> None:
        """Make a sampling."""
        how = ["--output_dir", self.out / "samplings", "--T", 64]
        self.run("data/sampling/generate_sampling.py", *flags, *how)

    def make_agent(self) -> None:
        """Recordings of all behaviours but the new one, as episodes; a policy that has seen no others."""
        from blockworld.players.wordings import USUAL

        print("the agent that is to be taught", flush=True)
        recorded, others = self.out / "recordings_old", ",".join(name for name in USUAL if name != NEW)
        how = ["--num_recordings", self.args.recordings, "--frames_per_recording", 600, "--workers", 2]
        self.run(
            "data/generation/record_blockworld.py", "--output_dir", recorded, "--behaviours", others, *how
        )
        how = ["--local_dir", recorded, "--num_episodes", 0, "--min_timesteps", 100, "--workers", 2]
        own = ["--mineclip_weights", self.mineclip]
        self.run("data/generation/convert_from_contractor.py", "--output_dir", self.old_episodes, *how, *own)
        self.sample("--type", "custom", "--name", "old", "--dataset_dirs", self.old_episodes)
        if not self.start.exists():
            data = ["--sampling", "old", "--sampling_dir", self.out / "samplings"]
            run_all(
                [
                    self.quick.training(
                        self.start, 0, self.args.start_frames, data, self.out, "training/train.py"
                    )
                ]
            )

    def correct(self) -> None:
        """Let the agent play and the hand take over, until there are as many recordings as corrections."""
        self.recordings.mkdir(parents=True, exist_ok=True)
        for left in self.recordings.glob(".*"):  # a correction that was not finished is shown again
            shutil.rmtree(left)
        done = sum(1 for path in self.recordings.iterdir() if path.is_dir())
        if done < self.args.corrections:
            print(f"corrections from {done + 1} to {self.args.corrections}", flush=True)
            _Lessons(self, range(done, self.args.corrections)).hold()

    def make_samplings(self) -> None:
        """The corrections as episodes, and one sampling for each share of old ones beside them."""
        how = ["--only", "human", "--min_timesteps", 79, "--workers", 2, "--mineclip_weights", self.mineclip]
        self.run(
            "data/generation/convert_custom_data.py",
            *("--input_dir", self.recordings, "--output_dir", self.new_episodes, *how),
        )
        for share in self.args.old_share:
            self.sample(
                *("--type", "mixed", "--name", f"mixed_{share}"),
                *("--dataset_dirs", f"{self.old_episodes},{self.new_episodes}"),
                *("--dataset_weights", f"{share},{1 - float(share):g}"),
            )

    def taught(self, seed: int, share: float) -> Path:
        """The fine-tuned weights of one training seed."""
        name = next(text for text in self.args.old_share if float(text) == share)
        return self.train(f"taught_{name}", seed, "--sampling", f"mixed_{name}")

    def choose_share(self) -> float:
        """The share whose worse half, of what is new and what is kept, is best: of the first seed, in other worlds."""
        shares = [float(share) for share in self.args.old_share]
        if len(shares) == 1:
            return shares[0]
        print("choosing the old episodes' share", flush=True)
        start = self.play("choosing_before", self.start, CHOOSING)
        found = {share: self.play(f"choosing_{share:g}", self.taught(0, share), CHOOSING) for share in shares}
        most = max(figures[NEW] for figures in found.values())
        new = {share: figures[NEW] / most if most else 0.0 for share, figures in found.items()}
        return max(shares, key=lambda share: min(new[share], kept(found[share], start, NEW)))


class _Lessons:
    """A live session in this process with a page's connection to it, over which a scripted hand plays.

    The game's thread stands still after each tick of a lesson until the hand has said what it does in the next, so
    that what is recorded does not depend on the machine's speed.
    """

    def __init__(self, bench: Teaching, lessons: range) -> None:
        self._bench, self._lessons = bench, lessons
        self._env: Any = None
        self._teaching = True
        self._go = threading.Event()

    def hold(self) -> None:
        """Play all lessons to their end."""
        from run_interactive import load_models, parse
        from steve1.live.access import Access, below, listen, make_token, url
        from steve1.live.play import Play
        from steve1.live.recorder import Prompt, Recorder
        from steve1.live.recordings import Recordings
        from steve1.live.server import serve
        from steve1.live.session import Session

        bench, args = self._bench, self._bench.args
        models = [
            *("--env", "blockworld", "--in_model", bench.quick.model, "--in_weights", bench.start),
            *("--prior_weights", bench.quick.prior, "--mineclip_weights", bench.mineclip, "--device", "cpu"),
        ]
        policy, _, goal_of, origin = load_models(parse([str(flag) for flag in models]))
        films = bench.out / "films"
        films.mkdir(exist_ok=True)
        session = Session(
            self._world,
            policy,
            goal_of,
            Recorder(films, origin),
            Prompt(PROMPT, args.cond_scale, TEACHING + self._lessons.start),
            fps=0,
        )
        listener = listen("127.0.0.1", 0)
        access = Access("127.0.0.1", make_token())
        self._address = below(url(listener, access.token), "live")
        self._failure: BaseException | None = None

        def ready() -> None:
            self._task = asyncio.get_running_loop().create_task(self._teach_and_end())

        asyncio.run(
            serve(
                session,
                listener,
                access,
                ready,
                [Play(Recordings(bench.recordings, origin)), self._join],
            )
        )
        if self._failure is not None:
            raise self._failure

    # In the game's thread

    def _world(self) -> Any:
        """A BlockWorld whose player begins beside a tree."""
        from steve1.envs import make_env

        env = self._env = make_env("blockworld")
        reset = env.reset

        def beside_a_tree() -> Any:
            reset()
            self._pupil(env).begin()
            return env.observe()

        env.reset = beside_a_tree
        return env

    def _pupil(self, env: Any) -> Any:
        from blockworld.players.behaviours import PLAYERS
        from steve1.streams import numpy_stream

        return PLAYERS[NEW](env, numpy_stream(0, int(env.ticks)))

    def _stand_still(self, tick: Any) -> None:
        if self._teaching and tick.step + 1 >= WATCHED:
            self._loop.call_soon_threadsafe(self._stands.set)
            self._go.wait()
            self._go.clear()

    # In the event loop

    def _join(self, server: Any) -> None:
        self._server, self._loop = server, asyncio.get_running_loop()
        server.session.after_tick.append(self._stand_still)  # after the tick was recorded
        self._stands, self._handled = asyncio.Event(), asyncio.Semaphore(0)

        def noted(handle: Callable[..., str]) -> Callable[..., str]:
            def handler(viewer: Any, message: dict[str, Any]) -> str:
                problem = handle(viewer, message)
                assert not problem, (message, problem)
                self._handled.release()
                return problem

            return handler

        for name, handle in list(server.handlers.items()):
            if name != "shown":
                server.handlers[name] = noted(handle)

    async def _teach_and_end(self) -> None:
        try:
            await self._teach()
        except BaseException as error:
            self._failure = error
        finally:
            self._teaching = False
            self._go.set()
            self._server.ended.set()

    async def _teach(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession() as client, client.ws_connect(self._address) as ws:
            watching = asyncio.create_task(_watch(ws))
            try:
                for lesson in self._lessons:
                    await self._stood()
                    await self._correct(ws)
                    await self._say(ws, type="hand_back")
                    await self._say(ws, type="save_recording", label=PROMPT)
                    await self._say(ws, type="reset_world", seed=TEACHING + lesson + 1)
                    self._go.set()
                    print(f"    correction {lesson + 1}", flush=True)
                await self._stood()  # the last one is saved by now
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching

    async def _correct(self, ws: Any) -> None:
        """Take over and fell the tree; the game stands still at the beginning and at the end."""
        from steve1.live.lines import DEGREES_PER_PIXEL

        hand = self._pupil(self._env)
        hand.move_to = lambda *places: hand._find()  # a hand can't put the player elsewhere
        hand.begin()
        await self._say(ws, type="take")
        for _ in range(self._bench.args.correction_ticks):
            action = hand.act()
            pitch, yaw = (float(angle) / DEGREES_PER_PIXEL for angle in action["camera"])
            keys = [key for key, down in action.items() if key != "camera" and down]
            await self._say(ws, type="input", keys=keys, dx=yaw, dy=pitch)
            self._go.set()
            await self._stood()

    async def _stood(self) -> None:
        await self._stands.wait()
        self._stands.clear()

    async def _say(self, ws: Any, **message: Any) -> None:
        await ws.send_str(json.dumps(message))
        await self._handled.acquire()


async def _watch(ws: Any) -> None:
    """Do with pictures as a page does."""
    async for message in ws:
        if isinstance(message.data, bytes):
            await ws.send_json({"type": "shown"})


if __name__ == "__main__":
    main()

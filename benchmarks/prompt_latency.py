"""How long prompts and a person's inputs take in a live session, against the promised half and tenth of a second.

    python benchmarks/prompt_latency.py --in_weights data/weights/steve1/steve1.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt
    python benchmarks/prompt_latency.py --env blockworld --in_model configs/quickstart_policy.json \\
        --in_weights data/quickstart/weights/steve1/small.weights \\
        --prior_weights data/quickstart/weights/steve1/small_prior.pt \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth

Starts run_interactive.py with these models, and types as a page does, at irregular moments. Two times for every prompt:
"acted on", from its coming to the server to the end of the first step under it, as the session's own page says; and
"seen", from its sending to the coming of the picture after that step. Then it takes the game over and moves the mouse:
"input seen" is from a move's sending to the coming of the first picture that shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.cli import UserError, count, entry_point, number, out_of_range, report_all
from steve1.flags import (
    MODEL_FILES,
    add_device_flags,
    add_model_flags,
    add_world_flags,
    complete_models,
    missing_files,
    missing_python,
)
from steve1.live.access import below

ROOT = Path(__file__).resolve().parents[1]
PROMISED, PROMISED_INPUT = 500.0, 100.0  # ms
TURN = 400  # pixels of a mouse's move
LEAST_CHANGE = 4.0  # of 255, the mean over a picture that the move has changed
TEXTS = ("look at the sky", "dig as far as possible", "go explore", "collect seeds", "chop a tree")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_device_flags(add_model_flags(parser))
    playing = parser.add_argument_group("playing")
    add_world_flags(playing)
    playing.add_argument(
        "--cond_scale", type=number, default=6.0, help="guidance; 0 turns it off (default 6.0)"
    )
    playing.add_argument("--n_prompts", type=count, default=40, help="prompts to type (default 40)")
    parser.add_argument("--n_inputs", type=count, default=40, help="moves of the mouse (default 40)")
    args = parser.parse_args(argv)
    complete_models(args)
    problems = out_of_range(args, "n_prompts", "n_inputs", least=1)
    problems += out_of_range(args, "cond_scale", least=0, most=100, note="0: no guidance")
    report_all(problems + missing_files(args) + missing_python(args))
    return args


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    import numpy as np

    args = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "run_interactive.py"), "--port", "0", "--save_dirpath", folder]
        command += ["--recordings_dir", folder]
        for name in (
            *MODEL_FILES,
            "device",
            "precision",
            "env",
            "minerl_python",
            "minestudio_python",
            "cond_scale",
        ):
            if getattr(args, name) is not None:
                command += [f"--{name}", str(getattr(args, name))]
        if args.allow_other_mineclip:
            command.append("--allow_other_mineclip")
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            if address is None:
                raise UserError("run_interactive.py did not start; its own words are above")
            try:
                acted, seen, rates = asyncio.run(_type_prompts(below(address[0], "live"), args.n_prompts))
                shown = asyncio.run(_move_mouse(below(address[0], "live"), args.n_inputs))
            finally:
                process.terminate()
    print(
        f"{args.n_prompts} prompts, {platform.processor() or platform.machine()}, Python {platform.python_version()}"
    )
    print(f"{'steps a second':<16} median {np.median(rates):5.1f}")
    rows = (("acted on", acted, PROMISED), ("seen", seen, PROMISED), ("input seen", shown, PROMISED_INPUT))
    for name, times, promised in rows:
        worst = max(times)
        print(
            f"{name:<16} median {np.median(times):5.0f} ms, 95 % below {np.percentile(times, 95):5.0f} ms, "
            f"longest {worst:5.0f} ms: {worst / promised:.0%} of the promised {promised:.0f} ms"
        )


async def _type_prompts(address: str, prompts: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds until acted on, milliseconds until seen, and the session's steps a second at each prompt."""
    import aiohttp
    import numpy as np

    rng = np.random.default_rng(0)
    acted, seen, rates = [], [], []
    async with aiohttp.ClientSession() as client, client.ws_connect(address) as ws:
        page = _Page(ws)
        await page.until(lambda: page.status.get("step", 0) >= 40)
        for nth in range(1, prompts + 1):
            # So many pictures later, and at any moment between two of them.
            pause = int(rng.integers(5, 25))
            goal = page.status["step"] + pause
            await page.until(lambda goal=goal: page.status["step"] >= goal)
            await asyncio.sleep(float(rng.uniform(0, 0.05)))
            sent = time.perf_counter()
            await ws.send_json({"type": "prompt", "text": f"{TEXTS[nth % len(TEXTS)]} {nth}"})
            await page.until(lambda nth=nth: page.shows(nth))
            seen.append(1000 * (time.perf_counter() - sent))
            acted.append(page.prompts[-1]["latency_ms"])
            rates.append(page.status["fps"])
    return acted, seen, rates


async def _move_mouse(address: str, moves: int) -> list[float]:
    """Milliseconds from the sending of each move to the first picture that shows it."""
    import aiohttp
    import numpy as np

    rng = np.random.default_rng(0)
    times = []
    async with aiohttp.ClientSession() as client, client.ws_connect(address) as ws:
        page = _Page(ws)
        await ws.send_json({"type": "take"})
        await page.until(lambda: page.status.get("holder", -1) == page.status.get("you"))
        for nth in range(moves):
            goal = page.status["step"] + int(rng.integers(5, 15))
            await page.until(lambda goal=goal: page.status["step"] >= goal)  # what moved has come to rest
            await asyncio.sleep(float(rng.uniform(0, 0.05)))
            before, sent = page.picture, time.perf_counter()
            await ws.send_json({"type": "input", "keys": [], "dx": TURN if nth % 2 else -TURN})
            await page.until(lambda before=before: _differ(page.picture, before))
            times.append(1000 * (time.perf_counter() - sent))
    return times


def _differ(one: bytes, other: bytes) -> bool:
    """Whether two JPEGs show different views, and not only another moment."""
    import cv2
    import numpy as np

    if one == other:
        return False
    a, b = (
        np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.int16)
        for jpeg in (one, other)
    )
    return float(np.abs(a - b).mean()) > LEAST_CHANGE


class _Page:
    """What a page knows: the newest status and prompts, and the step whose picture it has."""

    def __init__(self, ws: Any) -> None:
        self._ws = ws
        self.status: dict[str, Any] = {}
        self.prompts: list[dict[str, Any]] = []
        self.picture = b""
        self._pictured = -1

    async def until(self, condition: Any) -> None:
        while not condition():
            message = await self._ws.receive()
            if isinstance(message.data, bytes):
                self.picture, self._pictured = message.data, self.status["step"]
                await self._ws.send_json({"type": "shown"})
            elif isinstance(message.data, str):
                content = json.loads(message.data)
                if content["type"] == "status":
                    self.status = content
                elif content["type"] == "news":
                    self.prompts = content["prompts"]
            else:
                raise UserError("the session ended in between; its own words are above")

    def shows(self, prompt: int) -> bool:
        """Whether the picture after the first step under a prompt has come."""
        last = self.prompts[-1] if self.prompts else {}
        return last.get("number") == prompt and last["step"] is not None and self._pictured > last["step"]


if __name__ == "__main__":
    main()

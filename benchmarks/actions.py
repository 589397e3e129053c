"""How long mapping a recording's actions to the policy's takes: all frames at once (ours), and one frame after another.

python benchmarks/actions.py
python benchmarks/actions.py --frames 600

*The published way* is written here plainly, from what docs/formats.md says of joint actions: for every frame members
of each group of buttons are looked through, and the choice is looked up in a dictionary of all combinations. Both give
the same indices, or this ends with an error. They take turns, and the best time of each counts.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time

from steve1.cli import count, entry_point, out_of_range, report_all

_GROUPS = (
    ("none", *(f"hotbar.{n}" for n in range(1, 10))),
    ("none", "forward", "back"),
    ("none", "left", "right"),
    ("none", "sprint", "sneak"),
    *(("none", name) for name in ("use", "drop", "attack", "jump", "camera")),
)
_OPPOSED = (("forward", "back"), ("left", "right"))
_COMBINATIONS = {chosen: index for index, chosen in enumerate(itertools.product(*_GROUPS))}
_INVENTORY, _BINS, _NULL = len(_COMBINATIONS), 11, 5


def plain_bin(angle: float) -> int:
    """The camera bin of an angle in degrees: mu-law with mu = 10, clipped to 10 degrees."""
    angle = max(-10.0, min(10.0, angle))
    squeezed = math.copysign(math.log(1 + 10 * abs(angle) / 10) / math.log(11) * 10, angle)
    return round((squeezed + 10) / 2)


def plain_action(action: dict) -> tuple[int, int]:
    """One frame's environment action -> its joint indices (buttons, camera)."""
    if action["inventory"]:
        return _INVENTORY, _NULL * _BINS + _NULL
    pitch, yaw = (plain_bin(float(angle)) for angle in action["camera"])
    pressed = {name for name, value in action.items() if name != "camera" and value}
    for pair in _OPPOSED:
        if pressed.issuperset(pair):
            pressed.difference_update(pair)
    if (pitch, yaw) != (_NULL, _NULL):
        pressed.add("camera")
    chosen = tuple(next((name for name in reversed(group) if name in pressed), "none") for group in _GROUPS)
    return _COMBINATIONS[chosen], pitch * _BINS + yaw


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Print both times and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=count, default=6000, help="frames of the recording (default 6000)")
    parser.add_argument("--repeats", type=count, default=5, help="times that each is timed (default 5)")
    parser.add_argument("--seed", type=count, default=0, help="of the random actions (default 0)")
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "frames", "repeats", least=1))

    import numpy as np

    from steve1.vpt.actions import BUTTONS, env_to_agent

    rng = np.random.default_rng(args.seed)
    columns = {name: (rng.random(args.frames) < 0.1).astype(np.int64) for name in BUTTONS}
    columns["camera"] = rng.normal(0, 4, (args.frames, 2)) * (rng.random((args.frames, 1)) < 0.5)
    rows = [{name: values[t] for name, values in columns.items()} for t in range(args.frames)]
    took = {"ours": math.inf, "published": math.inf}
    for _ in range(args.repeats):
        began = time.perf_counter()
        ours = env_to_agent(columns)
        between = time.perf_counter()
        plain = np.array([plain_action(row) for row in rows])
        took["published"] = min(took["published"], time.perf_counter() - between)
        took["ours"] = min(took["ours"], between - began)
    assert np.array_equal(plain, np.stack([ours["buttons"], ours["camera"]], axis=1)), "they differ"
    mine, other = (1e6 * took[way] / args.frames for way in ("ours", "published"))
    print(
        f"{args.frames:_} frames, microseconds a frame: ours {mine:.3f}, published {other:.2f}, {other / mine:.0f}x"
    )


if __name__ == "__main__":
    main()

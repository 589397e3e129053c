"""VPT's action arithmetic, and its only home: MineRL actions to the policy's joint indices and back.

An environment action has 20 buttons that are predicted and two camera angles. The policy sees it as one of
8,641 button combinations and one of 121 camera moves. Both directions work on N frames at once, by tables.
Formulas: VPT (Baker et al. 2022), appendix on the action space; docs/formats.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

HOTBARS = tuple(f"hotbar.{n}" for n in range(1, 10))
BUTTONS = (
    *("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use", "drop", "inventory"),
    *HOTBARS,
)
# Keys of a MineRL action that are recorded but never predicted.
UNPREDICTED = ("ESC", "pickItem", "swapHands")
ENV_KEYS = (*UNPREDICTED, *BUTTONS)

CAMERA_BINS = 11  # an axis; odd, so that one of them stands still. All else about bins follows from it
CAMERA_NULL_BIN = CAMERA_BINS // 2
CAMERA_MAX_ANGLE = 10.0  # degrees a frame; larger moves are clipped
CAMERA_MU = 10.0

# The joint index is mixed-radix over these groups, the last one fastest; index 8640 is "inventory" alone.
_GROUPS: tuple[tuple[str | None, ...], ...] = (
    (None, *HOTBARS),
    (None, "forward", "back"),
    (None, "left", "right"),
    (None, "sprint", "sneak"),
    (None, "use"),
    (None, "drop"),
    (None, "attack"),
    (None, "jump"),
    (None, "camera"),
)
_SIZES = tuple(len(group) for group in _GROUPS)
N_BUTTON_ACTIONS = int(np.prod(_SIZES)) + 1
N_CAMERA_ACTIONS = CAMERA_BINS**2
INVENTORY_ACTION = N_BUTTON_ACTIONS - 1
NULL_CAMERA_ACTION = CAMERA_BINS * CAMERA_NULL_BIN + CAMERA_NULL_BIN
# Smallest integers that hold every index of a head, for whoever keeps many of them.
INDEX_DTYPES = {
    "buttons": np.min_scalar_type(-N_BUTTON_ACTIONS),
    "camera": np.min_scalar_type(-N_CAMERA_ACTIONS),
}


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """The 20 buttons of every joint index, uint8 [8641, 20], and whether it moves the camera, bool [8641]."""
    buttons = np.zeros((N_BUTTON_ACTIONS, len(BUTTONS)), dtype=np.uint8)
    moves_camera = np.zeros(N_BUTTON_ACTIONS, dtype=bool)
    for index, members in enumerate(itertools.product(*_GROUPS)):
        for member in members:
            if member == "camera":
                moves_camera[index] = True
            elif member is not None:
                buttons[index, BUTTONS.index(member)] = 1
    buttons[INVENTORY_ACTION, BUTTONS.index("inventory")] = 1
    moves_camera[INVENTORY_ACTION] = True
    return buttons, moves_camera


JOINT_BUTTONS, _MOVES_CAMERA = _tables()
_BIN_WIDTH = 2 * CAMERA_MAX_ANGLE / (CAMERA_BINS - 1)  # on the mu-law scale
_bin_values = _BIN_WIDTH * np.arange(CAMERA_BINS) - CAMERA_MAX_ANGLE
BIN_ANGLES = (
    np.sign(_bin_values)
    * ((1 + CAMERA_MU) ** np.abs(_bin_values / CAMERA_MAX_ANGLE) - 1)
    / CAMERA_MU
    * CAMERA_MAX_ANGLE
)


def camera_to_bins(camera: np.ndarray) -> np.ndarray:
    """Discretise angles in degrees, float [..., 2], into bins 0..10, int64 [..., 2] (mu-law, mu = 10).

    Raises:
        ValueError: if an angle is not finite.
    """
    scaled = np.clip(np.asarray(camera, dtype=np.float64), -CAMERA_MAX_ANGLE, CAMERA_MAX_ANGLE)
    scaled = scaled / CAMERA_MAX_ANGLE
    if not np.isfinite(scaled).all():
        raise ValueError("a camera angle is not a finite number; check the recording's mouse movements")
    encoded = np.sign(scaled) * np.log1p(CAMERA_MU * np.abs(scaled)) / np.log1p(CAMERA_MU)
    return np.round((encoded * CAMERA_MAX_ANGLE + CAMERA_MAX_ANGLE) / _BIN_WIDTH).astype(np.int64)


def bins_to_camera(bins: np.ndarray) -> np.ndarray:
    """Angles in degrees, float64 [..., 2], of camera bins 0..10, int [..., 2]."""
    return BIN_ANGLES[np.asarray(bins)]


def camera_bins(camera: np.ndarray) -> np.ndarray:
    """Bins of pitch and yaw, 0..10, int [..., 2], of joint camera actions 0..120, int [...]."""
    camera = np.asarray(camera)
    return np.stack([camera // CAMERA_BINS, camera % CAMERA_BINS], axis=-1)


def env_to_agent(
    env_actions: Mapping[str, np.ndarray], camera: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Joint actions of N environment actions.

    Args:
        env_actions: the 20 buttons, each 0/1 [N]; ESC, pickItem and swapHands may be there and are ignored.
        camera: pitch and yaw change in degrees, [N, 2]; None takes ``env_actions["camera"]``.

    Returns:
        ``{"buttons": int64 [N] in 0..8640, "camera": int64 [N] in 0..120}``. Forward with back counts as
        neither, as does left with right; in any other group the member named later wins; inventory overrules
        everything.

    Raises:
        ValueError: if a button is missing or a camera angle is not finite.
    """
    missing = [name for name in BUTTONS if name not in env_actions]
    if missing:
        raise ValueError(f"the actions lack {', '.join(missing)}")
    bins = camera_to_bins(env_actions["camera"] if camera is None else camera)  # [N, 2]
    pressed = {name: np.asarray(env_actions[name]).astype(bool) for name in BUTTONS}
    pressed["camera"] = (bins != CAMERA_NULL_BIN).any(-1)

    joint = np.zeros(len(bins), dtype=np.int64)
    for group, size in zip(_GROUPS, _SIZES, strict=True):
        member = np.zeros(len(bins), dtype=np.int64)
        for position, name in enumerate(group):
            if name is not None:
                member[pressed[name]] = position
        if "forward" in group or "left" in group:
            member[pressed[str(group[1])] & pressed[str(group[2])]] = 0
        joint = joint * size + member
    camera_action = CAMERA_BINS * bins[:, 0] + bins[:, 1]

    joint[pressed["inventory"]] = INVENTORY_ACTION
    camera_action[pressed["inventory"]] = NULL_CAMERA_ACTION
    return {"buttons": joint, "camera": camera_action}


def agent_to_env(buttons: np.ndarray, camera: np.ndarray) -> dict[str, np.ndarray]:
    """Environment actions of N joint actions: the 20 buttons, int64 [N], and camera, float64 [N, 2] degrees.

    Where the joint button action does not move the camera, the camera stays still whatever ``camera`` says.
    """
    buttons, bins = np.asarray(buttons), camera_bins(camera)
    bins[~_MOVES_CAMERA[buttons]] = CAMERA_NULL_BIN
    env: dict[str, np.ndarray] = {
        name: JOINT_BUTTONS[buttons, column].astype(np.int64) for column, name in enumerate(BUTTONS)
    }
    env["camera"] = bins_to_camera(bins)
    return env


def likeliest(p_buttons: np.ndarray, p_camera: np.ndarray, n: int) -> list[tuple[float, int, int]]:
    """The ``n`` likeliest environment actions of two heads that are drawn apart, as (probability, buttons, camera).

    ``p_buttons``: float [8641], ``p_camera``: float [121], each summing to 1. Joint actions that do the same in the
    world count as one: where the buttons leave the camera still, whatever the camera's head says; where they don't and
    its head stands still. Such a one has the camera :data:`NULL_CAMERA_ACTION`. Likeliest first; over all actions the
    probabilities sum to 1.
    """
    still, moving = np.array(p_buttons, np.float64), np.array(p_buttons, np.float64)
    still[_MOVES_CAMERA], moving[~_MOVES_CAMERA] = 0.0, 0.0
    # "camera" is the last group, so a combination that moves it follows the one of the same keys that doesn't;
    # the inventory has no such twin.
    moves = np.flatnonzero(_MOVES_CAMERA)
    still[np.where(moves == INVENTORY_ACTION, moves, moves - 1)] += (
        moving[moves] * p_camera[NULL_CAMERA_ACTION]
    )
    turns = np.array(p_camera, np.float64)
    turns[NULL_CAMERA_ACTION] = 0.0
    # Of products of two lists the n greatest are among those of the n greatest of each.
    keys, bins = (np.argsort(-p, kind="stable")[:n] for p in (moving, turns))
    found = [(float(still[b]), int(b), NULL_CAMERA_ACTION) for b in np.argsort(-still, kind="stable")[:n]]
    found += [(float(moving[b] * turns[c]), int(b), int(c)) for b in keys for c in bins]
    return sorted(found, key=lambda action: -action[0])[:n]


def action_label(buttons: int, camera: int) -> str:
    """What a joint action does, in words: the keys, and whither the camera turns in degrees ("nothing" for neither)."""
    env = agent_to_env(np.array([buttons]), np.array([camera]))
    words = [name for name in BUTTONS if env[name][0]]
    pitch, yaw = env["camera"][0]
    turns = [
        f"{abs(angle):.1f}° {ways[int(angle > 0)]}"
        for angle, ways in ((pitch, ("up", "down")), (yaw, ("left", "right")))
        if angle
    ]
    return " + ".join([*words, *([" ".join(turns)] if turns else [])]) or "nothing"


def stored(joint: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Joint actions ``{"buttons": [N], "camera": [N]}`` in the smallest integers that hold every index.

    An index that a head does not have is a fault of ours, and fails here rather than wrap round in silence.
    """
    small = {}
    for head, n in (("buttons", N_BUTTON_ACTIONS), ("camera", N_CAMERA_ACTIONS)):
        values = np.asarray(joint[head])
        assert ((values >= 0) & (values < n)).all(), f"{head} {values.min()} to {values.max()} of {n} actions"
        small[head] = values.astype(INDEX_DTYPES[head])
        assert (small[head] == values).all(), f"{INDEX_DTYPES[head]} does not hold {head} up to {n - 1}"
    return small

"""What is drawn below a film's picture: keys where they are pressed, the arrow, the lists, the goal strip."""

import base64

import cv2
import numpy as np
import pytest

from steve1.films.overlay import CAPS, PANEL, Overlay, action_panel, strip_panel
from steve1.playing.insight import Insight, Likely, Look
from steve1.vpt.actions import ENV_KEYS

DOWN = np.array((127, 191, 95))
LIKELY = [Likely("attack + forward + 3.2° down", 0.5), Likely("nothing", 0.1)]


def look(*keys, camera=(0.0, 0.0), insight=None):
    action = {**dict.fromkeys(ENV_KEYS, 0), **dict.fromkeys(keys, 1), "camera": np.array(camera)}
    return Look(action, insight or Insight(LIKELY, LIKELY, {"buttons": 0.3, "camera": 0.1}, {}))


def lit(panel):
    """The keys whose caps are bright, by the pixels of a corner that no letter reaches."""
    return {name for name, (x, y, _, _, _) in CAPS.items() if (panel[y + 1, x + 1] == DOWN).all()}


@pytest.mark.parametrize("keys", [(), ("forward", "attack"), ("hotbar.4", "sneak"), tuple(CAPS)])
def test_keys_are_lit_where_they_are_pressed_and_nowhere_else(keys):
    panel = action_panel(look(*keys))
    assert panel.shape == (PANEL[1], PANEL[0], 3)
    assert lit(panel) == set(keys)


def test_the_arrow_points_where_the_camera_turns():
    def tip(camera):
        y, x = np.nonzero((action_panel(look(camera=camera))[:90, 222:312] == DOWN).all(axis=2))
        return x.mean() - 44, y.mean() - 50

    right, down = tip((0.0, 10.0)), tip((3.0, 0.0))
    assert right[0] > 10
    assert abs(right[1]) < 2
    assert down[1] > 5
    assert abs(down[0]) < 2


def test_lists_have_bars_of_their_probabilities_and_say_when_there_is_no_guidance():
    both, alone = (action_panel(look(insight=i)) for i in (None, Insight(LIKELY)))
    bars = (both[18, 322:478] == (46, 84, 120)).all(axis=1)
    assert 0.3 < bars.mean() < 0.6
    assert (both[:, :480] == alone[:, :480]).mean() > 0.9
    assert not np.array_equal(both[:, 484:], alone[:, 484:])


def test_the_strip_shows_the_moments_and_a_warning_in_red():
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[:] = (200, 40, 90)
    jpeg = base64.b64encode(cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()).decode()
    moments = [{"episode": "a", "frame": 20, "cosine": 0.5, "jpeg": jpeg}] * 2
    calm = strip_panel({"moments": moments, "warning": ""})
    assert abs(calm[60, 50].astype(int) - (200, 40, 90)).max() < 6
    assert abs(calm[60, 160].astype(int) - (200, 40, 90)).max() < 6
    warned = strip_panel({"moments": moments, "warning": "This is far from all that was trained on."})
    assert warned.shape[0] > calm.shape[0]
    assert calm.shape[0] % 2 == warned.shape[0] % 2 == 0
    assert (warned[calm.shape[0] :] == (255, 138, 122)).all(axis=2).sum() > 50


@pytest.mark.parametrize("width", [640, 320, 64])
def test_the_picture_stays_as_it_is_above(width):
    picture = np.random.default_rng(0).integers(0, 256, (width * 9 // 16, width, 3), dtype=np.uint8)
    out = Overlay({"moments": [], "warning": ""}).add(picture, look("jump"))
    np.testing.assert_array_equal(out[: len(picture)], picture)
    assert out.shape[1] == width
    assert out.shape[0] > len(picture)
    assert (out.shape[0] - len(picture)) % 2 == 0

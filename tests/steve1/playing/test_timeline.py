"""An episode's timeline: its pitch at each moment, and its measures as far as it was played."""

import numpy as np

from steve1.playing.measures import EpisodeMeasures
from steve1.playing.timeline import POINTS, Timeline


def observed(pitch):
    place = {"xpos": 0.0, "ypos": 64.0, "zpos": 0.0, "pitch": np.array(pitch), "yaw": 0.0}
    return {"location_stats": place}


def played(length, steps, names=("log_hits", "logs_mined")):
    measures, timeline = EpisodeMeasures(observed(0.0)), Timeline(length, names)
    timeline.add(measures)
    for step in range(steps):
        block = "oak_log" if step % 2 else None
        measures.add({"attack": 1}, observed(float(step)), {"hitBlock": block})
        timeline.add(measures)
    return measures, timeline


def test_curves_end_at_the_episodes_figures():
    measures, timeline = played(6, 6)
    found = timeline.plain()
    assert found["frames"] == [0, 1, 2, 3, 4, 5]
    assert found["curves"]["pitch"] == [0, 1, 2, 3, 4, 5]
    assert found["curves"]["log_hits"] == [0, 1, 1, 2, 2, 3]
    assert found["curves"]["log_hits"][-1] == measures.result()["log_hits"]
    assert "logs_mined" not in found["curves"]  # this world does not tell


def test_a_long_episode_has_no_more_points_than_a_page_can_show():
    found = played(1000, 1000, ())[1].plain()
    assert len(found["frames"]) == POINTS
    assert found["frames"][:2] == [9, 19]
    assert list(found["curves"]) == ["pitch"]


def test_a_step_that_was_lost_is_no_second_point():
    measures, timeline = played(4, 2)
    timeline.add(measures)
    assert timeline.plain()["frames"] == [0, 1]


def test_nothing_played_has_no_curves():
    assert played(4, 0)[1].plain() == {"frames": [], "curves": {}}

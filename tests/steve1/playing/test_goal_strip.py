"""The goal strip: the nearest moments exactly, apart from one another, and a warning by the rule alone."""

import base64

import numpy as np
import pytest

from steve1.playing.goal_strip import APART, FAR_QUANTILE, NEAREST, GoalIndex

LENGTH, WIDTH = 200, 12


def walks(episodes=4, seed=0):
    """Episodes that wander slowly, each in the neighbourhood of all others: float [N, E], owners and frames."""
    rng = np.random.default_rng(seed)
    steps = 0.1 * rng.normal(size=(episodes, LENGTH, WIDTH))
    steps[:, :, 0] = 0
    places = np.cumsum(steps, axis=1) * 0.2 + np.eye(WIDTH)[0]
    frames = np.tile(np.arange(LENGTH) + 15, episodes)
    return places.reshape(-1, WIDTH), np.repeat(np.arange(episodes), LENGTH), frames


def index(embeds, owners, frames):
    names = [f"episode{i}" for i in range(int(owners.max()) + 1)]
    return GoalIndex(embeds, owners, frames, names, lambda episode, frame: f"{episode} {frame}".encode())


def cosines(embeds, goal):
    return embeds @ goal / np.linalg.norm(embeds, axis=1) / np.linalg.norm(goal)


def test_the_nearest_moments_are_found_exactly_and_lie_apart():
    embeds, owners, frames = walks()
    goal = embeds[317] + 0.01
    strip = index(embeds, owners, frames).look(goal)
    best = int(np.argmax(cosines(embeds, goal)))
    first = strip.moments[0]
    assert (first.episode, first.frame) == (f"episode{owners[best]}", frames[best])
    assert first.cosine == pytest.approx(cosines(embeds, goal)[best], abs=1e-6)
    assert first.jpeg == f"{owners[best]} {frames[best]}".encode()
    assert len(strip.moments) == NEAREST
    assert [m.cosine for m in strip.moments] == sorted((m.cosine for m in strip.moments), reverse=True)
    for i, one in enumerate(strip.moments):
        for other in strip.moments[:i]:
            assert one.episode != other.episode or abs(one.frame - other.frame) >= APART
    # By hand: the best, then the best of what is left once its neighbours are gone, and so on.
    left, wanted = cosines(embeds, goal).copy(), []
    for _ in range(NEAREST):
        at = int(np.argmax(left))
        wanted.append((f"episode{owners[at]}", frames[at]))
        left[(owners == owners[at]) & (abs(frames - frames[at]) < APART)] = -2
    assert [(m.episode, m.frame) for m in strip.moments] == wanted


def test_a_far_goal_is_warned_of_by_the_quantile_of_nearest_neighbours_in_other_episodes():
    embeds, owners, frames = walks()
    found = index(embeds, owners, frames)
    units = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
    own = np.where(owners[:, None] == owners[None], -2, units @ units.T).max(axis=1)
    assert found.far_below == pytest.approx(np.quantile(own, FAR_QUANTILE), abs=1e-5)
    assert found.look(embeds[5]).warning == ""
    far = np.zeros(WIDTH)
    far[0], far[1] = 1, 30
    assert cosines(embeds, far).max() < found.far_below
    warning = found.look(far).warning
    assert "far from all that was trained on" in warning
    assert f"{cosines(embeds, far).max():.3f}" in warning
    assert f"{found.far_below:.3f}" in warning


def test_moments_that_do_not_look_like_the_text_are_warned_of():
    embeds, owners, frames = walks()
    found, goal = index(embeds, owners, frames), embeds[100]
    assert found.look(goal, goal).warning == ""
    away = embeds.mean(axis=0) - goal
    assert "does not look like the text" in found.look(goal, away).warning


def test_one_episode_says_nothing_of_what_is_near():
    embeds, owners, frames = walks(1)
    found = index(embeds, owners, frames)
    assert found.far_below is None
    assert found.look(-embeds[0]).warning == ""


def test_as_json_pictures_are_text():
    embeds, owners, frames = walks()
    content = index(embeds, owners, frames).look(embeds[0]).plain()
    moment = content["moments"][0]
    assert base64.b64decode(moment["jpeg"]) == f"0 {moment['frame']}".encode()
    assert set(moment) == {"episode", "frame", "cosine", "jpeg"}

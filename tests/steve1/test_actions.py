"""The action arithmetic against recorded conversions of the published system."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steve1.vpt.actions import (
    BIN_ANGLES,
    BUTTONS,
    INVENTORY_ACTION,
    JOINT_BUTTONS,
    NULL_CAMERA_ACTION,
    action_label,
    agent_to_env,
    camera_to_bins,
    env_to_agent,
    likeliest,
)


@pytest.fixture(scope="module")
def recorded(vectors):
    return np.load(vectors / "actions.npz")


def test_environment_actions_become_the_recorded_joint_actions(recorded):
    env = {name: recorded[f"env.{name}"] for name in BUTTONS}
    joint = env_to_agent(env, recorded["env.camera"])
    np.testing.assert_array_equal(joint["buttons"], recorded["agent.buttons"])
    np.testing.assert_array_equal(joint["camera"], recorded["agent.camera"])
    assert joint["buttons"].dtype == joint["camera"].dtype == np.int64


def test_joint_actions_become_the_recorded_environment_actions(recorded):
    env = agent_to_env(recorded["inv.buttons"], recorded["inv.camera"])
    for name in BUTTONS:
        np.testing.assert_array_equal(env[name], recorded[f"inv.env.{name}"], err_msg=name)
    np.testing.assert_allclose(env["camera"], recorded["inv.env.camera"], rtol=1e-12, atol=1e-12)


def test_the_button_table_is_the_published_one(vectors):
    np.testing.assert_array_equal(JOINT_BUTTONS, np.load(vectors / "joint_buttons_table.npy"))


def test_the_eleven_camera_values():
    positive = [0, 0.61539427, 1.60949864, 3.21536913, 5.80948313, 10]
    np.testing.assert_allclose(BIN_ANGLES[5:], positive, atol=1e-8)
    np.testing.assert_allclose(BIN_ANGLES[5::-1], [-a for a in positive], atol=1e-8)


@given(st.integers(0, 8640), st.integers(0, 120))
def test_decoding_then_encoding_changes_nothing_that_the_buttons_allow(buttons, camera):
    env = agent_to_env([buttons], [camera])
    again = env_to_agent(env)
    if buttons == INVENTORY_ACTION:
        assert (again["buttons"], again["camera"]) == (INVENTORY_ACTION, NULL_CAMERA_ACTION)
    elif again["camera"] != NULL_CAMERA_ACTION:
        assert (again["buttons"], again["camera"]) == (buttons, camera)
    else:  # a joint action that claims to move the camera by nothing is the same as one that does not move it
        assert again["buttons"] in (buttons, buttons - 1)


@given(hnp.arrays(np.float64, (4, 2), elements=st.floats(-1e6, 1e6)))
def test_bins_are_the_nearest_on_the_mu_law_scale_and_odd(angles):
    bins = camera_to_bins(angles)
    assert bins.min() >= 0
    assert bins.max() <= 10
    np.testing.assert_array_equal(camera_to_bins(np.clip(angles, -10, 10)), bins)
    assert np.all((bins - 5) * angles >= 0)
    np.testing.assert_array_equal(camera_to_bins(-angles), 10 - bins)


def test_unpredicted_keys_are_ignored_and_missing_ones_are_named():
    env = {name: np.zeros(1, int) for name in BUTTONS}
    env["forward"][:] = 1
    plain = env_to_agent(env, np.zeros((1, 2)))
    extra = env_to_agent({**env, "ESC": [1], "pickItem": [1], "swapHands": [1]}, np.zeros((1, 2)))
    assert plain["buttons"] == extra["buttons"]
    del env["jump"]
    with pytest.raises(ValueError, match="jump"):
        env_to_agent(env, np.zeros((1, 2)))


def test_a_camera_angle_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        camera_to_bins(np.array([[np.nan, 0]]))


def test_the_likeliest_actions_are_those_of_the_world_with_what_does_the_same_added_up():
    rng = np.random.default_rng(0)
    keys = [0, 1, 2, 3, 500, 501, 8638, 8639, INVENTORY_ACTION]
    turns = [NULL_CAMERA_ACTION, 0, 7, 61]
    p_buttons, p_camera = np.zeros(8641), np.zeros(121)
    p_buttons[keys], p_camera[turns] = rng.dirichlet(np.ones(len(keys))), rng.dirichlet(np.ones(len(turns)))
    by_hand: dict[tuple, float] = {}
    for b in keys:
        for c in turns:
            env = agent_to_env([b], [c])
            done = (*(int(env[name][0]) for name in BUTTONS), *env["camera"][0])
            by_hand[done] = by_hand.get(done, 0.0) + p_buttons[b] * p_camera[c]
    found = likeliest(p_buttons, p_camera, len(by_hand))
    np.testing.assert_allclose([p for p, _, _ in found], sorted(by_hand.values(), reverse=True), atol=1e-15)
    assert sum(p for p, _, _ in found) == pytest.approx(1.0)
    for p, buttons, camera in found[:5]:
        env = agent_to_env([buttons], [camera])
        assert by_hand[(*(int(env[n][0]) for n in BUTTONS), *env["camera"][0])] == pytest.approx(p)
    assert likeliest(p_buttons, p_camera, 5) == found[:5]


def test_labels_say_keys_and_degrees():
    env = {name: np.zeros(4, int) for name in BUTTONS}
    env["forward"][:2] = env["jump"][0] = env["inventory"][3] = 1
    camera = np.array([[3.2, -1.6], [0, 0], [0, 0], [0, 0]])
    joint = env_to_agent(env, camera)
    assert [action_label(b, c) for b, c in zip(joint["buttons"], joint["camera"], strict=True)] == [
        "forward + jump + 3.2° down 1.6° left",
        "forward",
        "nothing",
        "inventory",
    ]
    assert action_label(1, 121 - 1) == "10.0° down 10.0° right"
    assert action_label(0, 121 - 1) == "nothing"  # these buttons leave the camera still

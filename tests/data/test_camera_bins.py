"""Another number of camera bins than the published 11: all that depends on it follows from that one number."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_episodes import make_episode

from data.EpisodeStorage import EpisodeStorage
from steve1.vpt import actions

# The real module with one number changed, under its own name, before anybody imports it; then training's items.
_OTHER = """
import json, sys, types
from pathlib import Path
import steve1.vpt

source, bins, episode = sys.argv[1:]
text = Path(source).read_text()
assert text.count("CAMERA_BINS = 11") == 1
module = types.ModuleType("steve1.vpt.actions")
sys.modules["steve1.vpt.actions"] = module
exec(compile(text.replace("CAMERA_BINS = 11", f"CAMERA_BINS = {bins}"), source, "exec"), module.__dict__)

import numpy as np
from data.minecraft_dataset import MinecraftDataset

dataset = MinecraftDataset([episode], T=40, min_btwn_goals=5, max_btwn_goals=9, p_uncond=0)
joint = dataset[0][1]
back = module.agent_to_env(joint["buttons"], joint["camera"])["camera"]
still = module.env_to_agent({**dict.fromkeys(module.BUTTONS, np.zeros(1)), "camera": np.zeros((1, 2))})
print(json.dumps({
    "camera": joint["camera"].tolist(),
    "back": back.tolist(),
    "still": [still["buttons"].tolist(), still["camera"].tolist(), module.NULL_CAMERA_ACTION],
    "bytes": sum(values.nbytes for values in module.stored(joint).values()) / dataset.T,
    "n": module.N_CAMERA_ACTIONS,
}))
"""


@pytest.mark.parametrize(("bins", "bytes_a_frame"), [(11, 3), (21, 4), (201, 6)])
def test_items_with_other_bins(tmp_path, bins, bytes_a_frame):
    episode = make_episode(tmp_path / "episode", 55)
    command = [sys.executable, "-c", _OTHER, actions.__file__, str(bins), str(episode)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(actions.__file__).parents[2]
    )
    found = json.loads(result.stdout)

    stored = EpisodeStorage(episode).load_actions(15, 55)
    held = np.array(stored["inventory"]) == 1
    angles = np.clip(stored["camera"], -10, 10)
    level = np.sign(angles) * np.log1p(np.abs(angles)) / np.log(11)  # mu-law of 10, -1 .. 1
    wanted = np.round((level + 1) / 2 * (bins - 1)).astype(int)
    wanted[held] = bins // 2
    assert np.abs(angles[~held]).max() > 7, "no large move in this episode: the test shows nothing"
    assert found["camera"] == (wanted[:, 0] * bins + wanted[:, 1]).tolist()
    assert found["n"] == bins**2
    assert found["still"] == [[0], [bins**2 // 2], bins**2 // 2]
    assert found["bytes"] == bytes_a_frame
    # Each angle comes back as that of its own bin, half a bin away at most.
    back = np.array(found["back"])[~held]
    level_back = np.sign(back) * np.log1p(np.abs(back)) / np.log(11)
    assert np.abs(level_back - level[~held]).max() <= 1 / (bins - 1) + 1e-9


@pytest.mark.parametrize("wrong", [{"camera": [0, 121]}, {"camera": [-1, 0]}, {"buttons": [8641, 0]}])
def test_no_index_is_stored_that_a_head_has_not(wrong):
    with pytest.raises(AssertionError, match=next(iter(wrong))):
        actions.stored({"buttons": np.zeros(2, int), "camera": np.zeros(2, int), **wrong})
    kept = actions.stored({"buttons": [8640, 0], "camera": [120, 60]})
    assert kept["buttons"].tolist() == [8640, 0]
    assert kept["camera"].tolist() == [120, 60]

"""Items against a plain reader of the same files: the same pictures, actions and goals, bit for bit."""

import json

import av
import cv2
import numpy as np
import pytest
from tiny_episodes import WIDTH, make_episode

from data import EpisodeStorage as episode_module
from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import MinecraftDataset
from steve1.vpt.actions import BUTTONS, env_to_agent


def dataset(path):
    return MinecraftDataset([path], 16, 3, 9, p_uncond=0.0)


@pytest.mark.parametrize("frame_format", ["png", "mp4"])
def test_items_are_those_of_a_plain_reader(tmp_path, frame_format):
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (70, 16, 16, 3), dtype=np.uint8)
    frames = [np.repeat(np.repeat(frame, 8, 0), 8, 1) for frame in small]
    actions = {name: rng.integers(0, 2, 70) for name in BUTTONS}
    actions["camera"] = rng.normal(0, 3, (70, 2))
    embeds = rng.normal(size=(70, WIDTH)).astype(np.float32)
    path = tmp_path / "e"
    EpisodeStorage.write(path, frames, actions, embeds, {}, frame_format)
    data = dataset(path)
    if frame_format == "png":
        plain = [cv2.imread(str(p))[..., ::-1] for p in sorted((path / "frames").iterdir())]
    else:
        with av.open(str(path / "frames.mp4")) as container:
            planes = [
                np.stack(
                    [np.frombuffer(plane, np.uint8).reshape(128, -1)[:, :128] for plane in frame.planes], -1
                )
                for frame in container.decode(video=0)
            ]
        plain = [cv2.cvtColor(np.ascontiguousarray(p[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB) for p in planes]
    lines = [json.loads(line) for line in (path / "actions.jsonl").read_text().splitlines()]
    for item, (_, start) in enumerate(data.chunks):
        obs, taken, _ = data[item]
        span = range(start, start + 16)
        np.testing.assert_array_equal(obs["img"], [plain[t] for t in span])
        for i, t in enumerate(span):
            one = {name: np.array([lines[t]["buttons"][name]]) for name in BUTTONS}
            joint = env_to_agent({**one, "camera": np.array([lines[t]["camera"]])})
            assert [taken["buttons"][i], taken["camera"][i]] == [joint["buttons"][0], joint["camera"][0]]
        np.testing.assert_array_equal(obs["mineclip_embed"], embeds[data.goals(item)])


def test_an_item_parses_its_own_lines_alone(tmp_path, monkeypatch):
    path = make_episode(tmp_path / "e", 60)
    parsed = []
    original = episode_module.parse_action_lines
    monkeypatch.setattr(
        episode_module,
        "parse_action_lines",
        lambda lines, *where: parsed.append(len(lines)) or original(lines, *where),
    )
    data = dataset(path)
    data[0]
    data[1]
    assert parsed == [16, 16]

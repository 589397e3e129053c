"""A live session's recordings: pictures and lines that converters read, whole at any moment, taken up after a kill."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from data.contractor import Recording
from data.recording_options import RecordingOptions
from data.video import decode
from steve1.cli import UserError
from steve1.envs.spaces import noop_action
from steve1.live.recorder import Prompt
from steve1.live.recordings import Recordings, recover
from steve1.live.tick import AGENT, HUMAN, TickInfo

SIZE = 96, 160


def picture(number):
    """A picture whose grey says its number."""
    return np.full((*SIZE, 3), 40 + 5 * (number % 40), np.uint8)


def tick(number, *keys, by=HUMAN, camera=(0.0, 0.0), info=None, prompt="", alive=True):
    action = noop_action() | dict.fromkeys(keys, 1)
    action["camera"] = np.array(camera)
    obs = {
        "pov": picture(number),
        "location_stats": {"xpos": np.array(1.5), "biome_id": 3, "pitch": 4.0},
        "life_stats": {"is_alive": np.array(alive)},
        "inventory": {"dirt": np.array(2), "air": np.array(30), "sand": np.array(0)},
    }
    return TickInfo(
        number, number, obs, action, by, None, Prompt(prompt, 6.0, 1), torch.zeros(4), "W", None, info or {}
    )


def lines_of(folder):
    return [json.loads(line) for line in (folder / "actions.jsonl").read_text().splitlines()]


def record(recordings, first, count, by, *keys):
    for number in range(first, first + count):
        recordings.add(tick(number, *keys, by=by), 0)


def test_what_was_played_reads_back_with_its_pictures(tmp_path):
    recordings = Recordings(tmp_path, {"in_weights": "some"})
    keys = [("forward",), ("forward", "attack"), (), ("hotbar.3",), ("inventory",), ("use", "sprint")] * 5
    for number, pressed in enumerate(keys):
        recordings.add(tick(number, *pressed, camera=(0.15 * number, -0.3)), 2 if number > 2 else 0)
    saved = recordings.save("a sentence")
    assert (saved.ticks, saved.human, saved.label) == (30, 30, "a sentence")
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        "actions.jsonl",
        "recording.json",
        "video.mp4",
    ]
    about = json.loads((saved.folder / "recording.json").read_text())
    assert about["label"] == "a sentence"
    assert about["played"] == {"human": 30}
    assert about["in_weights"] == "some"

    recording = Recording.read(saved.folder / "video.mp4", saved.folder / "actions.jsonl")
    pairs = list(recording.paired_frames())
    assert [row for row, _ in pairs] == list(range(30))
    assert all(abs(frame.mean() - picture(row).mean()) < 2 for row, frame in pairs)
    actions = recording.actions.env_actions
    for key in ("forward", "attack", "inventory", "use", "sprint", "hotbar.3"):
        assert actions[key].tolist() == [int(key in pressed) for pressed in keys], key
    np.testing.assert_allclose(actions["camera"], [(0.15 * n, -0.3) for n in range(30)], atol=1e-9)
    assert not recording.warnings
    assert not recording.cuts
    line = lines_of(saved.folder)[4]
    assert (line["xpos"], line["pitch"], line["tick"], line["player"]) == (1.5, 4.0, 4, "human")
    assert line["inventory"] == [{"type": "dirt", "quantity": 2}]
    assert "ypos" not in line


def test_the_cursor_is_followed_in_screens_and_not_drawn_twice(tmp_path):
    recordings = Recordings(tmp_path, {})
    screen = {"isGuiOpen": True}
    recordings.add(tick(0, "inventory"), 0)
    recordings.add(tick(1, camera=(1.5, 3.0), info=screen), 0)
    recordings.add(tick(2, camera=(0.0, -150.0), info=screen), 0)
    recordings.add(tick(3, "inventory", info=screen), 0)
    recordings.add(tick(4, "forward"), 0)
    folder = recordings.save().folder
    cursors = [(line["isGuiOpen"], line["mouse"]["x"], line["mouse"]["y"]) for line in lines_of(folder)]
    assert cursors == [
        (False, 640, 360),
        (True, 640, 360),
        (True, 660, 370),
        (True, 0, 370),
        (False, 640, 360),
    ]
    recording = Recording.read(folder / "video.mp4", folder / "actions.jsonl")
    assert recording.actions.cursor == [None] * 5
    drawn = list(decode(folder / "video.mp4"))
    assert all((frame == drawn[row]).all() for row, frame in recording.paired_frames())


def test_only_one_players_ticks_and_no_goal_over_a_seam(tmp_path):
    recordings = Recordings(tmp_path, {})
    record(recordings, 0, 12, AGENT, "jump")
    record(recordings, 12, 10, HUMAN, "forward")
    recordings.new_world()
    record(recordings, 22, 8, HUMAN, "forward")
    record(recordings, 30, 5, AGENT, "jump")
    record(recordings, 35, 5, HUMAN, "forward")
    folder = recordings.save().folder

    def read(only):
        options = RecordingOptions(only=only)
        recording = Recording.read(folder / "video.mp4", folder / "actions.jsonl", options)
        frames = list(recording.frames())
        assert len(frames) == len(recording.actions.kept)
        shown = [round((frame.mean() - 40) / 5) for frame in frames]
        assert shown == recording.actions.kept.tolist()
        return recording

    everything = read("all")
    assert len(everything.actions.kept) == 40
    assert everything.cuts == [22]
    human = read("human")
    assert human.actions.kept.tolist() == [*range(12, 30), *range(35, 40)]
    assert human.cuts == [10, 18]
    assert human.actions.env_actions["forward"].all()
    assert human.dropped["of another player (--only)"] == 17
    agent = read("agent")
    assert agent.actions.kept.tolist() == [*range(12), *range(30, 35)]
    assert agent.cuts == [12]


def test_a_killed_sessions_recording_is_taken_up_but_for_its_last_moment(tmp_path):
    living = Recordings(tmp_path / "of another", {})
    record(living, 0, 5, HUMAN, "forward")
    assert recover(tmp_path / "of another") == []
    child = os.fork()
    if not child:
        record(Recordings(tmp_path, {"in_weights": "some"}), 0, 57, HUMAN, "forward")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    living.discard()
    (tmp_path / "of another").rmdir()
    (growing,) = tmp_path.iterdir()
    assert growing.name.startswith(".")
    with open(growing / "actions.jsonl", "ab") as lines:
        lines.write(b'{"torn')
    (saved,) = recover(tmp_path)
    assert 57 - 20 <= saved.ticks == saved.human <= 57
    assert json.loads((saved.folder / "recording.json").read_text())["ticks"] == saved.ticks
    recording = Recording.read(saved.folder / "video.mp4", saved.folder / "actions.jsonl")
    assert [row for row, _ in recording.paired_frames()] == list(range(saved.ticks))
    assert not recording.warnings
    assert recover(tmp_path) == []
    assert list(tmp_path.iterdir()) == [saved.folder]


def test_what_the_agent_did_alone_is_not_kept_unasked(tmp_path):
    recordings = Recordings(tmp_path, {})
    record(recordings, 0, 25, AGENT)
    recordings.close()
    assert list(tmp_path.iterdir()) == []
    record(recordings, 0, 5, AGENT)
    record(recordings, 5, 5, HUMAN, "forward")
    recordings.close()
    assert [saved.human for saved in recordings.saved] == [5]
    with pytest.raises(UserError, match="nothing has been recorded"):
        recordings.save()
    record(recordings, 0, 5, HUMAN)
    recordings.discard()
    assert len(list(tmp_path.iterdir())) == 1
    assert recordings.ticks == 0


def test_what_ends_recording_is_said_and_the_game_goes_on(tmp_path):
    recordings = Recordings(tmp_path, {})
    record(recordings, 0, 25, HUMAN, "forward")
    broken = tick(25)
    broken.obs["pov"] = "no picture"
    recordings.add(broken, 0)
    assert "recording stopped" in recordings.problem
    record(recordings, 26, 5, HUMAN, "forward")
    assert recordings.ticks == 25
    recordings.discard()
    record(recordings, 0, 5, HUMAN, "forward")
    assert recordings.problem == ""
    assert recordings.save().ticks == 5


def test_a_death_is_a_cut(tmp_path):
    recordings = Recordings(tmp_path, {})
    for number in range(30):
        recordings.add(tick(number, "forward", alive=number not in (12, 13, 14)), 0)
    folder = recordings.save().folder
    recording = Recording.read(folder / "video.mp4", folder / "actions.jsonl")
    assert len(list(recording.frames())) == 30
    assert recording.cuts_by["the player died"] == [12] == recording.cuts

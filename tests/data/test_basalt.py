"""BASALT's recordings by their task's name: stripped lines, the closing menu, the recorder's options, a label each."""

import json

import numpy as np
import pytest
import torch
from contractor_site import address
from loopback import loopback
from tiny_mineclip import TINY_MINECLIP
from tiny_recordings import contractor_line, make_video, number_of, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation.convert_from_contractor import main
from data.generation.options_file import with_recorders_options
from data.generation.recordings import INDICES, TASKS
from data.recording_options import RecordingOptions
from data.text_alignment import make_prior_dataset
from steve1.checkpoints import load_pickle, save_mineclip
from steve1.cli import UserError
from steve1.mineclip import MineCLIP

N, MENU = 60, 12
BASALT = sorted(TASKS)


def line(keys=(), gui=False, dx=0.0):
    """As BASALT has them: no place, no stats, no inventory, no hotbar."""
    stripped = contractor_line(keys, dx=dx, hotbar=None, gui=gui)
    assert not {"xpos", "stats", "inventory", "hotbar"} & set(stripped)
    return stripped


def lines(ending="next line"):
    """Play, and then ESC and a menu in which the mouse moves; the menu opens on the press's line or on the next one."""
    play = [line(["w"])] * (N - MENU - 2)
    escape = [line(["escape"], gui=ending == "same line"), line(["escape"], gui=True)]
    return [*play, *escape, *[line(gui=True, dx=3.0)] * MENU]


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("mineclip") / "tiny.pth"
    save_mineclip(MineCLIP({**TINY_MINECLIP, "vocab_size": 49408}), path)
    return path


@pytest.fixture
def convert(tmp_path, mineclip):
    """Serve recordings (name -> lines, options) as a task's and convert them."""

    def run(recordings, *flags, index="BuildVillageHouse", ending=".mp4"):
        root = tmp_path / "remote"
        for name, (its, options) in recordings.items():
            make_video(root / f"data/{name}.mp4", range(len(its)))
            write_lines(root / f"data/{name}.jsonl", its)
            if options is not None:
                (root / f"data/{name}-options.json").write_text(json.dumps(options))
        with loopback() as server:
            snapshots = root / "snapshots" / INDICES[index]
            snapshots.parent.mkdir(parents=True, exist_ok=True)
            relpaths = [f"data/{name}{ending}" for name in recordings]
            snapshots.write_text(json.dumps({"basedir": f"{server.url}/", "relpaths": relpaths}))
            server.add_folder(root)
            folders = ["--output_dir", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "cache")]
            files = [
                *folders,
                "--mineclip_weights",
                str(mineclip),
                "--min_timesteps",
                "20",
                "--num_episodes",
                "0",
            ]
            main([*address(server, index), *files, *flags])
            assert [path.name for path in (tmp_path / "cache").iterdir()] == [INDICES[index]]
        return [EpisodeStorage(path) for path in find_episodes(tmp_path / "out")]

    return run


@pytest.mark.parametrize("index", BASALT)
@pytest.mark.parametrize("ending", [".mp4", ""])
def test_a_task_by_its_name(convert, index, ending):
    (episode,) = convert({"a": (lines(), None)}, index=index, ending=ending)
    assert episode.metadata["label"] == TASKS[index]
    assert episode.metadata["task"] == index
    assert episode.metadata["source"].endswith("/data/a.mp4")
    assert [number_of(frame) for frame in episode.load_frames()] == list(range(N - MENU - 2))


@pytest.mark.parametrize("ending", ["same line", "next line"])
def test_the_closing_menu_is_left_out_and_said(convert, capsys, ending):
    (episode,) = convert({"a": (lines(ending), None)})
    assert len(episode) == N - MENU - 2
    assert episode.load_actions()["ESC"].sum() == 0
    said = capsys.readouterr().out
    assert f"dropped frames: {MENU + 2}, in the closing menu" in said
    assert "null actions" not in said


def test_screens_that_do_not_close_the_episode_stay(convert):
    menu_within = [*[line(["w"])] * 20, line(["escape"]), *[line(gui=True, dx=3.0)] * 5, *[line(["w"])] * 20]
    chest_at_the_end = [*[line(["w"])] * 20, line(["e"]), *[line(gui=True, dx=3.0)] * 5]
    made = convert({"chest": (chest_at_the_end, None), "within": (menu_within, None)})
    assert [len(episode) for episode in made] == [len(chest_at_the_end), len(menu_within)]


def test_other_collections_keep_their_last_screen(convert):
    (episode,) = convert({"a": (lines(), None)}, index="8.x")
    assert len(episode) == N
    assert "label" not in episode.metadata


def test_the_recorder_s_options_set_the_mouse_s_scale(convert):
    its = [line(["w"], dx=20.0)] * N
    options = {"window": {"width": 1280, "height": 720}, "mouseSensitivity": 0.25}
    plain, scaled = convert({"a": (its, None), "b": (its, options)}, index="8.x")
    assert plain.load_actions()["camera"][0, 1] == pytest.approx(3.0)
    assert scaled.load_actions()["camera"][0, 1] == pytest.approx(20 * (0.6 * 0.25 + 0.2) ** 3 * 8 * 0.15)
    assert scaled.metadata["recorders_options"]["window"] is None


def test_a_flag_goes_before_the_recorder_s_options(convert):
    its = [line(["w"], dx=20.0)] * N
    (episode,) = convert({"b": (its, {"sensitivity": 1.0})}, "--degrees_per_pixel", "0.1", index="8.x")
    np.testing.assert_allclose(episode.load_actions()["camera"][:, 1], 2.0)


@pytest.mark.parametrize(
    ("content", "window"),
    [
        ({"width": 1920, "height": 1080}, (1920, 1080)),
        ({"options": {"overrideWidth": 800, "overrideHeight": 600}}, (800, 600)),
        ({"window": "1920x1080"}, (1920, 1080)),
        ({"windowSize": [1920, 1080]}, (1920, 1080)),
        ({"window": {"width": 1280, "height": 720}}, None),
        ({"width": 0, "height": 0, "window": 3}, None),
        ([1, 2], None),
    ],
)
def test_windows_as_options_may_say_them(tmp_path, content, window):
    path = tmp_path / "a-options.json"
    path.write_text(json.dumps(content))
    found = with_recorders_options(RecordingOptions(), str(path))
    assert (found.window, found.degrees_per_pixel) == (window, None)


def test_options_that_are_torn_are_said(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not JSON"):
        with_recorders_options(RecordingOptions(), str(tmp_path / "a.json"))


def test_the_prior_s_data_takes_the_episodes_own_labels(tmp_path, convert, mineclip):
    convert({"a": (lines(), None)})
    flags = ["--episodes_dir", str(tmp_path / "out"), "--output_path", str(tmp_path / "data.pkl")]
    make_prior_dataset.main([*flags, "--mineclip_weights", str(mineclip), "--pairs_per_segment", "3"])
    data = load_pickle(tmp_path / "data.pkl")
    assert data["texts"] == ["build a house"] * 3
    assert set(data["episodes"]) == {"a"}
    assert all(15 <= t < N - MENU - 2 for t in data["frames"])


def test_episodes_made_without_the_task_are_not_taken_for_it(tmp_path, mineclip, capsys):
    make_video(tmp_path / "in/a.mp4", range(N))
    write_lines(tmp_path / "in/a.jsonl", lines())
    folders = ["--local_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
    files = [*folders, "--mineclip_weights", str(mineclip), "--min_timesteps", "20"]
    main(files)
    with pytest.raises(SystemExit) as left:
        main([*files, "--index", "FindCave"])
    assert left.value.code == 1
    assert "a was made with --index None; remove it" in capsys.readouterr().err
    main([*files, "--index", "FindCave", "--output_dir", str(tmp_path / "caves")])
    assert EpisodeStorage(tmp_path / "caves" / "a").metadata["label"] == "find a cave"

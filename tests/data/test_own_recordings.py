"""Which files in a user's folders are recordings, and that none is lost or guessed at."""

import os

import pytest
from tiny_recordings import contractor_line, make_mineclip, make_video, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation import convert_custom_data, convert_from_contractor
from data.generation.folders import episode_name, walk
from data.generation.own_recordings import find_recordings
from data.generation.recordings import in_folder

N = 40
LINES = [contractor_line(["w"])] * N


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording")
    make_video(folder / "video.mp4", range(N))
    write_lines(folder / "actions.jsonl", LINES)
    return folder


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


@pytest.fixture
def lay(tmp_path, recording):
    """Lay a copy of the recording's video and lines down under these names, as bytes or text."""

    def put(folder, video="video.mp4", actions="actions.jsonl"):
        target = os.path.join(os.fsencode(tmp_path / "in"), os.fsencode(folder))
        os.makedirs(target, exist_ok=True)
        for source, name in (("video.mp4", video), ("actions.jsonl", actions)):
            if name is not None:
                with open(os.path.join(target, os.fsencode(name)), "wb") as file:
                    file.write((recording / source).read_bytes())

    return put


@pytest.fixture
def convert(tmp_path, mineclip):
    def run(*flags, main=convert_custom_data.main, folder="--input_dir"):
        files = [folder, str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
        main(
            [
                *files,
                "--mineclip_weights",
                str(mineclip),
                "--num_episodes",
                "0",
                "--min_timesteps",
                "20",
                *flags,
            ]
        )
        return made(tmp_path)

    return run


def made(tmp_path):
    return [path.name for path in find_episodes(tmp_path / "out")]


def found(tmp_path):
    return {entry.name: entry.problem for entry in find_recordings(tmp_path / "in")}


@pytest.mark.parametrize(
    ("video", "actions"), [("VIDEO.MP4", "ACTIONS.JSONL"), ("a.MKV", "A.jsonl"), ("v .mp4 ", "v .jsonl")]
)
def test_names_in_other_letters_are_the_same_names(tmp_path, lay, convert, video, actions):
    lay("one", video, actions)
    assert convert() == ["one"]
    episode = EpisodeStorage(tmp_path / "out" / "one")
    assert episode.metadata["actions"].endswith(actions)


@pytest.mark.parametrize(
    "actions",
    [
        "action.jsonl",
        "recording.jsonl",
        "actions.json",
        "actions.jsonl.txt",
        "video_actions.txt",
        "keys.ndjson",
    ],
)
def test_actions_under_another_name_never_give_way_to_a_model(tmp_path, lay, convert, capsys, actions):
    lay("typo", actions=actions)
    lay("good")
    for flags in ((), ("--idm_model", __file__, "--idm_weights", __file__)):
        with pytest.raises(SystemExit) as leave:
            convert(*flags)
        assert leave.value.code == 1
        error = capsys.readouterr().err
        assert f"video.mp4 has no video.jsonl or actions.jsonl, but {actions} beside it" in error
        assert made(tmp_path) == ["good"]
    os.rename(tmp_path / "in" / "typo" / actions, tmp_path / "in" / "typo" / "actions.jsonl")
    assert convert() == ["good", "typo"]


def test_relabel_labels_a_video_beside_other_actions_and_says_so(tmp_path, lay, convert, monkeypatch, capsys):
    import numpy as np

    from data.action_lines import BINARY_KEYS

    def label(idm, images):
        n = len(list(images))
        return {**{key: np.ones(n, np.int64) for key in BINARY_KEYS}, "camera": np.zeros((n, 2))}

    monkeypatch.setattr("data.generation.label_with_idm.load_idm", lambda *_: "the model")
    monkeypatch.setattr("data.generation.label_with_idm.label_frames", label)
    lay("typo", actions="action.jsonl")
    lay("bare", actions=None)
    lay("own")
    idm = ("--idm_model", __file__, "--idm_weights", __file__)
    assert convert(*idm, "--relabel") == ["bare", "own", "typo"]
    assert "labelled by the inverse dynamics model: 2: bare, typo" in capsys.readouterr().out
    assert EpisodeStorage(tmp_path / "out" / "own").load_actions()["attack"].sum() == 0
    (tmp_path / "out" / "report.json").unlink()  # as where an earlier version made them
    convert(*idm, "--relabel")
    assert "labelled by the inverse dynamics model: 2: bare, typo" in capsys.readouterr().out


def test_what_is_no_action_is_left_alone(tmp_path, lay):
    lay("one", actions=None)
    one = tmp_path / "in" / "one"
    (one / "notes.txt").write_text("a lovely day")
    (one / "video.info.json").write_text('{"title": "mine"}')
    (one / "labels.jsonl").write_text('{"episode": "one", "start": 0, "stop": 9, "text": "dig"}\n')
    (one / "video-options.json").write_text('{"mouseSensitivity": 0.5}')
    assert found(tmp_path) == {"one": ""}


def test_actions_without_a_video_are_said(tmp_path, lay):
    lay("alone", video="video.xyz")
    assert "has no video beside it" in found(tmp_path)["alone_actions"]


def test_two_recordings_of_one_name_are_refused_and_the_others_made(tmp_path, lay, convert, capsys):
    for folder in ("a/b", "a_b", "c"):
        lay(folder)
    with pytest.raises(SystemExit) as leave:
        convert()
    assert leave.value.code == 1
    assert "would make the same episode, a_b; rename one" in capsys.readouterr().err
    assert made(tmp_path) == ["c"]


def test_contractor_recordings_of_one_name_upper_case_and_links(tmp_path, lay, convert, capsys):
    for folder in ("s1", "s2"):
        lay(folder, "recording.mp4", "recording.jsonl")
    lay("s3", "BIG.MP4", "BIG.jsonl")
    lay("s4", "other.mkv", "other.JSONL")
    lay("../elsewhere", "linked.mp4", "linked.jsonl")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    flags = ("--cache_dir", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as leave:
        convert(*flags, main=convert_from_contractor.main, folder="--local_dir")
    assert leave.value.code == 1
    error = capsys.readouterr().err
    assert "s1/recording.mp4 and " in error
    assert "s2/recording.mp4 would make the same episode, recording" in error
    assert made(tmp_path) == ["BIG", "linked", "other"]


def test_links_are_followed_and_loops_end(tmp_path, lay):
    lay("one")
    lay("deep/two")
    lay("../elsewhere/three")
    root = tmp_path / "in"
    (root / "deep" / "up").symlink_to(root)
    (root / "deep" / "self").symlink_to(root / "deep")
    (root / "a_link_to_one").symlink_to(root / "one")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "broken_link").symlink_to(tmp_path / "nowhere")
    assert found(tmp_path) == {"one": "", "deep_two": "", "out_three": ""}
    lay("one", "other.mp4", None)
    os.remove(root / "one" / "video.mp4")
    (root / "one" / "video.mp4").symlink_to(root / "one" / "other.mp4")
    assert {entry.name for entry in in_folder(root)} >= {"video", "other"}


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("录像".encode("gbk"), "¼%CF%F1"),
        (b"caf\xe9", "caf%E9"),
        (b"clip ", "clip"),
        (b"  ", "%20"),
        (b"two\nlines", "two%0Alines"),
        ("挖土".encode(), "挖土"),
        (b"#1", "%231"),
    ],
)
def test_any_name_makes_an_episode_that_a_list_can_hold(tmp_path, lay, convert, capsys, folder, name):
    lay(folder)
    assert convert() == [name]
    line = str(tmp_path / "out" / name)
    assert line.strip() == line
    assert len(line.splitlines()) == 1
    assert line.encode()
    assert EpisodeStorage(line).validate() == []
    capsys.readouterr()
    assert convert() == [name]
    assert "1 were there already" in capsys.readouterr().out


def test_names_stay_apart_where_bytes_do():
    names = [os.fsdecode(raw) for raw in (b"caf\xe9", b"caf\xe8", "café".encode(), b"cafe")]
    assert len({episode_name(name) for name in names}) == 4


def test_a_name_too_long_for_a_folder_is_said(tmp_path, lay):
    lay("/".join(["x" * 100] * 3))
    assert "whose name is too long; rename it" in next(iter(found(tmp_path).values()))


def test_hidden_files_and_folders_are_left_out(tmp_path, lay):
    lay(".hidden")
    lay("one", ".video.mp4")
    assert [names for _, names in walk(tmp_path / "in")] == [[], ["actions.jsonl"]]


def test_an_empty_file_of_actions_is_said(tmp_path, lay, convert, capsys):
    lay("one")
    (tmp_path / "in" / "one" / "actions.jsonl").write_bytes(b"")
    with pytest.raises(SystemExit) as leave:
        convert("--idm_model", __file__, "--idm_weights", __file__)
    assert leave.value.code == 1
    assert "actions.jsonl has no lines" in capsys.readouterr().err
    assert made(tmp_path) == []


def test_a_folder_that_may_not_be_read_is_said_and_the_others_found(tmp_path, lay, monkeypatch, capsys):
    lay("one")
    lay("lost+found")
    scan = os.scandir

    def refused(folder):
        if str(folder).endswith("lost+found"):  # the tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    assert found(tmp_path) == {"one": ""}
    assert "lost+found may not be read, so what is in it is left out" in capsys.readouterr().err

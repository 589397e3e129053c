import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from published_layout import lay_down
from tiny_recordings import make_video, number_of, numbered_frame

from data.action_lines import BINARY_KEYS, parse_action_lines
from data.episode_files import write_actions
from data.EpisodeStorage import EpisodeStorage, EpisodeWriter, convert_frames, find_episodes, main
from steve1.cli import UserError

T = 40


def frames(n=T):
    return [numbered_frame(i) for i in range(n)]


def actions(n=T, seed=0):
    rng = np.random.default_rng(seed)
    pressed = {key: rng.integers(0, 2, n) for key in BINARY_KEYS}
    return {**pressed, "camera": rng.normal(0, 5, (n, 2))}


def embeds(n=T, width=6):
    return np.random.default_rng(1).normal(size=(n, width)).astype(np.float32)


@pytest.fixture(params=["png", "mp4"])
def episode(request, tmp_path):
    return EpisodeStorage.write(
        tmp_path / "episode", frames(), actions(), embeds(), {"source": "a test", "note": 1}, request.param
    )


def test_what_is_written_is_read(episode):
    episode = EpisodeStorage(episode.dirpath)
    assert len(episode) == T
    assert episode.metadata["note"] == 1
    assert episode.metadata["embed_dim"] == 6
    read, written = episode.load_actions(), actions()
    assert set(read) == set(written)
    for key, values in written.items():
        assert read[key].dtype == values.dtype
        np.testing.assert_array_equal(read[key], values)
    rows = episode.load_embeds_attn()
    assert rows.dtype == np.float32
    assert np.isnan(rows[:15]).all()
    np.testing.assert_array_equal(rows[15:], embeds()[15:])
    assert [number_of(frame) for frame in episode.load_frames()] == list(range(T))
    if episode.frame_format == "png":
        np.testing.assert_array_equal(episode.load_frames(), np.stack(frames()))
    assert episode.validate() == episode.validate(deep=True) == []


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (15, 33), (T - 1, T), (7, None)])
def test_slices_are_exact(episode, start, stop):
    wanted = slice(start, stop)
    assert [number_of(frame) for frame in episode.load_frames(start, stop)] == list(range(T))[wanted]
    read = episode.load_actions(start, stop)
    for key, values in actions().items():
        np.testing.assert_array_equal(read[key], values[wanted])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, T + 1), (5, 4)])
def test_slices_outside_are_refused(episode, start, stop):
    for load in (episode.load_frames, episode.load_actions):
        with pytest.raises(ValueError, match="were asked for"):
            load(start, stop)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        EpisodeStorage(tmp_path / "nowhere")


def test_unpredicted_keys_may_be_absent(tmp_path):
    given_actions = actions()
    for key in ("ESC", "pickItem", "swapHands"):
        given_actions.pop(key)
    episode = EpisodeStorage.write(tmp_path / "e", frames(), given_actions, embeds(), {})
    assert not episode.load_actions()["pickItem"].any()


def test_an_episode_shorter_than_a_window_has_no_embedding(tmp_path):
    episode = EpisodeStorage.write(tmp_path / "e", frames(3), actions(3), embeds(3), {})
    assert np.isnan(episode.load_embeds_attn()).all()
    assert episode.validate() == []


@pytest.mark.parametrize(
    "change",
    [
        {"actions": actions(T - 1)},
        {"actions": {**actions(), "camera": np.full((T, 2), np.nan)}},
        {"actions": {**actions(), "jump": np.full(T, 2)}},
        {"actions": {**actions(), "fly": np.zeros(T)}},
        {"embeds": embeds(T + 1)},
        {"frames": [*frames(T - 1), np.zeros((64, 64, 3), np.uint8)]},
        {"frames": [*frames(T - 1), np.zeros((128, 128, 3), np.float32)]},
    ],
)
@pytest.mark.parametrize("frame_format", ["png", "mp4"])
def test_what_does_not_fit_leaves_nothing(tmp_path, change, frame_format):
    content = {"frames": frames(), "actions": actions(), "embeds": embeds(), **change}
    with pytest.raises(ValueError):
        EpisodeStorage.write(tmp_path / "e", **content, metadata={}, frame_format=frame_format)
    assert list(tmp_path.iterdir()) == []


def test_leaving_a_writer_early_leaves_nothing(tmp_path):
    for frame_format in ("png", "mp4"):
        with EpisodeWriter(tmp_path / "e", frame_format) as writer:
            writer.add_frame(numbered_frame(0))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "actions.jsonl")

    monkeypatch.setattr("data.episode_files.write_actions", full)
    with pytest.raises(OSError, match="No space"):
        EpisodeStorage.write(tmp_path / "e", frames(), actions(), embeds(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_episode(tmp_path):
    code = f"""
        import os, signal
        import numpy as np
        from data.EpisodeStorage import EpisodeWriter
        with EpisodeWriter({str(tmp_path / "e")!r}) as writer:
            writer.add_frame(np.zeros((128, 128, 3), np.uint8))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == -9
    assert find_episodes(tmp_path) == []
    EpisodeStorage.write(tmp_path / "e", frames(), actions(), embeds(), {})
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_folder_that_is_no_episode_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "actions.jsonl").write_text("precious")
    with pytest.raises(UserError, match="no episode of ours"):
        EpisodeStorage.write(tmp_path / "mine", frames(), actions(), embeds(), {})
    assert (tmp_path / "mine" / "actions.jsonl").read_text() == "precious"


def test_frames_are_converted_both_ways(episode):
    other = "mp4" if episode.frame_format == "png" else "png"
    first = episode.frame_format
    for frame_format in (other, first, other):
        assert convert_frames(episode.dirpath, frame_format)
        again = EpisodeStorage(episode.dirpath)
        assert again.frame_format == frame_format
        assert [number_of(frame) for frame in again.load_frames()] == list(range(T))
        assert again.validate(deep=True) == []
    assert not convert_frames(episode.dirpath, other)
    assert again.metadata["note"] == 1


def test_a_conversion_that_fails_changes_nothing(episode, monkeypatch):
    before = sorted(path.name for path in episode.dirpath.rglob("*"))
    calls = []

    def full(self, frame):
        calls.append(frame)
        if len(calls) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("data.episode_files.FrameSink.add", full)
    with pytest.raises(OSError, match="No space"):
        convert_frames(episode.dirpath, "mp4" if episode.frame_format == "png" else "png")
    assert sorted(path.name for path in episode.dirpath.rglob("*")) == before
    assert EpisodeStorage(episode.dirpath).validate(deep=True) == []


def test_a_conversion_stopped_before_its_end_is_whole_and_is_tidied(episode):
    first = episode.frame_format
    other = "mp4" if first == "png" else "png"
    saved = episode.dirpath.parent / "saved"
    shutil.copytree(episode.dirpath, saved)
    convert_frames(episode.dirpath, other)
    # As after a kill between the switch of metadata.json and the removal of the old frames.
    name = "frames" if first == "png" else "frames.mp4"
    os.rename(saved / name, episode.dirpath / name)
    assert [number_of(frame) for frame in EpisodeStorage(episode.dirpath).load_frames()] == list(range(T))
    assert any("left over" in problem for problem in EpisodeStorage(episode.dirpath).validate())
    convert_frames(episode.dirpath, other)
    assert EpisodeStorage(episode.dirpath).validate() == []


class Foreign:
    def __reduce__(self):
        return os.mkdir, ("/tmp/foreign_code_was_run",)


@pytest.mark.parametrize("name", ["actions.pkl", "embeds_attn.pkl"])
def test_a_pickle_with_foreign_code_is_refused(tmp_path, name):
    episode = EpisodeStorage(lay_down(tmp_path / "e", T))
    (episode.dirpath / name).write_bytes(pickle.dumps([Foreign()] * T))
    load = episode.load_actions if name == "actions.pkl" else episode.load_embeds_attn
    with pytest.raises(UserError, match=name):
        load()
    assert not os.path.exists("/tmp/foreign_code_was_run")
    assert any(name in problem for problem in episode.validate())


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


def set_metadata(folder, **values):
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def wrong_embeds(folder, change):
    rows = embeds()
    rows[:15] = np.nan
    (folder / "embeds_attn.pkl").write_bytes(pickle.dumps(change(rows)))


def nan_row(rows):
    rows[20] = np.nan
    return rows


DAMAGE = {
    "no metadata": (lambda f: (f / "metadata.json").unlink(), "neither metadata.json"),
    "torn metadata": (lambda f: rewrite(f / "metadata.json", lambda b: b[:30]), "is not JSON"),
    "metadata without length": (lambda f: set_metadata(f, n_frames="many"), "does not say n_frames"),
    "another length": (lambda f: set_metadata(f, n_frames=T + 1), "should have 41|says 41 frames"),
    "another rate": (lambda f: set_metadata(f, fps=30), "30 frames a second"),
    "another width": (lambda f: set_metadata(f, embed_dim=7), "6 wide"),
    "no actions": (lambda f: (f / "actions.jsonl").unlink(), "actions.jsonl is missing"),
    "torn actions": (lambda f: rewrite(f / "actions.jsonl", lambda b: b[:-9]), "line 40: it is torn"),
    "fewer actions": (
        lambda f: rewrite(f / "actions.jsonl", lambda b: b[: b[:-1].rindex(b"\n") + 1]),
        "has 39",
    ),
    "wrong button": (
        lambda f: rewrite(f / "actions.jsonl", lambda b: b.replace(b'"use":1', b'"use":7')),
        "use must",
    ),
    "no embeddings": (lambda f: (f / "embeds_attn.pkl").unlink(), "embeds_attn.pkl is missing"),
    "torn embeddings": (lambda f: rewrite(f / "embeds_attn.pkl", lambda b: b[:50]), "not a readable pickle"),
    "fewer embeddings": (lambda f: wrong_embeds(f, lambda rows: rows[:-1]), "has 39 rows"),
    "a NaN row": (lambda f: wrong_embeds(f, nan_row), "1 rows that are not finite, the first being 20"),
    "early rows": (lambda f: wrong_embeds(f, lambda rows: np.nan_to_num(rows)), "first 15 rows"),
}
PNG_DAMAGE = {
    "no frames": (lambda f: shutil.rmtree(f / "frames"), "folder frames is missing"),
    "a missing frame": (lambda f: (f / "frames/00007.png").unlink(), "1 of 40 frames are missing.*00007"),
    "an extra frame": (lambda f: (f / "frames/00040.png").write_bytes(b"x"), "don't belong there.*00040"),
    "an empty frame": (lambda f: (f / "frames/00003.png").write_bytes(b""), "empty files.*00003"),
}
MP4_DAMAGE = {
    "no video": (lambda f: (f / "frames.mp4").unlink(), "frames.mp4 is missing"),
    "a torn video": (lambda f: rewrite(f / "frames.mp4", lambda b: b[: len(b) // 2]), "not a readable video"),
    "a shorter video": (lambda f: make_video(f / "frames.mp4", range(T - 1)), "has 39 frames"),
    "a larger video": (lambda f: make_video(f / "frames.mp4", range(T), size=(256, 128)), "256x128"),
}


def check_damage(folder, damage, says):
    damage(folder)
    import re

    problems = EpisodeStorage(folder).validate()
    assert any(re.search(says, problem) for problem in problems), problems


@pytest.mark.parametrize("kind", DAMAGE)
def test_validation_finds_damage(episode, kind):
    check_damage(episode.dirpath, *DAMAGE[kind])


@pytest.mark.parametrize("kind", PNG_DAMAGE)
def test_validation_finds_damaged_pngs(tmp_path, kind):
    EpisodeStorage.write(tmp_path / "e", frames(), actions(), embeds(), {})
    check_damage(tmp_path / "e", *PNG_DAMAGE[kind])


@pytest.mark.parametrize("kind", MP4_DAMAGE)
def test_validation_finds_damaged_videos(tmp_path, kind):
    EpisodeStorage.write(tmp_path / "e", frames(), actions(), embeds(), {}, "mp4")
    check_damage(tmp_path / "e", *MP4_DAMAGE[kind])


def test_deep_validation_decodes_every_frame(episode):
    if episode.frame_format == "png":
        rewrite(episode.dirpath / "frames/00020.png", lambda b: b[:40] + b"\0" * (len(b) - 40))
    else:
        rewrite(episode.dirpath / "frames.mp4", lambda b: zero_packet(episode.dirpath / "frames.mp4", b, 20))
    assert EpisodeStorage(episode.dirpath).validate() == []
    assert len(EpisodeStorage(episode.dirpath).validate(deep=True)) == 1


def zero_packet(path, content, index):
    import av

    with av.open(str(path)) as container:
        packet = next(p for i, p in enumerate(container.demux(video=0)) if i == index)
        return content[: packet.pos] + b"\xff" * packet.size + content[packet.pos + packet.size :]


def test_episodes_are_found_at_any_depth_and_hidden_ones_are_not(tmp_path):
    for name in ("b", "a/deep", "a/deeper/c", ".d.12345678.partial", "empty"):
        (tmp_path / name).mkdir(parents=True)
        if name != "empty":
            (tmp_path / name / "metadata.json").write_text("{}")
    assert find_episodes(tmp_path) == [tmp_path / name for name in ("a/deep", "a/deeper/c", "b")]
    assert find_episodes(tmp_path / "b") == [tmp_path / "b"]
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_episodes(tmp_path / "nowhere")


def test_the_command_says_what_is_wrong_and_leaves_with_1(episode, capsys):
    parent = str(episode.dirpath.parent)
    main(["--validate", parent, "--deep"])
    assert "1 episodes, 0 with problems; 40 frames are in order" in capsys.readouterr().out
    (episode.dirpath / "embeds_attn.pkl").unlink()
    with pytest.raises(SystemExit) as leave:
        main(["--validate", parent])
    assert leave.value.code == 1
    assert "embeds_attn.pkl is missing" in capsys.readouterr().out
    with pytest.raises(SystemExit) as leave:
        main(["--validate", parent + "/nowhere"])
    assert leave.value.code == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_the_command_converts(episode):
    other = "mp4" if episode.frame_format == "png" else "png"
    main(["--convert", other, str(episode.dirpath)])
    assert EpisodeStorage(episode.dirpath).frame_format == other


@pytest.fixture
def tree(tmp_path):
    """Twelve episodes, at two depths, in both formats."""
    for n, form in enumerate(("png", "mp4")):
        EpisodeStorage.write(
            tmp_path / form, frames(), actions(seed=n), embeds(), {"mineclip_hash": "c"}, form
        )
    for n in range(12):
        shutil.copytree(
            tmp_path / ("png" if n % 2 else "mp4"),
            tmp_path / "tree" / ("deep" if n % 3 == 2 else "") / f"e{n:02}",
        )
    return tmp_path / "tree"


def leave(*arguments):
    """What the command's exit code is."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code
    return 0


def test_the_report_does_not_depend_on_the_number_of_workers(tree, capsys):
    (tree / "e00" / "embeds_attn.pkl").unlink()
    rewrite(tree / "e09" / "frames/00020.png", lambda b: b[:40] + b"\0" * (len(b) - 40))
    set_metadata(tree / "e03", fps=30, n_frames=T + 1)
    set_metadata(tree / "e06", mineclip_hash="d")
    said = []
    for workers in (1, 3):
        assert leave("--validate", "--deep", "--workers", workers, tree, tree / "deep") == 1
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    lines = said[0].splitlines()
    assert [line.split(":")[0][-3:] for line in lines[:-2]] == ["e00", "e03", "e03", "e03", "e03", "e09"]
    assert lines[-2] == f"12 episodes, 3 with problems; {9 * T} frames are in order ({9 * T / 72_000:.2f} h)"
    assert "2 MineCLIPs made these embeddings" in lines[-1]


def test_a_tree_is_converted_both_ways_by_several_processes(tree, capsys):
    (tree / "e00" / "frames.mp4").unlink()
    for form in ("png", "mp4"):
        assert leave("--convert", form, "--workers", 2, "--deep", tree) == 1
        out = capsys.readouterr().out
        assert f"{5 if form == 'png' else 11} converted to {form}" in out
        assert "e00: " in out
        assert "frames.mp4 is missing" in out
        whole = [EpisodeStorage(path) for path in find_episodes(tree) if path.name != "e00"]
        assert {episode.frame_format for episode in whole} == {form}
        for episode in whole:
            assert [number_of(frame) for frame in episode.load_frames()] == list(range(T))


def started(*arguments):
    """The command, as soon as it has said its first line."""
    process = subprocess.Popen(
        [sys.executable, "data/EpisodeStorage.py", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "frames are mp4 now" in process.stdout.readline()
    return process


@pytest.mark.parametrize(("stop", "workers"), [("SIGINT", 2), ("SIGINT", 1), ("SIGKILL", 2)])
def test_a_stopped_conversion_leaves_whole_episodes_and_goes_on(tmp_path, capsys, stop, workers):
    EpisodeStorage.write(tmp_path / "one", frames(), actions(), embeds(), {})
    for n in range(24):
        shutil.copytree(tmp_path / "one", tmp_path / "tree" / f"e{n:02}")
    process = started("--convert", "mp4", "--workers", workers, tmp_path / "tree")
    process.send_signal(getattr(signal, stop))
    # Ends when the last process that holds the pipes, the workers among them, is gone.
    _, errors = process.communicate(timeout=120)
    if stop == "SIGINT":
        assert process.returncode == 130
        assert errors.strip().splitlines()[-1].startswith("error: stopped by Ctrl-C")
        assert "Traceback" not in errors
    episodes = [EpisodeStorage(path) for path in find_episodes(tmp_path / "tree")]
    assert len(episodes) == 24
    assert {episode.frame_format for episode in episodes} == {"png", "mp4"}
    for episode in episodes:
        left = [problem for problem in episode.validate(deep=True) if "to remove" not in problem]
        assert left == []
    assert leave("--convert", "mp4", "--workers", 1, tmp_path / "tree") == 0
    assert "24 episodes, 0 with problems" in capsys.readouterr().out
    assert not list((tmp_path / "tree").rglob(".converting"))  # a stop while one was being removed leaves it


angles = st.floats(-180, 180, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(2)), elements=angles), st.integers(0, 9))
def test_action_lines_read_back_exactly(tmp_path_factory, camera, seed):
    buttons = np.random.default_rng(seed).integers(0, 2, (len(camera), 23))
    path = tmp_path_factory.mktemp("lines") / "actions.jsonl"
    write_actions(path, buttons, camera)
    read = parse_action_lines(path.read_bytes().split(b"\n")[:-1], path)
    np.testing.assert_array_equal(read["camera"], camera)
    for column, key in enumerate(BINARY_KEYS):
        np.testing.assert_array_equal(read[key], buttons[:, column])


@pytest.mark.parametrize(
    "line",
    [
        '{"camera": [0, 1], "buttons": {',
        '{"camera": [0, 1]}',
        '{"camera": [0], "buttons": {}}',
        '{"camera": [0, NaN], "buttons": {}}',
        '{"camera": [0, "1"], "buttons": {}}',
        '{"camera": [0, 1], "buttons": []}',
        '{"camera": [0, 1], "buttons": {"jump": 0.5}}',
        '{"camera": [0, 1], "buttons": {"jump": [1]}}',
        '{"camera": [0, 1], "buttons": {"leap": 1}}',
        "7",
    ],
)
def test_a_wrong_line_of_ours_is_named(line):
    good = '{"camera": [0, 1], "buttons": {"jump": true}}'
    assert parse_action_lines([good], "a.jsonl")["jump"].tolist() == [1]
    with pytest.raises(UserError, match=r"a\.jsonl, line 12:"):
        parse_action_lines([good, line], "a.jsonl", first=10)

"""MineStudio's layout, written here into small LMDBs: whole episodes, holes, damage, foreign code, going on."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from tiny_mishaps import content, kill, killed
from tiny_recordings import make_mineclip, make_video, number_of

from data.action_lines import BINARY_KEYS
from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation import convert_from_minestudio
from data.generation.convert_from_minestudio import main
from data.generation.minestudio import BadChunk, Dataset
from data.sampling.sessions import session_of
from data.video import decode
from steve1.checkpoints import load_mineclip
from steve1.cli import UserError
from steve1.mineclip.embed import embed_frames

CHUNK = 32
WHOLE = "cheeky-cornflower-setter-02e496ce4abb-20220421-092639"
HOLED = "cheeky-cornflower-setter-02e496ce4abb-20220421-093149"


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


class ForeignCode:
    def __reduce__(self):
        return os.system, ("touch /tmp/mixed_must_not_exist",)


def action_chunk(episode, start, n=CHUNK):
    """MineRL's keys as MineStudio writes them: pressed by a rule of the frame's number."""
    t = np.arange(start, start + n)
    chunk = {key: ((t + i + episode) % 5 == 0).astype(np.int64) for i, key in enumerate(BINARY_KEYS)}
    return {**chunk, "camera": np.stack([t / 7, -t / 3], axis=1).astype(np.float32)}


class Writer:
    """A dataset folder, part by part."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def part(self, kind, number, episodes, left_out=(), replaced=None, size=CHUNK):
        """``episodes``: (name, its number here, its number everywhere, frames); ``replaced``: content by key."""
        path = self.folder / kind / f"part-{number}"
        path.mkdir(parents=True)
        infos = [{"episode": name, "episode_idx": here, "num_frames": n} for name, here, _, n in episodes]
        with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:

            def put(key, content):
                transaction.put(str(key).encode(), content)

            for _, here, everywhere, n in episodes:
                for start in range(0, n, CHUNK):
                    if (here, start) not in left_out:
                        put((here, start), self.chunk(kind, everywhere, start))
            put("__chunk_size__", pickle.dumps(size))
            put("__chunk_infos__", pickle.dumps(infos))
            put("__num_episodes__", pickle.dumps(len(infos)))
            put("__num_total_frames__", pickle.dumps(sum(info["num_frames"] for info in infos)))
            for key, content in (replaced or {}).items():
                put(key, content)

    def chunk(self, kind, episode, start, n=CHUNK):
        if kind == "video":
            return self.video(range(1000 * episode + start, 1000 * episode + start + n))
        if kind == "meta_info":
            return pickle.dumps({"isGuiOpen": np.zeros(n, bool)})
        return pickle.dumps(action_chunk(episode, start, n))

    def video(self, numbers):
        path = make_video(self.folder / "chunk.mp4", numbers, size=(224, 224), crf="10")
        content = path.read_bytes()
        path.unlink()
        return content


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Five episodes in two parts a kind, dealt out differently, with everything that can be wrong."""
    writer = Writer(tmp_path_factory.mktemp("dataset") / "minestudio")
    short = writer.video(range(3))
    writer.part("video", 1, [(WHOLE, 0, 0, 96), ("only-video", 1, 3, 64)])
    writer.part(
        "video",
        2,
        [(HOLED, 0, 1, 320), ("another", 1, 2, 64)],
        left_out=[(0, 64)],
        replaced={(0, 192): short, (0, 256): writer.chunk("video", 1, 256)[:700]},
    )
    writer.part("action", 1, [("another", 4, 2, 64), (HOLED, 7, 1, 320)])
    writer.part(
        "action",
        5,
        [(WHOLE, 2, 0, 96), ("only-action", 3, 4, 64)],
        replaced={(3, 0): pickle.dumps(ForeignCode())},
    )
    writer.part("meta_info", 1, [(WHOLE, 0, 0, 96)])
    return writer.folder


@pytest.fixture
def convert(dataset, mineclip, tmp_path):
    def run(*flags, folder=dataset, least=None):
        least = least or (40 if folder == dataset else 32)
        names = {"input_dir": folder, "output_dir": tmp_path / "out", "mineclip_weights": mineclip}
        main(
            [*(f"--{k}={v}" for k, v in names.items()), f"--min_timesteps={least}", "--batch_size=8", *flags]
        )
        return [path.name for path in find_episodes(tmp_path / "out")]

    return run


def check(path, episode, start, n):
    """The episode at ``path`` is frames start .. start+n-1 of that number."""
    ours = EpisodeStorage(path)
    assert ours.validate(deep=True) == []
    assert [number_of(frame) for frame in ours.load_frames()] == list(
        range(1000 * episode + start, 1000 * episode + start + n)
    )
    expected = action_chunk(episode, start, n)
    for key, values in ours.load_actions().items():
        np.testing.assert_array_equal(values, expected[key])
    assert ours.metadata["source_frames"] == [start, start + n]
    assert ours.metadata["source_resolution"] == [224, 224]
    assert session_of(path, ours.metadata) == session_of(ours.metadata["recording"], {})


def test_episodes_are_matched_by_name_and_holes_part_them(convert, tmp_path, capsys):
    assert convert() == ["another", WHOLE, HOLED, f"{HOLED}_from_000096"]
    out = capsys.readouterr().out
    check(tmp_path / "out" / WHOLE, 0, 0, 96)
    check(tmp_path / "out" / "another", 2, 0, 64)
    check(tmp_path / "out" / HOLED, 1, 0, 64)
    check(tmp_path / "out" / f"{HOLED}_from_000096", 1, 96, 96)
    for said in (
        "only-video is passed over: it has no action",
        "only-action is passed over: it has no video",
        "frames from 64 on are passed over",
        "chunk (0, 64) is missing",
        "frames from 192 on are passed over",
        "chunk (0, 192) holds 3 frames, 32 are needed",
        "frames from 256 on are passed over",
        "4 episodes made with 320 frames",
        "dropped frames: 96, in chunks that can't be used",
        "dropped frames: 64, in stretches under --min_timesteps",
        "episodes passed over: 2, not in both kinds",
    ):
        assert said in out


def test_what_mineclip_and_the_agent_see(convert, tmp_path, mineclip, dataset):
    convert("--num_episodes=2")
    with Dataset(dataset) as opened:
        (episode,) = [one for one in opened.episodes if one.name == WHOLE]
        frames = [frame for start in (0, 32, 64) for frame in episode.read(start)[0]]
    assert frames[0].shape == (224, 224, 3)
    ours = EpisodeStorage(tmp_path / "out" / WHOLE)
    shown = [cv2.resize(frame, (128, 128), interpolation=cv2.INTER_LINEAR) for frame in frames]
    np.testing.assert_array_equal(ours.load_frames(), np.stack(shown))
    expected = embed_frames(load_mineclip(mineclip), frames, 8)
    np.testing.assert_array_equal(ours.load_embeds_attn(), expected)


def test_going_on_and_slices_make_the_same(convert, tmp_path, capsys):
    names = convert()
    whole = content(tmp_path / "out")
    capsys.readouterr()
    assert convert() == names
    assert "4 were there already" in capsys.readouterr().out
    assert content(tmp_path / "out") == whole
    # Without the first piece of the episode with holes, and without the second: either is made again.
    for name in (HOLED, f"{HOLED}_from_000096"):
        shutil.rmtree(tmp_path / "out" / name)
        convert()
        assert content(tmp_path / "out") == whole
    shutil.rmtree(tmp_path / "out")
    for worker in (2, 0, 1):
        convert("--num_workers=3", f"--worker_id={worker}")

    def episodes(files):
        return {path: bytes_ for path, bytes_ in files.items() if "/" in path}

    assert episodes(content(tmp_path / "out")) == episodes(whole)


def test_two_processes_make_the_same(convert, tmp_path):
    convert()
    whole = content(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    convert("--workers=2")
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize("moment", ["frame", "before metadata", "after metadata"])
def test_killed_at_any_moment_only_whole_episodes_are_left_and_a_second_run_finishes(
    convert, tmp_path, moment
):
    names = convert()
    whole = content(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    def die_at_a_frame():
        frames = convert_from_minestudio.Stretch.frames

        def counted(self):
            for i, frame in enumerate(frames(self)):
                if moment == "frame" and self.episode.name == WHOLE and i == 40:
                    kill()
                yield frame

        convert_from_minestudio.Stretch.frames = counted

    killed(convert, moment, die_at_a_frame)
    assert [path.name for path in find_episodes(tmp_path / "out")] == names[:1]
    assert convert() == names
    assert content(tmp_path / "out") == whole


def test_num_episodes_counts_theirs(convert):
    assert convert("--num_episodes=1") == ["another"]
    assert convert("--num_episodes=3") == ["another", WHOLE, HOLED, f"{HOLED}_from_000096"]


def test_min_timesteps(convert, capsys):
    assert convert(least=96) == [WHOLE, f"{HOLED}_from_000096"]
    out = capsys.readouterr().out
    assert "another: passed over, too short: 64 frames are left of it, 96 are needed" in out
    assert "episodes passed over: 1, too short" in out
    assert f"{HOLED}: no episode {HOLED}, for 64 frames are left of it" in out


def one(tmp_path, content, kind="action", n=64, start=0):
    """A dataset of one episode whose chunk at ``start`` of that kind is ``content``."""
    writer = Writer(tmp_path / "one")
    for other in ("video", "action"):
        writer.part(other, 1, [("e", 0, 0, n)], replaced={(0, start): content} if other == kind else {})
    return writer.folder


def test_foreign_code_does_not_run(convert, tmp_path, capsys):
    folder = one(tmp_path, pickle.dumps(ForeignCode()), start=32)
    assert convert(folder=folder) == ["e"]
    out = capsys.readouterr().out
    assert "was not loaded: it asks for posix.system" in out
    assert "frames from 32 on are passed over" in out
    assert not Path("/tmp/mixed_must_not_exist").exists()
    check(tmp_path / "out" / "e", 0, 0, 32)


def wrong(**changes):
    return pickle.dumps({**action_chunk(0, 0), **changes})


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("action", b"no pickle", "is not a readable pickle"),
        ("action", pickle.dumps([1, 2]), "chunk (0, 0)"),
        ("action", pickle.dumps({"camera": np.zeros((32, 2))}), "none of MineRL's keys"),
        ("action", wrong(camera=np.zeros((31, 2))), "camera is (31, 2)"),
        ("action", wrong(camera=np.full((32, 2), np.nan)), "finite"),
        ("action", wrong(attack=np.zeros(31, int)), "attack must be 0 or 1 for each of 32 frames"),
        ("action", wrong(jump=np.full(32, 2)), "jump must be 0 or 1"),
        ("video", b"no video", "is not a readable video"),
        ("video", b"", "is not a readable video"),
    ],
)
def test_a_wrong_chunk_is_named_and_passed_over(convert, tmp_path, capsys, kind, content, said):
    folder = one(tmp_path, content, kind)
    assert convert(folder=folder) == ["e_from_000032"]
    out = capsys.readouterr().out
    assert said in out
    assert "e: frames from 0 on are passed over" in out
    check(tmp_path / "out" / "e_from_000032", 0, 32, 32)


def test_forms_of_arrays_that_are_read(convert, tmp_path):
    """Columns [32, 1], booleans and bytes are the same; other keys mean nothing; absent ones are not pressed."""
    chunk = action_chunk(0, 0)
    chunk["attack"], chunk["jump"] = chunk["attack"][:, None], chunk["jump"].astype(bool)
    chunk["use"] = chunk["use"].astype(np.uint8)
    del chunk["ESC"]
    folder = one(tmp_path, pickle.dumps({**chunk, "chat": "hello"}), n=32)
    assert convert(folder=folder) == ["e"]
    actions = EpisodeStorage(tmp_path / "out" / "e").load_actions()
    expected = {**action_chunk(0, 0), "ESC": np.zeros(32)}
    for key, values in actions.items():
        np.testing.assert_array_equal(values, expected[key])


def test_another_number_of_frames_in_either_kind(convert, tmp_path, capsys):
    writer = Writer(tmp_path / "differ")
    writer.part("video", 1, [("e", 0, 0, 96)])
    writer.part("action", 1, [("e", 0, 0, 64)])
    assert convert(folder=writer.folder) == ["e"]
    assert "e: 96 frames of video, 64 of action; the first 64 are taken" in capsys.readouterr().out
    check(tmp_path / "out" / "e", 0, 0, 64)


def test_names_that_are_no_folders_and_names_given_twice(convert, tmp_path, capsys):
    writer = Writer(tmp_path / "names")
    for kind in ("video", "action"):
        writer.part(kind, 1, [("../e", 0, 0, 32), ("f", 1, 1, 32)])
        writer.part(kind, 2, [("f", 0, 2, 32)])
    assert convert(folder=writer.folder) == ["f"]
    out = capsys.readouterr().out
    assert "'../e' is passed over: it is no name for a folder" in out
    assert out.count("the first is taken") == 2
    check(tmp_path / "out" / "f", 1, 0, 32)


def test_chunks_of_two_lengths(convert, tmp_path, capsys):
    writer = Writer(tmp_path / "sizes")
    writer.part("video", 1, [("e", 0, 0, 32)], size=16)
    writer.part("action", 1, [("e", 0, 0, 32)])
    with pytest.raises(SystemExit) as left:
        convert(folder=writer.folder)
    assert left.value.code == 1
    assert "its chunks differ in length" in capsys.readouterr().out


def test_no_dataset_and_damaged_parts(convert, tmp_path, capsys, dataset):
    def fails(folder):
        with pytest.raises(SystemExit) as left:
            convert(folder=folder)
        assert left.value.code == 1
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    assert "holds no part-N/data.mdb" in fails(tmp_path / "empty")
    shutil.copytree(dataset, tmp_path / "torn")
    (tmp_path / "torn/video/part-1/data.mdb").write_bytes(b"torn" * 3000)
    assert "part-1 is no readable LMDB" in fails(tmp_path / "torn")
    writer = Writer(tmp_path / "code")
    for kind in ("video", "action"):
        writer.part(kind, 1, [("e", 0, 0, 32)], replaced={"__chunk_infos__": pickle.dumps(ForeignCode())})
    with pytest.raises(UserError, match="it asks for posix"):
        Dataset(writer.folder)
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_flags_at_once(convert, dataset, capsys, monkeypatch):
    monkeypatch.setattr(convert_from_minestudio.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as left:
        convert("--input_dir=nowhere", "--num_episodes=-1", "--worker_id=3", "--mineclip_weights=none.pth")
    assert left.value.code == 2
    message = capsys.readouterr().err
    for said in ("--input_dir nowhere", "--num_episodes -1", "--worker_id 3", "none.pth", "pip install lmdb"):
        assert said in message
    with pytest.raises(SystemExit):
        convert(f"--output_dir={dataset}/episodes")
    assert "--output_dir is within --input_dir" in capsys.readouterr().err


def test_a_video_in_memory_decodes_as_its_file(tmp_path):
    path = make_video(tmp_path / "v.mp4", range(20), size=(224, 224))
    for one_frame, other in zip(decode(path), decode("a name", path.read_bytes()), strict=True):
        np.testing.assert_array_equal(one_frame, other)
    with pytest.raises(BadChunk, match="is missing"), Dataset(one(tmp_path, b"x")) as dataset:
        dataset.episodes[0].read(64)

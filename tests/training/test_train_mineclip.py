"""Training a small MineCLIP: contrast learns what can be told apart, and the entry point's promises."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from tiny_episodes import make_episode

from data.EpisodeStorage import EpisodeStorage
from data.text_alignment.labels import Label
from steve1.checkpoints import load_mineclip, read_metadata, read_state_dict
from steve1.mineclip import MineCLIP, embed_frames
from steve1.vpt.actions import BUTTONS
from training import train_mineclip
from training.mineclip_contrast import Clips, Contrast, Segment, contrast_loss
from training.mineclip_footage import find_sources, hold_out, read_clips
from training.mineclip_retrieval import embed_segments, retrieve
from training.train_mineclip import PRESETS, main

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
WORDINGS = {name: [f"a {name} wall", f"look at {name}", f"all is {name}"] for name in COLOURS}
HELD_OUT = {name: [f"see {name}"] for name in COLOURS}


def make_world(folder, episodes=6, length=24):
    """Episodes that show each colour for ``length`` frames, in an order of their own, noisy; and their labels."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(episodes):
        frames = []
        for name in rng.permutation(list(COLOURS)):
            lines.append(
                {"episode": f"e{number}", "start": len(frames), "behaviour": name, "text": f"a {name} wall"}
            )
            lines[-1]["stop"] = len(frames) + length
            noise = rng.integers(-30, 30, size=(length, 128, 128, 1))
            frames += list(np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8))
        actions = {name: np.zeros(len(frames), np.int64) for name in BUTTONS}
        actions["camera"] = np.zeros((len(frames), 2))
        EpisodeStorage.write(
            folder / "episodes" / f"e{number}", frames, actions, np.zeros((len(frames), 4)), {}, "mp4"
        )
    (folder / "labels").mkdir()
    (folder / "labels" / "l.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    wordings = {"wordings": WORDINGS, "held_out": HELD_OUT}
    (folder / "labels" / "wordings.json").write_text(json.dumps(wordings))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("colours"))


def run(world, out, *flags):
    main(
        [
            f"--episodes_dir={world / 'episodes'}",
            f"--labels={world / 'labels'}",
            f"--out_weights={out}",
            *(
                "--mineclip_config=tiny",
                "--steps=16",
                "--batch_size=12",
                "--lr=3e-3",
                "--device=cpu",
            ),
            *("--held_out_episodes=0.3", "--num_workers=0"),
            *flags,
        ]
    )
    return read_state_dict(out)


def fails(capsys, code, *arguments):
    with pytest.raises(SystemExit) as left:
        run(*arguments)
    assert left.value.code == code
    return capsys.readouterr().err.rpartition("error: ")[2]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_loss_is_zero_for_perfect_embeddings_and_log_n_for_none():
    meanings = torch.tensor([0, 1, 0, 2])
    perfect = torch.eye(3)[meanings]
    assert contrast_loss(perfect * 7, perfect, meanings, torch.tensor(100.0)).item() == pytest.approx(
        0, abs=1e-5
    )
    alike = torch.ones(4, 3)
    # Uniform rows cost log 4; the targets' entropy is log 2 for the two rows of meaning 0.
    expected = math.log(4) - math.log(2) / 2
    assert contrast_loss(alike, alike, meanings, torch.tensor(10.0)).item() == pytest.approx(expected)
    wrong = contrast_loss(perfect, perfect[[1, 0, 3, 2]], meanings, torch.tensor(10.0))
    assert wrong.item() > expected


def test_it_learns_and_says_so(world, tmp_path, capsys):
    run(world, tmp_path / "m.pth", "--steps=60")
    said = capsys.readouterr().out
    assert "held-out episodes, wordings that were learnt: 1.000" in said
    assert "held-out episodes, held-out wordings: " in said
    written = read_metadata(tmp_path / "m.pth")
    assert written["accuracy"]["seen"]["accuracy"] == 1
    assert set(written["accuracy"]["seen"]["by_meaning"]) == set(COLOURS)
    assert written["accuracy"]["held_out"]["accuracy"] > 0.6  # the words "red", "green", "blue" were learnt
    assert len(written["held_out_episodes"]) == 2
    # What was written is a MineCLIP that embeds as any other.
    mineclip = load_mineclip(tmp_path / "m.pth")
    frames = [np.full((128, 128, 3), COLOURS["blue"], np.uint8)] * 16
    embed = torch.from_numpy(embed_frames(mineclip, frames)[15])
    with torch.inference_mode():
        texts = mineclip.encode_text([WORDINGS[name][0] for name in COLOURS])
    assert torch.cosine_similarity(embed[None], texts).argmax().item() == 2


def test_labels_that_lie_are_not_learnt(world, tmp_path):
    # The same labels shuffled: held-out accuracy must show that nothing was learnt.
    lines = [json.loads(line) for line in (world / "labels" / "l.jsonl").read_text().splitlines()]
    rng = np.random.default_rng(1)
    for line, name in zip(lines, rng.permutation([line["behaviour"] for line in lines]), strict=True):
        line["behaviour"] = str(name)
    (tmp_path / "l.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(
        world,
        tmp_path / "m.pth",
        f"--labels={tmp_path / 'l.jsonl'}",
        f"--wordings={world}/labels/wordings.json",
    )
    assert read_metadata(tmp_path / "m.pth")["accuracy"]["seen"]["accuracy"] < 0.8


def test_all_parts_are_trained(world):
    names = list(COLOURS)
    labels = [Label("e0", 24 * i, 24 * i + 24, name, name) for i, name in enumerate(names)]
    sources, missing = find_sources(["e0", "e9"], None, world / "episodes")
    assert missing == ["e9"]
    clips, _ = read_clips(labels, sources, names, [32, 48], 16, 0)
    torch.manual_seed(0)
    mineclip = MineCLIP(PRESETS["tiny"])
    before = {name: tensor.clone() for name, tensor in mineclip.state_dict().items()}
    flags = {
        "batch_size": 6,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "frames_per_clip": 4,
        "token_dropout": 0.1,
    }
    training = Contrast(
        mineclip, clips, clips.segments, list(WORDINGS.values()), steps=2, shift=2, seed=0, **flags
    )
    for _ in range(2):
        training.advance()
    assert not [name for name, tensor in mineclip.state_dict().items() if torch.equal(before[name], tensor)]


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """The weights file of a run that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "m.pth"
    run(world, path)
    return path


@pytest.mark.parametrize("stop", [5, 14])
def test_killed_and_run_again_gives_the_same_weights(world, whole, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(train_mineclip, "SAVE_SECONDS", 0.0)
    original = Contrast.advance

    def dies(self):
        if self.step == stop:
            raise MemoryError("killed")
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Contrast, "advance", dies)
        with pytest.raises(MemoryError):
            run(world, tmp_path / "cut.pth")
    assert not (tmp_path / "cut.pth").exists()
    assert equal(read_state_dict(whole), run(world, tmp_path / "cut.pth"))
    assert [path.name for path in (tmp_path / "cut_checkpoint").iterdir()] == ["logs"]


def test_a_finished_run_is_skipped_and_another_one_refused(world, whole, tmp_path, capsys, monkeypatch):
    for suffix in (".pth", ".json"):
        shutil.copy(whole.with_suffix(suffix), tmp_path / f"m{suffix}")
    with monkeypatch.context() as patch:
        patch.setattr(Contrast, "advance", None)
        first = run(world, tmp_path / "m.pth")
    assert "skipped" in capsys.readouterr().out
    assert "other flags or data" in fails(capsys, 1, world, tmp_path / "m.pth", "--seed=1")
    assert not equal(first, run(world, tmp_path / "m.pth", "--seed=1", "--restart_from_checkpoint=False"))


def test_footage_of_recordings_is_the_converters(tmp_path):
    """The frames of a label are those that read_recording yields, whatever was dropped before them."""
    import cv2

    from data.contractor import read_recording
    from data.video import VideoWriter

    writer = VideoWriter(tmp_path / "r.mp4", 96, 64)
    lines = []
    for t in range(40):
        writer.add(np.full((64, 96, 3), 6 * t, np.uint8))
        moved = 0 if t % 4 == 0 else 10
        mouse = {"x": 0.0, "y": 0.0, "dx": moved, "dy": 0.0, "buttons": [], "newButtons": []}
        keyboard = {"keys": [], "newKeys": [], "chars": ""}
        lines.append({"mouse": mouse, "keyboard": keyboard, "isGuiOpen": False, "hotbar": 0})
    writer.close()
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    frames = [frame for frame, _ in read_recording(tmp_path / "r.mp4", tmp_path / "r.jsonl")]
    assert len(frames) == 30
    labels = [Label("r", 3, 20, "a"), Label("r", 10, 99, "b"), Label("r", 29, 60, "a")]
    sources, _ = find_sources(["r"], tmp_path, None)
    clips, problems = read_clips(labels, sources, ["a", "b"], [32, 48], 16, 0)
    assert [(s.first, s.length, s.meaning) for s in clips.segments] == [(0, 17, 0), (17, 20, 1)]
    expected = [cv2.resize(frame, (48, 32), interpolation=cv2.INTER_LINEAR) for frame in frames[3:20]]
    np.testing.assert_array_equal(clips.frames[:17].numpy(), np.stack(expected))
    assert problems == [
        "2 labels reach beyond the end of their episode; they were cut there",
        "1 labels have fewer than 16 frames; they were passed over",
    ]


def test_footage_does_not_depend_on_the_number_of_workers(world):
    names = list(COLOURS)
    labels = [Label(f"e{i}", 0, 20 + i, names[i], names[i]) for i in range(3)]
    sources, _ = find_sources([f"e{i}" for i in range(3)], None, world / "episodes")
    one, two = (read_clips(labels, sources, names, [32, 48], 16, workers)[0] for workers in (0, 2))
    assert torch.equal(one.frames, two.frames)
    assert one.segments == two.segments


def test_hold_out_keeps_sessions_together_and_leaves_something_of_everything():
    session = "x-0123456789ab-20220101-00000"
    shown = {f"{session}{i}": {0, 1} for i in range(3)} | {f"e{i}": {0, 1} for i in range(7)} | {"rare": {2}}
    drawn = [hold_out(shown, 0.3, seed) for seed in range(30)]
    assert all("rare" not in held for held in drawn)
    assert all(4 <= len(held) <= 6 for held in drawn)
    assert {sum(name.startswith(session) for name in held) for held in drawn} == {0, 3}
    assert hold_out(shown, 0.3, 3) == drawn[3]


def test_retrieval_counts_one_wording_a_meaning_at_a_time():
    class Stub:
        def encode_text(self, texts):
            return torch.tensor([[1.0, 0.0] if text in ("a", "b2") else [0.0, 1.0] for text in texts])

    video = torch.tensor([[2.0, 0.1], [0.1, 1.0]])
    result = retrieve(Stub(), video, torch.tensor([0, 1]), {"a": ["a"], "b": ["b", "c"]})
    assert (result.accuracy, result.clips) == (1.0, 2)
    # The second wording of b lies where a does: its clip is lost in one turn of two.
    result = retrieve(Stub(), video, torch.tensor([0, 1]), {"a": ["a"], "b": ["b", "b2"]})
    assert result.by_meaning == {"a": 1.0, "b": 0.5}


def test_embedding_segments_equals_embed_frames():
    torch.manual_seed(0)
    mineclip = MineCLIP(PRESETS["tiny"])
    frames = torch.randint(0, 255, (30, 32, 48, 3), dtype=torch.uint8)
    embeds, meanings = embed_segments(
        mineclip, Clips(frames, [Segment(5, 20, 1, "e")]), [Segment(5, 20, 1, "e")]
    )
    expected = embed_frames(mineclip.eval(), frames.numpy()[5:25])[15::4]
    np.testing.assert_allclose(embeds.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert meanings.tolist() == [1, 1]


def test_all_mistakes_of_flags_at_once(world, tmp_path, capsys):
    flags = [
        "--steps=0",
        "--lr=0",
        "--token_dropout=1",
        "--frames_per_clip=5",
        "--device=tpu",
        "--wordings=none",
    ]
    message = fails(capsys, 2, world, tmp_path / "m.pth", *flags)
    for said in (
        "--steps 0",
        "--learning_rate 0",
        "--token_dropout 1",
        "--frames_per_clip 5",
        "--device tpu",
        "--wordings none",
    ):
        assert said in message
    assert not (tmp_path / "m.pth").exists()
    assert "--mineclip_config big" in fails(capsys, 2, world, tmp_path / "m.pth", "--config=big")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"episode": "z", "start": 0, "stop": 20, "text": "a"}, "none of the 1 episodes"),
        ({"episode": "e0", "start": 0, "stop": 20, "text": "a"}, "shows only 'a'"),
        ({"episode": "e0", "start": 70, "stop": 90, "text": "a"}, "has 16 frames of footage"),
    ],
)
def test_labels_that_lead_to_nothing(world, tmp_path, capsys, line, said):
    more = {**line, "text": "b"} if "footage" in said else line
    (tmp_path / "l.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(more) + "\n")
    assert said in fails(capsys, 1, world, tmp_path / "m.pth", f"--labels={tmp_path / 'l.jsonl'}")
    assert not (tmp_path / "m.pth").exists()


def test_held_out_wordings_must_not_be_learnt(world, tmp_path, capsys):
    (tmp_path / "held.json").write_text(json.dumps({"red": ["a red wall"]}))
    message = fails(capsys, 1, world, tmp_path / "m.pth", f"--held_out_wordings={tmp_path / 'held.json'}")
    assert "'a red wall' is also learnt" in message


def test_episodes_of_another_project_are_read(tmp_path):
    make_episode(tmp_path / "e", 30)
    sources, _ = find_sources(["e"], None, tmp_path)
    clips, _ = read_clips([Label("e", 2, 20, "a")], sources, ["a"], [32, 48], 16, 0)
    assert clips.frames[:, 0, 0, 0].tolist() == list(range(2, 20))

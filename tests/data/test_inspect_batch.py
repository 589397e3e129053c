"""Looking at a batch: it is training's own first one, what is printed is right, and the picture shows the goals."""

import cv2
import numpy as np
import pytest
from conftest import TINY_POLICY
from tiny_episodes import make_episode
from torch.utils._pytree import tree_map

from data import inspect_batch
from data.batch_sheet import batch_sheet
from data.minecraft_dataset import ItemSampler, MinecraftDataset, load_sampling
from data.mixture import Mixture, datasets_file, save_mixture
from training.run_data import RunData
from training.train import build_parser


def shared(sampling, *more):
    return [
        *("--sampling", "tiny", "--sampling_dir", str(sampling), "--T", "24", "--trunc_t", "8"),
        *("--batch_size", "3", "--min_btwn_goals", "5", "--max_btwn_goals", "20", "--p_uncond", "0.5"),
        *("--seed", "3", "--in_model", str(TINY_POLICY)),
        *more,
    ]


@pytest.fixture
def seen(monkeypatch):
    """The arrays that the entry point describes."""
    kept = {}
    original = inspect_batch.describe
    monkeypatch.setattr(
        inspect_batch,
        "describe",
        lambda dataset, places, arrays: kept.update(arrays) or original(dataset, places, arrays),
    )
    return kept


def whole(pieces):
    """A batch as it was before it was cut: [pieces, B, t, ...] -> [B, T, ...]."""
    return tree_map(lambda tensor: tensor.transpose(0, 1).flatten(1, 2), pieces)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_it_shows_the_batch_that_training_begins_with(sampling, seen, tmp_path, capsys, workers):
    output = tmp_path / "sheet.png"
    inspect_batch.main([*shared(sampling, "--num_workers", workers), "--output_path", str(output)])
    args = build_parser().parse_args([*shared(sampling, "--num_workers", "0"), "--out_weights", "x.weights"])
    data = RunData(args, img_size=(32, 32), process=0, processes=1, pin_memory=False)
    obs, actions, firsts = whole(next(data.train_batches(0)))
    theirs = {**obs, **actions, "firsts": firsts}
    assert seen.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(seen[name], tensor.numpy(), err_msg=name)
    blind = sum(not item.any() for item in obs["mineclip_embed"])
    out = capsys.readouterr().out
    assert f"items without a goal: {blind} of 3 (p_uncond 0.5)" in out
    norms = np.linalg.norm(obs["mineclip_embed"].numpy(), axis=-1)
    norms = norms[norms > 0]
    assert (
        f"mean {norms.mean():.3f}, std {norms.std():.3f}, min {norms.min():.3f}, max {norms.max():.3f}" in out
    )
    assert "[3, 24, 32, 32, 3]" in out
    assert cv2.imread(str(output)).shape == (3 * 196 + 6, 5 * 270 + 6, 3)


def test_of_a_weighted_sampling_it_is_the_batch_that_is_drawn_by_weight(sampling, seen, tmp_path):
    train, val = load_sampling(sampling, "tiny")
    for part, dirs in (("train", train), ("val", val)):
        (sampling / f"drawn_{part}.txt").write_text("".join(f"{path}\n" for path in dirs))
    dataset_of = {path: int(path == train[2]) for path in train + val}
    save_mixture(datasets_file(sampling, "drawn"), Mixture(["a", "b"], [0.01, 0.99], dataset_of), ["", ""])
    flags = [*shared(sampling), "--sampling", "drawn"]
    inspect_batch.main([*flags, "--output_path", str(tmp_path / "sheet.png")])
    args = build_parser().parse_args([*flags, "--num_workers", "0", "--out_weights", "x.weights"])
    data = RunData(args, img_size=(32, 32), process=0, processes=1, pin_memory=False)
    obs, _, _ = whole(next(data.train_batches(0)))
    np.testing.assert_array_equal(seen["img"], obs["img"].numpy())
    last = MinecraftDataset([train[2]], 24, 5, 20, img_size=(32, 32))
    pictures = {last[i][0]["img"].tobytes() for i in range(len(last))}
    assert all(item.numpy().tobytes() in pictures for item in obs["img"])


def test_the_picture_shows_frames_beside_their_goals(sampling):
    dataset = MinecraftDataset(load_sampling(sampling, "tiny")[0], 24, 5, 20, p_uncond=0.5, seed=3)
    places = next(iter(ItemSampler(len(dataset), 4, seed=3)))
    items = [dataset[place] for place in places]
    batch = {
        name: np.stack([{**obs, **actions}[name] for obs, actions, _ in items])
        for name in ("img", "mineclip_embed", "buttons", "camera")
    }
    blind = ~batch["mineclip_embed"].any(axis=(1, 2))
    assert blind.any()
    assert not blind.all()
    sheet = batch_sheet(dataset, places, batch, columns=2)
    for i, (epoch, item) in enumerate(places):
        start, goals = dataset.chunks[item][1], dataset.goals(item, epoch)
        top = 6 + i * 196 + 20 + 10  # frames are filled with their number, and embeddings are it
        for c, t in enumerate((0, 23)):
            left = 6 + c * 270
            assert (sheet[top, left + 10] == start + t).all()
            if not blind[i]:
                assert (sheet[top, left + 140] == goals[t]).all()
                assert (batch["mineclip_embed"][i, t] == goals[t]).all()
            else:
                assert (sheet[top, left + 140] == 200).all()


def test_null_actions_and_gaps_are_counted(tmp_path, capsys):
    from data.EpisodeStorage import EpisodeStorage
    from steve1.vpt.actions import BUTTONS

    still = np.arange(40) % 2  # every second frame walks
    actions = {name: np.zeros(40, np.int64) for name in BUTTONS} | {
        "forward": still,
        "camera": np.zeros((40, 2)),
    }
    frames = (np.full((128, 128, 3), t, np.uint8) for t in range(40))
    embeds = np.repeat(np.arange(40, dtype=np.float32)[:, None], 8, axis=1)
    EpisodeStorage.write(tmp_path / "e", frames, actions, embeds, {})
    (tmp_path / "s_train.txt").write_text(f"{tmp_path / 'e'}\n")
    (tmp_path / "s_val.txt").write_text("")
    inspect_batch.main(
        [
            *("--sampling", "s", "--sampling_dir", str(tmp_path), "--T", "24", "--trunc_t", "24"),
            *("--batch_size", "1", "--p_uncond", "0", "--output", str(tmp_path / "s.png")),
            *("--min_btwn_goals", "40", "--max_btwn_goals", "50"),
        ]
    )
    out = capsys.readouterr().out
    assert "nothing moves: 12 of 24 (50.0%)" in out
    assert "most frequent buttons: forward 50.0%\n" in out
    assert "LOOKS WRONG: the camera never moves" in out
    # Items start at 15 and 16, and the only goal is the episode's last frame.
    assert "min 1, max 24" in out or "min 0, max 23" in out


def test_frames_of_a_short_segment_are_shown_without_a_goal(tmp_path, capsys):
    path = make_episode(tmp_path / "e", 48, cuts=[20, 28])
    (tmp_path / "cut_train.txt").write_text(f"{path}\n")
    (tmp_path / "cut_val.txt").write_text("")
    flags = ["--sampling", "cut", "--sampling_dir", str(tmp_path), "--T", "33", "--trunc_t", "33"]
    flags += ["--batch_size", "1", "--p_uncond", "0", "--min_btwn_goals", "3", "--max_btwn_goals", "9"]
    inspect_batch.main([*flags, "--output_path", str(tmp_path / "b.png"), "--columns", "33"])
    out = capsys.readouterr().out
    assert "frames without a goal, in segments of fewer than 16 frames: 8 of 33\n" in out
    assert "min 0.000" not in out.split("norm of the goal embeddings")[1].split("\n")[0]
    # A frame that has no goal has an even patch in place of its goal's picture.
    sheet = cv2.imread(str(tmp_path / "b.png"))
    goals = [sheet[26 : 26 + 128, 6 + 130 + t * 270 :][:, :128] for t in range(33)]
    blind = [t for t, goal in enumerate(goals) if (goal[:30] == 200).all()]
    assert blind == list(range(5, 13))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"img": lambda a: a * 0}, "one colour"),
        ({"mineclip_embed": lambda a: a * 0 + 1}, "all goals of the batch are the same"),
        ({"camera": lambda a: a * 0}, "the camera never moves"),
        ({"buttons": lambda a: a * 0}, "the buttons never change"),
    ],
)
def test_what_looks_wrong_is_said(change, sentence):
    rng = np.random.default_rng(0)
    batch = {
        "img": rng.integers(0, 256, (2, 4, 8, 8, 3), dtype=np.uint8),
        "mineclip_embed": rng.normal(size=(2, 4, 8)).astype(np.float32),
        "buttons": rng.integers(0, 8641, (2, 4)),
        "camera": rng.integers(0, 121, (2, 4)),
    }
    assert inspect_batch.suspicions(batch) == []
    found = inspect_batch.suspicions({**batch, **{name: f(batch[name]) for name, f in change.items()}})
    assert any(sentence in problem for problem in found)


def test_all_mistakes_of_flags_are_said_at_once(capsys):
    with pytest.raises(SystemExit) as left:
        inspect_batch.main(
            [
                "--T",
                "100",
                "--batch_size",
                "0",
                "--min_btwn_goals",
                "9",
                "--max_btwn_goals",
                "9",
                "--p_uncond",
                "2",
            ]
        )
    assert left.value.code == 2
    error = capsys.readouterr().err
    for text in (
        "--T 100 is not a multiple",
        "--batch_size 0 is below 1",
        "--min_btwn_goals 9 must be",
        "--p_uncond 2.0 is above 1",
    ):
        assert text in error


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_episode_ends_in_one_sentence(tmp_path, capsys, workers):
    episode = make_episode(tmp_path / "e", 60)
    (episode / "actions.jsonl").write_text('{"camera": [0,')
    (tmp_path / "s_train.txt").write_text(f"{episode}\n")
    (tmp_path / "s_val.txt").write_text("")
    with pytest.raises(SystemExit) as left:
        inspect_batch.main(
            [
                *("--sampling", "s", "--sampling_dir", str(tmp_path), "--T", "24", "--trunc_t", "8"),
                *("--num_workers", workers, "--output", str(tmp_path / "s.png")),
            ]
        )
    assert left.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "actions.jsonl" in error
    assert "Traceback" not in error
    assert not (tmp_path / "s.png").exists()

"""Mining: exact choices on embeddings made by hand, the files that are written, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import make_episode

from data.EpisodeStorage import EpisodeStorage
from data.text_alignment import make_prior_dataset
from data.text_alignment.labels import load_labels
from data.text_alignment.mine_prior_dataset import main
from data.text_alignment.mining import best_apart, cosines, mine, relative
from data.text_alignment.pairs import load_pairs
from steve1.checkpoints import dump_pickle, load_mineclip, load_pickle, save_mineclip, tensors_hash
from steve1.mineclip import MineCLIP
from training.train_mineclip import PRESETS

WIDTH = 8
SKY, DIG = "look at the sky", "get dirt, dig a hole"


# ---- choosing ----


def test_cosines_and_relative_scores():
    similarity = cosines(np.array([[2.0, 0], [3, 3]], np.float32), np.array([[5.0, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(similarity, [[1, 0], [0.5**0.5] * 2], atol=1e-7)
    scores = relative(similarity, 0.5)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)
    np.testing.assert_allclose(scores[0, 0], -np.log(1 + np.exp(-2)), atol=1e-6)
    # Where probabilities round to 1, their logarithms still tell the surer one.
    sure = relative(np.array([[1.0, 0], [1.0, 0.1]]), 0.02)
    assert sure[0, 0] > sure[1, 0]


def test_best_apart():
    scores = np.array([0.1, 0.9, 0.8, 0.2, 0.9, 0.3])
    assert best_apart(scores, 9, 0) == [1, 4, 2, 5, 3, 0]
    assert best_apart(scores, 9, 2) == [1, 4]
    assert best_apart(scores, 3, 3) == [1, 4]
    assert best_apart(scores, 9, 4) == [1, 5]
    assert best_apart(scores, 1, 0) == [1]
    assert best_apart(np.zeros(0), 3, 1) == []


def all_in_order(scores, wanted, min_distance, cap):
    """The rule said plainly: go through all moments from the best on, and take what is allowed."""
    places = sorted((-score, e, t) for e, row in enumerate(scores) for t, score in enumerate(row))
    taken = []
    for _, e, t in places:
        same = [u for f, u in taken if f == e]
        if len(same) < (cap or 10**9) and all(abs(t - u) >= min_distance for u in same):
            taken.append((e, t))
        if len(taken) == wanted:
            break
    return taken


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=30), min_size=1, max_size=4),
    *(st.integers(1, 8), st.integers(0, 6), st.integers(0, 3)),
)
def test_one_episode_at_a_time_chooses_what_all_at_once_would(rows, wanted, min_distance, cap):
    episodes = []
    for e, row in enumerate(rows):
        angles = np.array([9] * 15 + row) / 10
        embeds = np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
        episodes.append((Path(str(e)), embeds))
    texts = np.array([[1.0, 0]], np.float32)
    (picks,) = mine(episodes, texts, wanted, min_distance, cap, temperature=None)
    scores = [cosines(embeds[15:], texts)[:, 0] for _, embeds in episodes]
    expected = all_in_order(scores, wanted, min_distance, cap)
    assert [(int(pick.episode.name), pick.frame - 15) for pick in picks] == expected
    (backwards,) = mine(episodes[::-1], texts, wanted, min_distance, cap, temperature=None)
    assert backwards == picks
    assert all(np.array_equal(pick.embed, episodes[int(pick.episode.name)][1][pick.frame]) for pick in picks)


def test_relative_scores_leave_out_what_resembles_everything():
    generic, sky, dig = [3.0, 3.0, 0], [1.0, 0, 1.2], [0, 1.0, 1.2]
    embeds = np.array([generic] * 16 + [sky, dig], np.float32)
    texts = np.eye(3, dtype=np.float32)[:2]
    by_cosine = mine([(Path("e"), embeds)], texts, 1, 0, temperature=None)
    by_relative = mine([(Path("e"), embeds)], texts, 1, 0)
    assert [picks[0].frame for picks in by_cosine] == [15, 15]
    assert [picks[0].frame for picks in by_relative] == [16, 17]


# ---- the entry point ----


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two episodes; at chosen frames the embedding is a text's own, elsewhere it points away from both texts."""
    folder = tmp_path_factory.mktemp("mining")
    torch.manual_seed(0)
    mineclip = MineCLIP({**PRESETS["tiny"], "embed_dim": WIDTH})
    save_mineclip(mineclip, folder / "m.pth")
    with torch.inference_mode():
        texts = mineclip.encode_text([SKY, DIG]).numpy()
    away = -texts.sum(axis=0)
    for name, length, showing in (("a", 80, {20: 0, 24: 0, 60: 1}), ("b", 60, {30: 1, 50: 0})):
        path = make_episode(folder / "episodes" / name, length)
        embeds = np.repeat(away[None], length, axis=0)
        for t, text in showing.items():
            embeds[t] = texts[text] * (2 if name == "a" else 1.5) + texts[1 - text] * (0.05 if t == 24 else 0)
        rewrite(path, embeds, mineclip_hash=tensors_hash(mineclip))
    return folder


def rewrite(path, embeds, **metadata):
    episode = EpisodeStorage(path)
    frames, actions = episode.load_frames(), episode.load_actions()
    EpisodeStorage.write(path, frames, actions, embeds, metadata)


def run(world, tmp_path, *flags, instructions=(SKY, DIG)):
    (tmp_path / "instructions.txt").write_text("# what to find\n\n" + "\n".join(instructions) + "\n")
    given_flags = {"mineclip_weights": world / "m.pth", "output_path": tmp_path / "out" / "mined.pkl"}
    if not any(flag.startswith("--instructions") for flag in flags):
        given_flags["instructions_file"] = tmp_path / "instructions.txt"
    if not any(flag.startswith("--sampling=") for flag in flags):
        given_flags["episodes_dir"] = world / "episodes"
    main([*(f"--{name}={value}" for name, value in given_flags.items()), *flags])
    return load_pickle(tmp_path / "out" / "mined.pkl")


def fails(capsys, world, tmp_path, code, *flags, **more):
    with pytest.raises(SystemExit) as left:
        run(world, tmp_path, *flags, **more)
    assert left.value.code == code
    assert not (tmp_path / "out").exists()
    return capsys.readouterr().err


def found(data):
    return list(zip(data["texts"], data["episodes"], data["frames"], strict=True))


def test_the_moments_that_show_it(world, tmp_path, capsys):
    data = run(world, tmp_path, "--top_k=2")
    assert sorted(found(data)) == sorted([(SKY, "a", 20), (SKY, "b", 50), (DIG, "a", 60), (DIG, "b", 30)])
    # Frame 24 of a is nearer to 20 than --min_distance; without that it is a pick too.
    near = run(world, tmp_path, "--top_k=3", "--min_distance=0", "--max_per_episode=0")
    assert (SKY, "a", 24) in found(near)
    for i, (text, episode, frame) in enumerate(found(data)):
        embeds = EpisodeStorage(world / "episodes" / episode).load_embeds_attn()
        np.testing.assert_array_equal(data["visual_embeddings"][i], embeds[frame])
        with torch.inference_mode():
            expected = load_mineclip(world / "m.pth").encode_text([text])[0]
        np.testing.assert_allclose(data["text_embeddings"][i], expected, rtol=1e-5, atol=1e-6)
    assert "2 instructions have fewer than --top_k" not in capsys.readouterr().out
    text, visual, mineclip_hash = load_pairs(tmp_path / "out" / "mined.pkl")
    assert text.shape == visual.shape == (6, WIDTH)
    assert mineclip_hash == tensors_hash(load_mineclip(world / "m.pth"))


def test_fewer_than_asked_for_is_said(world, tmp_path, capsys):
    data = run(world, tmp_path, "--top_k=9", "--max_per_episode=1")
    assert len(found(data)) == 4
    assert "2 instructions have fewer than --top_k 9" in capsys.readouterr().out


def test_picks_can_be_judged_and_go_back_as_labels(world, tmp_path):
    data = run(world, tmp_path, "--top_k=2", "--sheet_columns=3")
    sheet = cv2.imread(str(tmp_path / "out" / "mined_picks.png"))[..., ::-1]
    # Two rows of two columns, for there are no more; the tiny episodes' frame t is t everywhere.
    corners = [(28, 6), (28, 140)]
    for (y, x), (_, _, frame) in zip(corners, found(data)[:2], strict=True):
        assert (sheet[y : y + 128, x : x + 128] == frame).all()
        assert (sheet[y + 128 : y + 160, x : x + 32] == frame - 15).all()
        assert (sheet[y + 128 : y + 160, x + 96 : x + 128] == frame).all()
    assert sheet.shape[1] == 2 * 134 + 6
    lines = tmp_path / "out" / "mined_picks.jsonl"
    labels = load_labels(lines)
    assert [(label.text, label.episode, label.stop - 1) for label in labels] == found(data)
    scores = [json.loads(line)["score"] for line in lines.read_text().splitlines()]
    assert scores[0] >= scores[1]
    make_prior_dataset.main(
        [
            *("--labels", str(lines), "--episodes_dir", str(world / "episodes")),
            *("--mineclip_weights", str(world / "m.pth"), "--output_path", str(tmp_path / "again.pkl")),
        ]
    )
    again = load_pickle(tmp_path / "again.pkl")
    assert sorted(found(again)) == sorted(found(data))


def test_no_picture_for_zero_columns(world, tmp_path):
    run(world, tmp_path, "--sheet_columns=0")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mined.pkl", "mined_picks.jsonl"]


def test_merged_with_other_pairs(world, tmp_path, capsys):
    alone = run(world, tmp_path, "--top_k=2")
    first = tmp_path / "first.pkl"
    plain = {key: alone[key][:1] for key in ("text_embeddings", "visual_embeddings")}
    dump_pickle({**plain, "mineclip_hash": alone["mineclip_hash"]}, first)
    both = run(world, tmp_path, "--top_k=2", f"--merge_with={first}")
    assert found(both) == [("", "", -1), *found(alone)]
    assert "5 pairs, with the 1 of" in capsys.readouterr().out
    # Merging twice adds nothing.
    (tmp_path / "out" / "mined.pkl").rename(first)
    assert found(run(world, tmp_path, "--top_k=2", f"--merge_with={first}")) == found(both)
    dump_pickle({**plain, "mineclip_hash": "another"}, first)
    with pytest.raises(SystemExit):
        run(world, tmp_path, f"--merge_with={first}")
    message = capsys.readouterr().err
    assert "the hash another" in message
    assert alone["mineclip_hash"] in message


def test_the_same_again_and_from_a_sampling(world, tmp_path):
    one = run(world, tmp_path)
    bytes_of = [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]
    assert found(run(world, tmp_path)) == found(one)
    assert [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())] == bytes_of
    (tmp_path / "s_train.txt").write_text(f"{world / 'episodes' / 'b'}\n")
    (tmp_path / "s_val.txt").write_text(f"{world / 'episodes' / 'a'}\n")
    data = run(world, tmp_path, "--sampling=s", f"--sampling_dir={tmp_path}")
    assert set(data["episodes"]) == {"b"}


def test_a_single_instruction_goes_by_its_cosine(world, tmp_path, capsys):
    data = run(world, tmp_path, "--instructions=look at the sky", "--top_k=1")
    assert found(data)[0][0] == SKY
    assert "probability" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(world, tmp_path, "--instructions=look at the sky", "--score=relative")
    assert "give two or more, or --score cosine" in capsys.readouterr().err


def test_letters_that_the_font_lacks(world, tmp_path):
    data = run(world, tmp_path, "--top_k=1", instructions=("挖一个洞", SKY))
    assert data["texts"] == ["挖一个洞", SKY]
    assert cv2.imread(str(tmp_path / "out" / "mined_picks.png")) is not None


# ---- what is refused ----


def test_another_mineclip_is_refused_with_both_names(world, tmp_path, capsys):
    torch.manual_seed(1)
    other = MineCLIP({**PRESETS["tiny"], "embed_dim": WIDTH})
    save_mineclip(other, tmp_path / "other.pth")
    flag = f"--mineclip_weights={tmp_path / 'other.pth'}"
    message = fails(capsys, world, tmp_path, 1, flag)
    for said in (
        tensors_hash(other),
        tensors_hash(load_mineclip(world / "m.pth")),
        "other.pth",
        "episodes/a",
    ):
        assert said in message
    assert run(world, tmp_path, flag, "--allow_other_mineclip")["mineclip_hash"] == tensors_hash(other)


def test_embeddings_of_another_width(world, tmp_path, capsys):
    save_mineclip(MineCLIP({**PRESETS["tiny"], "embed_dim": 4}), tmp_path / "narrow.pth")
    message = fails(
        *(capsys, world, tmp_path, 1, f"--mineclip_weights={tmp_path / 'narrow.pth'}"),
        "--allow_other_mineclip",
    )
    assert "embeddings of width 8" in message
    assert "makes 4" in message


def test_nothing_to_choose_from(world, tmp_path, capsys):
    made_by = tensors_hash(load_mineclip(world / "m.pth"))
    make_episode(tmp_path / "short" / "e", 15, mineclip_hash=made_by)
    assert "none of the 1 episodes has 16 frames" in fails(
        capsys, world, tmp_path, 1, f"--episodes_dir={tmp_path / 'short'}"
    )
    (tmp_path / "none").mkdir()
    assert "no episode was found" in fails(capsys, world, tmp_path, 1, f"--episodes_dir={tmp_path / 'none'}")
    assert "holds no instruction" in fails(capsys, world, tmp_path, 1, instructions=())


def test_all_mistakes_of_flags_at_once(world, tmp_path, capsys):
    message = fails(
        *(capsys, world, tmp_path, 2, "--instructions=a,b", "--instructions_file=no.txt", "--top_k=0"),
        *("--min_distance=-1", "--sampling=s", "--temperature=0", "--merge_with=no.pkl", "--episodes_dir=no"),
    )
    for said in (
        *("either --instructions or", "either --episodes_dir or --sampling", "--instructions_file no.txt"),
        *(
            "--top_k 0",
            "--min_distance -1",
            "--temperature 0",
            "--merge_with no.pkl",
            "--episodes_dir no does not exist",
        ),
    ):
        assert said in message

"""MineCLIP against recorded runs of the published model, its names and shapes, and frame-wise embedding."""

import json

import cv2
import numpy as np
import pytest
import torch
from conftest import assert_close
from hypothesis import given
from hypothesis import strategies as st

from steve1.cli import UserError
from steve1.config import FIRST_EMBED, MINECLIP_CONFIG
from steve1.mineclip import FrameEmbedder, MineCLIP, embed, embed_frames
from steve1.mineclip.tokenizer import END, START, misread, tokenize

TINY = {
    "resolution": [32, 48],
    "patch_size": 16,
    "vision_width": 64,
    "vision_layers": 2,
    "vision_heads": 2,
    "embed_dim": 32,
    "context_length": 77,
    "vocab_size": 100,
    "text_width": 32,
    "text_layers": 2,
    "text_heads": 4,
    "temporal_layers": 2,
    "temporal_heads": 4,
    "temporal_head_dim": 64,
    "max_frames": 32,
    "window": 16,
}


@pytest.fixture(scope="module")
def recorded(vectors):
    return np.load(vectors / "mineclip_tiny.npz")


@pytest.fixture(scope="module")
def mineclip(recorded):
    mineclip = MineCLIP(TINY)
    weights = {k[2:]: torch.from_numpy(recorded[k]) for k in recorded.files if k.startswith("w.")}
    mineclip.load_state_dict(weights)
    return mineclip.eval()


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def frames(count, height=36, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_both_encoders_match_the_recorded_run(recorded, mineclip):
    video = torch.from_numpy(recorded["video"])
    assert_close(mineclip.forward_image_features(video), recorded["image_features"])
    features = torch.from_numpy(recorded["image_features"])
    assert_close(mineclip.forward_video_features(features), recorded["video_embed"])
    assert_close(mineclip.encode_video(video), recorded["video_embed"])
    assert_close(mineclip.encode_text(torch.from_numpy(recorded["tokens"])), recorded["text_embed"])


def test_a_text_alone_is_as_in_a_batch(recorded, mineclip):
    # The shorter text is cut off elsewhere when the longer one is absent.
    tokens = torch.from_numpy(recorded["tokens"][:1])
    assert_close(mineclip.encode_text(tokens), recorded["text_embed"][:1])


def test_names_and_shapes_are_the_published_ones(vectors):
    published = json.loads((vectors / "mineclip_attn_keys.json").read_text())
    with torch.device("meta"):
        ours = {name: list(t.shape) for name, t in MineCLIP(MINECLIP_CONFIG).state_dict().items()}
    places = {
        "image_encoder.": (
            "image_encoder.",
            "clip_model.vision_model.",
            "reward_head.clip_model.vision_model.",
        ),
        "text_model.": ("clip_model.text_model.", "reward_head.clip_model.text_model."),
        "temporal_encoder.": ("temporal_encoder.",),
    }
    expected = {
        "model." + name.replace(part, place, 1): shape
        for name, shape in ours.items()
        for part, part_places in places.items()
        if name.startswith(part)
        for place in part_places
    }
    unused = {name for name in published if "video_adapter" in name or "residual" in name or "scale" in name}
    assert expected == {name: shape for name, shape in published.items() if name not in unused}


def test_initial_weights_follow_torchs_seed_and_have_sensible_size():
    def fresh():
        torch.manual_seed(3)
        return MineCLIP({**TINY, "vocab_size": 49408})

    first, second = fresh(), fresh()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    images = first.forward_image_features(torch.from_numpy(frames(8, 32, 48)).permute(0, 3, 1, 2))
    texts = first.encode_text(["dig", "swim", "chop a tree"])
    for outputs in (images, texts):
        assert 0.3 < outputs.std() < 3
        assert (outputs[0] - outputs[1]).norm() > 1e-2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": [30, 48]}, "resolution"),
        ({"resolution": 32}, "resolution"),
        ({"text_heads": 5}, "text_heads 5"),
        ({"vision_heads": 0}, "vision_heads 0"),
        ({"window": 33}, "max_frames"),
        ({"vision_width": "64"}, "vision_width '64'"),
    ],
)
def test_impossible_configurations_are_explained(change, words):
    with pytest.raises(UserError, match=words):
        MineCLIP({**TINY, **change})


def test_a_lacking_key_is_named():
    with pytest.raises(UserError, match="lacks patch_size, text_width"):
        MineCLIP({k: v for k, v in TINY.items() if k not in ("patch_size", "text_width")})


def test_wrong_inputs_are_explained(mineclip):
    with pytest.raises(ValueError, match=r"3, 32, 48"):
        mineclip.forward_image_features(torch.zeros(1, 3, 48, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="uint8"):
        mineclip.forward_image_features(torch.zeros(1, 3, 32, 48))
    with pytest.raises(ValueError, match="frame features"):
        mineclip.forward_video_features(torch.zeros(1, 33, 32))
    with pytest.raises(ValueError, match="frame features"):
        mineclip.forward_video_features(torch.zeros(16, 32))
    with pytest.raises(ValueError, match="integers"):
        mineclip.encode_text(torch.zeros(1, 77))
    with pytest.raises(UserError, match="vocab_size"):
        mineclip.encode_text(["dig"])


def test_tokens_are_clips(vectors):
    for case in json.loads((vectors / "clip_tokens.json").read_text()):
        tokens = tokenize([case["text"]])[0]
        ids = case["ids"]
        assert tokens.shape == (77,)
        assert tokens[: len(ids)].tolist() == ids, case["text"]
        assert not tokens[len(ids) :].any()


@given(st.lists(st.text(), max_size=4), st.integers(3, 77))
def test_any_text_has_one_start_and_one_end(texts, length):
    tokens = tokenize(texts, length)
    assert tokens.shape == (len(texts), length)
    for row in tokens:
        assert row[0] == START
        assert row.tolist().count(END) == 1
        assert not row[row.argmax() + 1 :].any()


def test_white_space_and_case_do_not_matter():
    assert torch.equal(tokenize(["Chop a\n tree "]), tokenize(["chop  a tree"]))


def whole_windows(mineclip, pictures):
    """The plain way: resize, then each window of 16 frames on its own."""
    height, width = mineclip.config["resolution"]
    small = np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_LINEAR) for f in pictures])
    video = torch.from_numpy(small).permute(0, 3, 1, 2)
    return np.concatenate([mineclip.encode_video(video[t - 15 : t + 1][None]) for t in range(15, len(small))])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_embed_frames_equals_encoding_every_window(mineclip, batch_size):
    pictures = frames(41)
    embeds = embed_frames(mineclip, iter(pictures), batch_size)
    assert embeds.dtype == np.float32
    assert embeds.shape == (41, 32)
    assert np.isnan(embeds[:FIRST_EMBED]).all()
    assert_close(embeds[FIRST_EMBED:], whole_windows(mineclip, pictures), 1e-5)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("deep", [False, True])
def test_in_bf16_as_on_a_gpu_embeddings_keep_their_direction(mineclip, monkeypatch, deep):
    """The recorded weights, and twelve layers of random ones: on a CPU, whose autocast rounds where a GPU's does."""
    if deep:
        torch.manual_seed(0)
        mineclip = MineCLIP({**TINY, "vision_layers": 12, "patch_size": 8}).eval()
    pictures = frames(24)
    plain = embed_frames(mineclip, pictures)
    # A recording's frames look alike, and what tells their embeddings apart has to be kept too.
    assert cosines(plain[15:-1], plain[16:]).max() > 0.9
    monkeypatch.setattr(embed, "takes_bf16", lambda device: True)
    precision = torch.get_float32_matmul_precision()
    half = embed_frames(mineclip, pictures)
    assert torch.get_float32_matmul_precision() == precision
    assert half.dtype == np.float32
    assert not np.array_equal(half[15:], plain[15:])
    assert cosines(half[15:], plain[15:]).min() > 0.999
    assert np.isnan(half[:15]).all()


def test_on_a_cpu_and_on_old_cards_embeddings_are_float32(monkeypatch):
    for capability, bf16 in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert embed.takes_bf16(torch.device("cuda")) is bf16
        assert not embed.takes_bf16(torch.device("cpu"))


@pytest.mark.parametrize("count", [0, 1, 15])
def test_too_few_frames_for_a_window_give_nan_rows(mineclip, count):
    embeds = embed_frames(mineclip, frames(count), 4)
    assert embeds.shape == (count, 32)
    assert np.isnan(embeds).all()


def test_one_window_is_enough(mineclip):
    embeds = embed_frames(mineclip, frames(16), 5)
    assert np.isnan(embeds[:15]).all()
    assert not np.isnan(embeds[15]).any()


def test_each_frame_is_encoded_once_and_a_batch_at_a_time(mineclip, monkeypatch):
    sizes = []
    forward = mineclip.image_encoder.forward
    monkeypatch.setattr(mineclip.image_encoder, "forward", lambda x: sizes.append(len(x)) or forward(x))
    embed_frames(mineclip, frames(50), 16)
    assert sizes == [16, 16, 16, 2]


def test_a_frame_buffer_may_be_reused(mineclip):
    pictures = frames(20, 32, 48)  # already at the model's size, so that nothing forces a copy
    embedder = FrameEmbedder(mineclip, 8)
    buffer = np.empty_like(pictures[0])
    for picture in pictures:
        buffer[:] = picture
        embedder.add(buffer)
    np.testing.assert_array_equal(embedder.finish(), embed_frames(mineclip, pictures, 8))


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), "u1"), np.zeros((4, 4, 4), "u1"), np.zeros((4, 4, 3), "f4")]
)
def test_frames_of_another_kind_are_refused(mineclip, bad):
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        embed_frames(mineclip, [bad], 4)


def test_what_is_cut_off_and_what_is_not_latin_is_said_in_a_sentence_each():
    assert misread("look at the sky, café olé 🌳 “½”") == []
    words = " ".join(f"word{i}" for i in range(60))  # two tokens each
    (cut,) = misread(words)
    kept = cut.rpartition("cut off is “")[2].removesuffix("”")
    assert words.endswith(kept)
    assert 0 < len(kept) < len(words)
    assert torch.equal(tokenize([words]), tokenize([words.removesuffix(kept)]))
    assert misread(words, context_length=200) == []
    assert "(Cyrillic)" in misread("копай вниз")[0]
    assert "(Chinese, Hiragana)" in misread("天空を見る")[0]
    assert len(misread("天空 " * 40)) == 2

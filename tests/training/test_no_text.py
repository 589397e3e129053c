"""The policy is trained without a text: labels and wordings reach MineCLIP's training and the prior's alone."""

import json
import shutil
import sys

import pytest
from conftest import assert_equal_weights
from tiny_agent import make_models

from blockworld.players.wordings import HELD_OUT_WORDINGS, WORDINGS
from data.generation import convert_from_contractor, record_blockworld
from data.sampling import generate_sampling
from training import train

FRAMES = 70
_opened: list[str] | None = None


def _note(event, args):
    if event == "open" and _opened is not None:
        _opened.append(str(args[0]))


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Recordings with their labels, as the quickstart makes them, with what scripts 1 and 2 make of them."""
    root = tmp_path_factory.mktemp("walk")
    recordings, episodes, samplings = root / "recordings", root / "episodes", root / "samplings"
    record_blockworld.main(
        [
            *("--output_dir", str(recordings), "--num_recordings", "2", "--workers", "1"),
            *("--frames_per_recording", str(FRAMES), "--behaviours", "sky,inventory"),
        ]
    )
    make_models(root)
    convert_from_contractor.main(
        [
            *("--local_dir", str(recordings), "--output_dir", str(episodes), "--num_episodes", "0"),
            *("--min_timesteps", "40", "--mineclip_weights", str(root / "mineclip.pt"), "--workers", "1"),
        ]
    )
    generate_sampling.main(
        [
            *("--type", "custom", "--name", "tiny", "--dataset_dirs", str(episodes), "--val_frames", "0"),
            *("--T", "16", "--output_dir", str(samplings)),
        ]
    )
    return root


def test_episodes_and_lists_carry_no_wording(walked):
    texts = {text for table in (WORDINGS, HELD_OUT_WORDINGS) for some in table.values() for text in some}
    labels = "".join(path.read_text() for path in (walked / "recordings" / "labels").iterdir())
    assert any(text in labels for text in texts)
    files = [path for name in ("episodes", "samplings") for path in (walked / name).rglob("*")]
    contents = {path: path.read_bytes() for path in files if path.is_file()}
    assert len(contents) > 4
    for path, content in contents.items():
        assert b'"label"' not in content, path
        assert not [text for text in texts if text.encode() in content], path


def test_training_is_the_same_to_the_bit_whatever_is_said_about_the_recordings(walked, flags, tmp_path):
    labels, mine = walked / "recordings" / "labels", tmp_path / "labels"
    shutil.copytree(labels, mine)
    sys.addaudithook(_note)

    def trained(name):
        global _opened
        out, _opened = tmp_path / name / "out.weights", []
        train.main(
            [
                *flags,
                *("--sampling_dir", str(walked / "samplings"), "--T", "16", "--n_frames", "64"),
                *("--warmup_frames", "16", "--min_btwn_goals", "5", "--max_btwn_goals", "20"),
                *("--val_freq", "0", "--val_freq_begin", "0", "--out_weights", str(out)),
                *("--checkpoint_dir", str(tmp_path / name / "ck"), "--log_dir", str(tmp_path / name)),
            ]
        )
        opened, _opened = _opened, None
        assert any("samplings" in path for path in opened)  # the hook sees what is opened
        assert not [path for path in opened if "labels" in path or "wordings.json" in path]
        return out

    before = trained("with")
    try:
        for path in labels.iterdir():
            path.write_text("not a label\n")
        garbled = trained("garbled")
        shutil.rmtree(labels)
        without = trained("without")
        # An episode of one's own may carry a sentence for the prior.
        for path in (walked / "episodes").glob("*/metadata.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "label": "look at the sky"}))
        labelled = trained("labelled")
    finally:
        shutil.rmtree(labels, ignore_errors=True)
        shutil.copytree(mine, labels)
    for other in (garbled, without, labelled):
        assert_equal_weights(before, other)

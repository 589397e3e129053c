import json

import numpy as np
import pytest
import torch
from tiny_recordings import number_of, numbered_frame

from data.generation.label_with_idm import label_frames, load_idm
from steve1.vpt.actions import BIN_ANGLES, BUTTONS


class Echo(torch.nn.Module):
    """Answers with the frame's number in the buttons' bits and with where in the window it stood."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.windows = []

    def predict(self, img):
        numbers = [number_of(frame) for frame in img[0].numpy()]
        self.windows.append((numbers[0], len(numbers)))
        bits = torch.tensor([[number >> bit & 1 for bit in range(20)] for number in numbers])
        where = torch.arange(len(numbers)) * 11 // len(numbers)
        return {"buttons": bits[None], "camera": torch.stack([where, where], 1)[None]}, None


@pytest.mark.parametrize("n", [0, 1, 5, 15, 16, 17, 23, 24, 25, 60, 64])
def test_every_frame_is_labelled_once_from_the_middle_of_a_window(n):
    idm = Echo()
    actions = label_frames(idm, (numbered_frame(i, 90, 160) for i in range(n)), window=16)
    numbers = sum(actions[key] << bit for bit, key in enumerate(BUTTONS))
    np.testing.assert_array_equal(numbers, np.arange(n))
    assert actions["camera"].shape == (n, 2)
    # The centre half of a window of 16 are its frames 4..11; bins count elevenths of the window.
    place = np.searchsorted(BIN_ANGLES, actions["camera"][4 : max(n - 12, 4), 0])
    assert ((place >= 4 * 11 // 16) & (place <= 11 * 11 // 16)).all()
    assert not actions["ESC"].any()
    starts = [start for start, _ in idm.windows]
    assert starts == sorted(set(starts))
    if n >= 16:
        assert all(length == 16 for _, length in idm.windows)


def test_a_saved_model_labels_as_recorded(tmp_path, vectors):
    recorded = np.load(vectors / "idm_tiny.npz")
    arguments = {
        "net": {"args": json.loads(str(recorded["idm_net_kwargs.json"]))},
        "pi_head_opts": json.loads(str(recorded["pi_head_kwargs.json"])),
    }
    (tmp_path / "idm.json").write_text(json.dumps({"model": {"args": arguments}}))
    weights = {name[2:]: torch.from_numpy(recorded[name]) for name in recorded.files if name.startswith("w.")}
    torch.save(weights, tmp_path / "idm.weights")
    idm = load_idm(tmp_path / "idm.json", tmp_path / "idm.weights")
    actions = label_frames(idm, recorded["img"][0])
    for column, key in enumerate(BUTTONS):
        np.testing.assert_array_equal(actions[key], recorded["buttons"][0, :, column])
    np.testing.assert_array_equal(actions["camera"], BIN_ANGLES[recorded["camera"][0]])

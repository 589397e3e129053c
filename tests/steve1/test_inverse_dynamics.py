"""The inverse dynamics model against a recorded run of the published one."""

import json

import numpy as np
import torch
from conftest import assert_close

from steve1.inverse_dynamics import InverseActionPolicy


def test_labels_and_log_probs_match(vectors):
    recorded = np.load(vectors / "idm_tiny.npz")
    model = InverseActionPolicy(
        json.loads(str(recorded["idm_net_kwargs.json"])), json.loads(str(recorded["pi_head_kwargs.json"]))
    )
    model.load_state_dict(
        {k[2:]: torch.from_numpy(recorded[k]) for k in recorded.files if k.startswith("w.")}
    )
    actions, log_probs = model.eval().predict(torch.from_numpy(recorded["img"]))
    assert_close(log_probs["buttons"], recorded["buttons_logp"])
    assert_close(log_probs["camera"], recorded["camera_logp"])
    np.testing.assert_array_equal(actions["buttons"], recorded["buttons"])
    np.testing.assert_array_equal(actions["camera"], recorded["camera"])


def test_names_and_shapes_are_those_of_the_published_checkpoint(vectors):
    net_kwargs = json.loads(str(np.load(vectors / "idm_tiny.npz")["idm_net_kwargs.json"]))
    net_kwargs.update(
        hidsize=4096,
        attention_heads=32,
        impala_width=16,
        impala_chans=[16, 32, 32],
        n_recurrence_layers=2,
        timesteps=128,
        attention_memory_size=128,
        img_shape=[128, 128, 128],
        conv3d_params={**net_kwargs["conv3d_params"], "outchan": 128},
    )
    with torch.device("meta"):
        model = InverseActionPolicy(net_kwargs, {"temperature": 2.0})
    ours = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == json.loads((vectors / "idm_4x_keys.json").read_text())

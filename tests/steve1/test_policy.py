"""The policy against recorded runs of the published network, and the properties that training relies on."""

import json

import numpy as np
import pytest
import torch
from conftest import assert_close

from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
from steve1.embed_conditioned_policy import MinecraftAgentPolicy, _sample, guide
from steve1.vpt.recurrence import RecurrentBlocks, detach_state, map_state

EVERY_37TH = slice(None, None, 37)  # the vectors keep every 37th of the 8641 button log-probs


@pytest.fixture(scope="module", params=["policy_transformer", "policy_lstm"])
def recorded(request, vectors):
    return np.load(vectors / f"{request.param}.npz")


@pytest.fixture
def policy(recorded):
    policy = MinecraftAgentPolicy(
        json.loads(str(recorded["policy_kwargs.json"])), json.loads(str(recorded["pi_head_kwargs.json"]))
    )
    weights = {k[2:]: torch.from_numpy(recorded[k]) for k in recorded.files if k.startswith("w.")}
    policy.load_state_dict(weights)
    return policy.eval()


def chunk(recorded, n):
    obs = {name: torch.from_numpy(recorded[f"c{n}.{name}"]) for name in ("img", "mineclip_embed")}
    actions = {name: torch.from_numpy(recorded[f"c{n}.{name}"]) for name in ("buttons", "camera")}
    return obs, torch.from_numpy(recorded[f"c{n}.first"]), actions


def test_four_chunks_with_carried_and_wiped_memory_match(recorded, policy):
    state = policy.initial_state(2)
    for n in range(4):
        obs, first, actions = chunk(recorded, n)
        (log_probs, value), state = policy(obs, first, state)
        state = detach_state(state)
        log_prob = policy.log_prob(log_probs, actions)
        loss = -log_prob.mean()
        policy.zero_grad()
        loss.backward()
        gradients = [p.grad.norm() for p in policy.parameters() if p.grad is not None]
        assert_close(log_probs["camera"], recorded[f"c{n}.out.camera"])
        assert_close(log_probs["buttons"][..., EVERY_37TH], recorded[f"c{n}.out.buttons"])
        assert_close(log_prob, recorded[f"c{n}.out.logp"])
        assert_close(value, recorded[f"c{n}.out.value"])
        assert_close(loss, recorded[f"c{n}.out.loss"])
        assert_close(torch.stack(gradients).norm(), recorded[f"c{n}.out.total_grad_norm"])


def test_every_parameter_that_the_loss_reaches_gets_the_recorded_gradient(recorded, policy):
    obs, first, actions = chunk(recorded, 0)
    (log_probs, _), _ = policy(obs, first, policy.initial_state(2))
    (-policy.log_prob(log_probs, actions).mean()).backward()
    norms = {name: p.grad.norm().item() for name, p in policy.named_parameters() if p.grad is not None}
    expected = json.loads(str(recorded["grad_norms.json"]))
    assert set(norms) == set(expected)
    names = sorted(expected)
    assert_close(np.array([norms[n] for n in names]), [expected[n] for n in names])


def test_guided_deterministic_acting_matches(recorded, policy):
    state = policy.initial_state(2)
    for n in range(3):
        obs = {name: torch.from_numpy(recorded[f"cfg{n}.{name}"]) for name in ("img", "mineclip_embed")}
        actions, state, log_probs = policy.act(
            obs, torch.zeros(1, dtype=torch.bool), state, stochastic=False, cond_scale=6.0
        )
        assert_close(log_probs["camera"], recorded[f"cfg{n}.out.camera"])
        assert_close(log_probs["buttons"][:, EVERY_37TH], recorded[f"cfg{n}.out.buttons"])
        assert actions["buttons"].tolist() == recorded[f"cfg{n}.out.action_buttons"].tolist()
        assert actions["camera"].tolist() == recorded[f"cfg{n}.out.action_camera"].tolist()


def test_guidance_is_exactly_the_formula():
    conditional, unconditional = torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -0.5])
    assert torch.equal(guide(conditional, unconditional, 6.0), 7 * conditional - 6 * unconditional)


@pytest.mark.parametrize("scale", [None, 0, 0.0])
def test_no_scale_means_no_guidance_and_a_state_of_as_many_rows(recorded, policy, scale):
    obs = {name: torch.from_numpy(recorded[f"cfg0.{name}"]) for name in ("img", "mineclip_embed")}
    first = torch.ones(1, dtype=torch.bool)
    _, state, log_probs = policy.act(obs, first, policy.initial_state(1), stochastic=False, cond_scale=scale)
    chunked = {name: value[:, None] for name, value in obs.items()}
    with torch.no_grad():
        (expected, _), _ = policy(chunked, first[:, None], policy.initial_state(1))
    torch.testing.assert_close(log_probs["buttons"], expected["buttons"][:, 0])
    assert state[0][0].shape[0] == 1


def test_a_row_samples_the_same_actions_whatever_else_is_in_the_batch(recorded, policy):
    obs, _, _ = chunk(recorded, 0)
    frames = {"img": obs["img"][:, 0], "mineclip_embed": obs["mineclip_embed"][:, 0]}

    def sample(rows):
        generators = [torch.Generator().manual_seed(10 + row) for row in rows]
        first = torch.ones(len(rows), dtype=torch.bool)
        picked = {name: value[rows] for name, value in frames.items()}
        return policy.act(picked, first, policy.initial_state(len(rows)), generator=generators)[0]

    together = sample([0, 1])
    for row in (0, 1):
        alone = sample([row])
        assert alone["buttons"].item() == together["buttons"][row].item()
        assert alone["camera"].item() == together["camera"][row].item()


def test_sampling_follows_the_distribution(recorded, policy):
    obs, _, _ = chunk(recorded, 0)
    n = 4000
    frames = {name: value[:1, 0].expand(1, *value.shape[2:]) for name, value in obs.items()}
    state = policy.initial_state(1)
    _, _, log_probs = policy.act(frames, torch.ones(1, dtype=torch.bool), state, stochastic=False)
    drawn = _sample(log_probs["camera"].expand(n, -1), torch.Generator().manual_seed(0))
    frequency = torch.bincount(drawn, minlength=121) / n
    probability = log_probs["camera"][0].exp()
    assert (frequency - probability).abs().max() < 4 * (0.25 / n) ** 0.5


def test_names_and_shapes_are_those_of_the_published_checkpoint(vectors):
    with torch.device("meta"):
        policy = MinecraftAgentPolicy(POLICY_2X_KWARGS, PI_HEAD_KWARGS)
    ours = {name: list(tensor.shape) for name, tensor in policy.state_dict().items()}
    assert ours == json.loads((vectors / "policy_2x_keys.json").read_text())
    assert len(ours) == 136
    assert sum(tensor.numel() for tensor in policy.state_dict().values()) == 249_545_918


SMALL = {
    "hidsize": 32,
    "img_shape": [16, 16, 3],
    "impala_width": 1,
    "impala_chans": [4, 4, 4],
    "impala_kwargs": {"post_pool_groups": 1},
    "init_norm_kwargs": {"batch_norm": False, "group_norm_groups": 1},
    "n_recurrence_layers": 2,
    "attention_heads": 2,
    "attention_memory_size": 12,
    "timesteps": 4,
    "mineclip_embed_dim": 8,
    "use_pre_lstm_ln": False,
}
CARRYING = ["transformer", "multi_layer_lstm", "multi_masked_lstm"]


def small_policy(recurrence_type, seed=0, **changes):
    torch.manual_seed(seed)
    return MinecraftAgentPolicy(
        {**SMALL, "recurrence_type": recurrence_type, **changes}, {"temperature": 2.0}
    )


def random_obs(batch, time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "img": torch.randint(0, 256, (batch, time, 16, 16, 3), dtype=torch.uint8, generator=generator),
        "mineclip_embed": torch.randn(batch, time, 8, generator=generator),
    }


def pieces(obs, *bounds):
    return [
        {name: value[:, begin:end] for name, value in obs.items()}
        for begin, end in zip((0, *bounds), (*bounds, obs["img"].shape[1]), strict=True)
    ]


@pytest.mark.parametrize("kind", CARRYING)
def test_pieces_with_carried_memory_give_what_the_whole_gives(kind):
    policy = small_policy(kind)
    obs = random_obs(2, 11)
    first = torch.zeros(2, 11, dtype=torch.bool)
    with torch.no_grad():
        (whole, _), _ = policy(obs, first, policy.initial_state(2))
        state, parts = policy.initial_state(2), []
        for piece in pieces(obs, 4, 5, 9):
            (log_probs, _), state = policy(piece, first[:, : piece["img"].shape[1]], state)
            parts.append(log_probs["camera"])
    torch.testing.assert_close(torch.cat(parts, dim=1), whole["camera"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [*CARRYING, "multi_layer_bilstm", "none"])
def test_first_wipes_that_row_alone(kind):
    policy = small_policy(kind)
    before, after = random_obs(2, 4, seed=1), random_obs(2, 4, seed=2)
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    first = nothing.clone()
    first[0, 0] = True
    with torch.no_grad():
        _, state = policy(before, nothing, policy.initial_state(2))
        (wiped, _), state_after = policy(after, first, state)
        (kept, _), _ = policy(after, nothing, state)
        (fresh, _), _ = policy(after, nothing, policy.initial_state(2))
        # Later chunks do not see the wiped past either.
        (later, _), _ = policy(before, nothing, state_after)
        _, fresh_state = policy(after, nothing, policy.initial_state(2))
        (later_fresh, _), _ = policy(before, nothing, fresh_state)
    torch.testing.assert_close(wiped["camera"][0], fresh["camera"][0])
    torch.testing.assert_close(wiped["camera"][1], kept["camera"][1])
    torch.testing.assert_close(later["camera"][0], later_fresh["camera"][0])
    if kind != "none":
        assert (wiped["camera"][1] - fresh["camera"][1]).abs().max() > 1e-5


def test_a_masked_lstm_honours_first_at_any_frame():
    policy = small_policy("multi_masked_lstm")
    obs = random_obs(2, 9)
    first = torch.zeros(2, 9, dtype=torch.bool)
    first[1, 5] = True
    with torch.no_grad():
        (masked, _), _ = policy(obs, first, policy.initial_state(2))
        tail = {name: value[:, 5:] for name, value in obs.items()}
        (alone, _), _ = policy(tail, first[:, :4] & False, policy.initial_state(2))
        (unmasked, _), _ = policy(obs, first & False, policy.initial_state(2))
    torch.testing.assert_close(masked["camera"][1, 5:], alone["camera"][1])
    torch.testing.assert_close(masked["camera"][0], unmasked["camera"][0])


def test_a_transformer_refuses_first_within_a_chunk():
    policy = small_policy("transformer")
    first = torch.zeros(1, 4, dtype=torch.bool)
    first[0, 2] = True
    with pytest.raises(ValueError, match="first"):
        policy(random_obs(1, 4), first, policy.initial_state(1))


def test_attention_sees_exactly_the_last_maxlen_frames():
    torch.manual_seed(0)
    blocks = RecurrentBlocks(
        16, 1, attention_heads=2, attention_memory_size=8, timesteps=4, use_pointwise_layer=False
    )
    x = torch.randn(1, 10, 16, requires_grad=True)
    y, _ = blocks(x, torch.zeros(1, 10, dtype=torch.bool), blocks.initial_state(1, x.device))
    for query in range(10):
        (gradient,) = torch.autograd.grad(y[0, query].square().sum(), x, retain_graph=True)
        seen = (gradient[0].abs().sum(-1) > 0).nonzero().flatten().tolist()
        assert seen == list(range(max(0, query - 3), query + 1))


def test_the_bidirectional_lstm_looks_ahead_in_its_second_block():
    policy = small_policy("multi_layer_bilstm")
    obs, first = random_obs(1, 5), torch.zeros(1, 5, dtype=torch.bool)
    with torch.no_grad():
        (base, _), _ = policy(obs, first, policy.initial_state(1))
        obs["img"][:, -1] = 255 - obs["img"][:, -1]
        (changed, _), _ = policy(obs, first, policy.initial_state(1))
    assert (base["camera"][0, 0] - changed["camera"][0, 0]).abs().max() > 0


def test_initial_weights_have_the_published_scales():
    policy = small_policy("transformer", hidsize=64)
    net, block = policy.net, policy.net.recurrent_layer.blocks[0]
    scale = 2**-0.5 * 2**-0.5  # two blocks, with a pointwise layer
    rows = {
        1.0: [net.img_process.cnn.stacks[0].firstconv, net.img_process.linear, net.lastlayer, block.mlp0],
        1.4: [net.img_process.cnn.dense],
        (3**0.5 / 2**0.5) ** 0.5: [net.img_process.cnn.stacks[1].blocks[0].conv1],
        scale: [block.mlp1],
    }
    attention = block.r.orc_block
    layers = [(size, module.layer) for size, modules in rows.items() for module in modules]
    layers += [(0.1, attention.q_layer), (0.2, attention.k_layer), (0.1, attention.r_layer)]
    layers += [(scale**0.5, attention.v_layer), (scale**0.5, attention.proj_layer)]
    for size, layer in layers:
        norms = layer.weight.flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.full_like(norms, size))
        assert layer.bias is None or not layer.bias.any()
    lstm = small_policy("multi_layer_lstm", hidsize=64).net.recurrent_layer.blocks[0].r
    assert lstm.weight_ih_l0.std().item() == pytest.approx(scale / 256**0.5, rel=0.05)
    assert not lstm.bias_ih_l0.any()


@pytest.mark.parametrize("kind", ["transformer", "multi_layer_lstm", "none"])
def test_blocks_without_residuals_replace_what_they_are_given(kind):
    """``recurrence_is_residual`` False: no scale by the number of blocks, and nothing is added but within attention."""
    plain = small_policy(kind, hidsize=64, recurrence_is_residual=False).net.recurrent_layer
    block = plain.blocks[0]
    norms = block.mlp1.layer.weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    if kind == "multi_layer_lstm":
        assert block.r.weight_ih_l0.std().item() == pytest.approx(1 / 256**0.5, rel=0.05)

    x, first = torch.randn(2, 3, 64), torch.zeros(2, 3, dtype=torch.bool)
    state = plain.initial_state(2, x.device)[0]
    y = block.pre_r_ln(x)
    if kind == "transformer":
        y, _ = block.r(y, first, state)
    elif kind == "multi_layer_lstm":
        y, _ = block.r(y)
    torch.testing.assert_close(block(x, first, state)[0], block.mlp1(block.mlp0(y)))


def test_frames_of_another_size_are_refused_with_both_sizes():
    policy = small_policy("transformer")
    obs = random_obs(1, 2)
    obs["img"] = obs["img"][:, :, :8]
    with pytest.raises(ValueError, match=r"\(8, 16, 3\).*\(16, 16, 3\)"):
        policy(obs, torch.zeros(1, 2, dtype=torch.bool), policy.initial_state(1))


def test_half_precision_runs_close_to_full(recorded, policy):
    obs, first, actions = chunk(recorded, 0)
    with torch.no_grad():
        (full, _), _ = policy(obs, first, policy.initial_state(2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (half, _), half_state = policy(obs, first, policy.initial_state(2))
            policy(obs, first, map_state(torch.clone, half_state))
    expected, got = policy.log_prob(full, actions).mean(), policy.log_prob(half, actions).mean()
    assert half["buttons"].dtype == torch.float32
    assert abs(got - expected) < 0.02 * abs(expected)

"""One pass of a policy over episodes: what it finds, what it leaves behind, and going on with it."""

import numpy as np
import pytest
import torch
from tiny_agent import TINY_POLICY

from data.EpisodeStorage import EpisodeStorage
from data.generation import mark_boundaries
from data.generation.mark_boundaries import main, surprise
from data.minecraft_dataset import resized
from steve1.checkpoints import load_model_file, save_weights, tensors_hash
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.vpt.actions import BUTTONS, env_to_agent

N, TURN = 150, 70
NAMES = ("a", "b", "c")


def actions(n=N, turn=TURN):
    """Walking, then attacking from frame ``turn`` on."""
    pressed = {name: np.zeros(n, np.int64) for name in BUTTONS}
    pressed["forward"][:turn] = 1
    pressed["attack"][turn:] = 1
    return {**pressed, "camera": np.zeros((n, 2))}


def policy(seed, **changes):
    """One that expects walking and nothing else."""
    kwargs, head = load_model_file(TINY_POLICY)
    torch.manual_seed(seed)
    made = MinecraftAgentPolicy({**kwargs, **changes}, head).eval()
    walking = env_to_agent({name: values[:1] for name, values in actions().items()})
    for name in ("buttons", "camera"):
        getattr(made.pi_head, name).linear_layer.bias.data[int(walking[name][0])] += 40
    return made


def write(path, **metadata):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, size=(N, 128, 128, 3), dtype=np.uint8)
    EpisodeStorage.write(path, frames, actions(), np.zeros((N, 8)), metadata)
    return path


@pytest.fixture
def place(tmp_path):
    for name in NAMES:
        write(tmp_path / "episodes" / name, **({"cuts": [40]} if name == "b" else {}))
    (tmp_path / "s_train.txt").write_text("".join(f"{tmp_path / 'episodes' / name}\n" for name in "ab"))
    (tmp_path / "s_val.txt").write_text(f"{tmp_path / 'episodes' / 'c'}\n")
    save_weights(policy(0), tmp_path / "p.weights")
    save_weights(policy(1, mineclip_embed_dim=0), tmp_path / "vpt.weights")
    return tmp_path


@pytest.fixture
def run(place):
    def marking(*more, weights="p", workers=1):
        mark_boundaries.loaded.cache_clear()
        files = ["--in_model", str(TINY_POLICY), "--in_weights", str(place / f"{weights}.weights")]
        sampling = ["--sampling", "s", "--sampling_dir", str(place)]
        main([*sampling, *files, "--workers", str(workers), *more])

    return marking


def marks(place, name):
    return EpisodeStorage(place / "episodes" / name).load_boundaries()


def test_the_change_is_found_and_noted(place, run, capsys):
    run()
    for name in NAMES:
        found = marks(place, name)
        assert found.frames.tolist() == [TURN - 1]
        assert found.policy == tensors_hash(policy(0))
        assert found.nll[:TURN].max() < 1 < 10 < found.nll[TURN:].min()
        assert EpisodeStorage(place / "episodes" / name).validate(deep=True) == []
    said = capsys.readouterr().out
    assert "3 episodes of 450 frames: 3 boundaries, one every 150 frames" in said
    run("--replace")
    assert "3 of 3 episodes are marked already" in capsys.readouterr().out


def test_the_pass_is_what_the_policy_says_frame_by_frame(place):
    """Across chunks of 128 and the cut at 40, with the memory of play; and without a goal layer as with none."""
    episode = EpisodeStorage(place / "episodes" / "b")
    frames, taken = torch.from_numpy(episode.load_frames()), env_to_agent(episode.load_actions())
    for made in (policy(0), policy(1, mineclip_embed_dim=0)):
        small = torch.from_numpy(resized(frames.numpy(), (32, 32)))
        memory, wanted = made.initial_state(1), []
        for t in range(N):
            obs = {"img": small[t][None], "mineclip_embed": torch.zeros(1, made.net.mineclip_embed_dim)}
            first = torch.tensor([t in (0, 40)])
            log_probs, _, memory = made.consider(obs, first, memory)
            wanted.append(-sum(float(log_probs[name][0, taken[name][t]]) for name in ("buttons", "camera")))
        np.testing.assert_allclose(surprise(made, episode), wanted, rtol=1e-4, atol=1e-4)


def test_it_goes_on_where_it_was_stopped(place, run, monkeypatch):
    true, seen = mark_boundaries.surprise, []

    def stopping(policy, episode):
        seen.append(episode.dirpath.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return true(policy, episode)

    monkeypatch.setattr(mark_boundaries, "surprise", stopping)
    with pytest.raises(SystemExit) as leave:
        run()
    assert leave.value.code == 130
    assert [EpisodeStorage(place / "episodes" / name).has_boundaries() for name in NAMES] == [
        True,
        False,
        False,
    ]
    run()
    assert seen == ["a", "b", "b", "c"]
    (place / "episodes" / "c" / "goal_boundaries.npz").write_bytes(b"torn")
    run()
    assert seen[4:] == ["c"]
    assert not [path for path in (place / "episodes").rglob("*") if path.name.startswith(".")]


def test_marks_of_others_are_not_mixed_in_silence(place, run, monkeypatch, capsys):
    run()
    for flags in (["--threshold", "5"], ["--min_length", "20"]):
        with pytest.raises(SystemExit):
            run(*flags)
        assert "3 of 3 episodes are marked by another policy or rule" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(weights="vpt")
    assert "--replace True" in capsys.readouterr().err
    first = marks(place, "a")
    monkeypatch.setattr(mark_boundaries, "surprise", None)  # another rule needs no other look
    run("--threshold", "50", "--replace")
    assert marks(place, "a").frames.tolist() == []
    assert marks(place, "a").nll.tobytes() == first.nll.tobytes()
    monkeypatch.undo()
    run("--replace", weights="vpt")
    assert marks(place, "a").policy == tensors_hash(policy(1, mineclip_embed_dim=0))
    assert marks(place, "a").frames.tolist() == [TURN - 1]


def test_workers_change_nothing(place, run):
    run()
    alone = {name: (place / "episodes" / name / "goal_boundaries.npz").read_bytes() for name in NAMES}
    for name in NAMES:
        (place / "episodes" / name / "goal_boundaries.npz").unlink()
    run(workers=2)
    assert {n: (place / "episodes" / n / "goal_boundaries.npz").read_bytes() for n in NAMES} == alone


def test_mistakes_in_the_flags_are_listed_together(place, capsys):
    with pytest.raises(SystemExit) as leave:
        main(["--in_weights", str(place / "no.weights"), "--threshold", "0", "--min_length", "0"])
    assert leave.value.code == 2
    said = capsys.readouterr().err
    for part in ("either --sampling or --episodes_dir", "--in_model is needed", "no.weights does not exist"):
        assert part in said
    assert "--threshold 0" in said
    assert "--min_length 0" in said
    (place / "empty").mkdir()
    files = ["--in_model", str(TINY_POLICY), "--in_weights", str(place / "p.weights")]
    with pytest.raises(SystemExit):
        main([*files, "--episodes_dir", str(place / "empty")])
    assert "no episode was found" in capsys.readouterr().err

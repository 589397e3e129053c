"""Mixed-agent episodes: VPT as it is, what is stored, crashing worlds, and going on after SIGKILL."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from minerl_standin import use_standin
from tiny_agent import TINY_POLICY, PictureWorld
from tiny_mishaps import World, content, kill, killed
from tiny_recordings import make_mineclip

import steve1.envs
from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation import gen_mixed_agents
from data.generation.gen_mixed_agents import load_agent, main
from steve1.checkpoints import load_model_file, save_weights, tensors_hash
from steve1.cli import UserError
from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import game_python
from steve1.mineclip.embed import embed_frames
from steve1.MineRLConditionalAgent import AgentBatch
from steve1.streams import torch_stream

N = 40
FAST = ("--switch_agent_prob", "1/8", "--perform_spin_prob", "1/12")


def policy(seed, **changes):
    kwargs, head = load_model_file(TINY_POLICY)
    torch.manual_seed(seed)
    return MinecraftAgentPolicy({**kwargs, **changes}, head).eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two VPT files, which have no goal layer, and a MineCLIP; the flags that name them."""
    folder = tmp_path_factory.mktemp("models")
    save_weights(policy(0, mineclip_embed_dim=0), folder / "foundation.weights")
    save_weights(policy(1, mineclip_embed_dim=0), folder / "rl-from-foundation.weights")
    return {
        "in_model": TINY_POLICY,
        "in_weights_a": folder / "foundation.weights",
        "in_weights_b": folder / "rl-from-foundation.weights",
        "mineclip_weights": make_mineclip(folder / "mineclip.pth"),
    }


@pytest.fixture(autouse=True)
def world(monkeypatch):
    monkeypatch.setattr(steve1.envs, "make_env", lambda name, **_: World())
    World.made, World.crashes, World.length_of = 0, {}, {}
    return World


def flags(models, output, *more, n=3):
    files = {**models, "output_dir": output, "max_timesteps": N, "min_timesteps": 20, "num_episodes": n}
    return [*(f"--{name}={value}" for name, value in files.items()), "--batch_size=8", *FAST, *more]


@pytest.fixture(scope="module")
def played(models, tmp_path_factory):
    """Three episodes, made in one go."""
    output = tmp_path_factory.mktemp("played") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steve1.envs, "make_env", lambda name, **_: World())
        main(flags(models, output))
    return output


# ---- the agents ----


def test_a_vpt_file_acts_as_a_policy_whose_goal_layer_is_zero(models):
    ours = load_agent(TINY_POLICY, models["in_weights_a"])
    zero = policy(7)
    missing = zero.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all("mineclip_embed_linear" in name for name in missing.missing_keys)
    torch.nn.init.zeros_(zero.net.mineclip_embed_linear.weight)
    torch.nn.init.zeros_(zero.net.mineclip_embed_linear.bias)
    img = torch.randint(256, (2, 8, 32, 32, 3), dtype=torch.uint8)
    first = torch.zeros(2, 8, dtype=torch.bool)
    with torch.no_grad():
        (a, a_value), _ = ours(
            {"img": img, "mineclip_embed": torch.zeros(2, 8, 0)}, first, ours.initial_state(2)
        )
        (b, b_value), _ = zero(
            {"img": img, "mineclip_embed": torch.randn(2, 8, 8)}, first, zero.initial_state(2)
        )
    for name in ("buttons", "camera"):
        assert torch.equal(a[name], b[name])
    assert torch.equal(a_value, b_value)


def test_weights_with_a_goal_layer_play_without_a_goal(models, tmp_path, capsys):
    theirs = policy(3)
    save_weights(theirs, tmp_path / "steve1.weights")
    ours = load_agent(TINY_POLICY, tmp_path / "steve1.weights")
    assert tensors_hash(ours) == tensors_hash(theirs)
    assert "plays without a goal" in capsys.readouterr().out
    main(flags({**models, "in_weights_a": tmp_path / "steve1.weights"}, tmp_path / "out", n=1))
    assert len(find_episodes(tmp_path / "out")) == 1


# ---- what is stored ----


def test_episodes_hold_what_was_played(played, models):
    policies = [load_agent(TINY_POLICY, models[f"in_weights_{x}"]) for x in "ab"]
    for index, path in enumerate(find_episodes(played)):
        episode = EpisodeStorage(path)
        assert path.name == f"mixed_s0_w0_{index:05d}"
        assert episode.validate(deep=True) == []
        assert len(episode) == N
        its = episode.metadata
        actions = episode.load_actions()
        camera = actions.pop("camera")

        # Play it again by hand, from what the metadata says alone.
        noise = torch_stream("mixed agents", 0, index, 0)
        agents = [AgentBatch(one, [noise]) for one in policies]
        env = PictureWorld()
        env.seed(its["world_seed"])
        obs, frames, who = env.reset(), [], its["first_agent"]
        switches = {switch["frame"]: switch["to"] for switch in its["switches"]}
        spins = [range(s["frame"], s["frame"] + s["frames"]) for s in its["spins"]]
        for t in range(N):
            if t in switches or t in {span.stop for span in spins}:
                who = switches.get(t, who)
                agents[who].reset(0)
            frames.append(obs["pov"])
            if any(t in span for span in spins):
                assert not any(values[t] for values in actions.values())
                assert camera[t, 0] == 0
                assert 20 <= abs(camera[t, 1]) <= 30
                action = {**dict.fromkeys(actions, 0), "camera": camera[t].astype(np.float32)}
            else:
                action = agents[who].act([obs["pov"]], np.zeros((1, 0), np.float32))[0]
                assert all(values[t] == action[key] for key, values in actions.items())
                np.testing.assert_array_equal(camera[t], action["camera"])
            obs = env.step(action)[0]
        for spin, span in zip(its["spins"], spins, strict=True):
            assert camera[span.start : span.stop, 1].sum() == pytest.approx(spin["degrees"], abs=1e-3)
        shown = [np.asarray(episode_frame(frame)) for frame in frames]
        np.testing.assert_array_equal(episode.load_frames(), np.stack(shown))
        from steve1.checkpoints import load_mineclip

        expected = embed_frames(load_mineclip(models["mineclip_weights"]), frames, 8)
        np.testing.assert_array_equal(episode.load_embeds_attn(), expected)
    assert its["settings"]["agents"][1] == {
        "weights": "rl-from-foundation.weights",
        "hash": tensors_hash(policies[1]),
        "tuned": True,
    }


def episode_frame(pov):
    import cv2

    return cv2.resize(pov, (128, 128), interpolation=cv2.INTER_LINEAR)


def test_the_episodes_had_something_to_show(played):
    """What the test above compares by hand did occur."""
    all_of = [EpisodeStorage(path).metadata for path in find_episodes(played)]
    assert sum(len(its["switches"]) for its in all_of) > 3
    assert sum(len(its["spins"]) for its in all_of) > 3
    assert len({its["world_seed"] for its in all_of}) == 3


# ---- going on ----


def test_an_episode_depends_on_its_number_alone(played, models, tmp_path, capsys):
    for worker in (1, 0):
        main(flags(models, tmp_path / "out", "--num_workers=2", f"--worker_id={worker}"))
    assert content(tmp_path / "out") == content(played)
    shutil.rmtree(tmp_path / "out" / "mixed_s0_w0_00001")
    capsys.readouterr()
    main(flags(models, tmp_path / "out"))
    assert content(tmp_path / "out") == content(played)
    assert "2 were there already" in capsys.readouterr().out
    main(flags(models, tmp_path / "out", "--seed=1", n=1))
    one, other = (EpisodeStorage(tmp_path / "out" / f"mixed_s{s}_w0_00000") for s in (0, 1))
    assert not np.array_equal(one.load_actions()["camera"], other.load_actions()["camera"])


@pytest.mark.parametrize("moment", ["step", "before metadata", "after metadata"])
def test_killed_at_any_moment_only_whole_episodes_are_left_and_a_second_run_finishes(
    played, models, tmp_path, moment
):
    def die_at_a_step():
        step, steps = World.step, 0

        def counted(self, action):
            nonlocal steps
            steps += 1
            if moment == "step" and steps == N + 17:
                kill()
            return step(self, action)

        World.step = counted

    argv = flags(models, tmp_path / "out")
    killed(lambda: main(argv), moment, die_at_a_step)
    (left,) = find_episodes(tmp_path / "out")
    assert content(left) == content(played / left.name)
    main(argv)
    assert content(tmp_path / "out") == content(played)


def test_other_settings_are_refused(played, models, tmp_path, capsys):
    shutil.copytree(played, tmp_path / "out")
    for more, said in (
        (["--max_timesteps=50"], "max_timesteps"),
        ([f"--in_weights_b={models['in_weights_a']}"], "agents"),
    ):
        with pytest.raises(SystemExit) as left:
            main(flags(models, tmp_path / "out", *more))
        assert left.value.code == 1
        assert f"other settings ({said})" in capsys.readouterr().err
    assert content(tmp_path / "out") == content(played)


# ---- worlds that end or crash ----


def test_the_default_pair_plays(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STEVE1_DATA_ROOT", str(tmp_path))
    vpt = tmp_path / "weights" / "vpt"
    vpt.mkdir(parents=True)
    (vpt / "2x.model").write_bytes(pickle.dumps(json.loads(TINY_POLICY.read_text())))
    shutil.copy(models["in_weights_a"], vpt / "foundation-model-2x.weights")
    shutil.copy(models["in_weights_b"], vpt / "rl-from-foundation-2x.weights")
    sizes = ["--max_timesteps", str(N), "--min_timesteps", "20", "--num_episodes", "1"]
    main([*sizes, "--mineclip_weights", str(models["mineclip_weights"]), "--batch_size", "8"])
    (path,) = find_episodes(tmp_path / "dataset_mixed_agents")
    assert len(EpisodeStorage(path)) == N


def test_a_crash_costs_the_rest_of_its_episode_only(played, models, tmp_path, world, capsys):
    world.crashes = {0: 30, 1: 5}
    main(flags(models, tmp_path / "out"))
    out = capsys.readouterr().out
    kept, whole = find_episodes(tmp_path / "out")
    assert (kept.name, whole.name) == ("mixed_s0_w0_00000", "mixed_s0_w0_00002")
    episode, uncut = EpisodeStorage(kept), EpisodeStorage(played / kept.name)
    assert len(episode) == 30
    assert episode.validate(deep=True) == []
    assert episode.metadata["ended"] == "the world was lost: EOFError: the Java process died"
    np.testing.assert_array_equal(episode.load_frames(), uncut.load_frames(0, 30))
    np.testing.assert_array_equal(episode.load_actions()["camera"], uncut.load_actions(0, 30)["camera"])
    assert all(switch["frame"] < 30 for switch in episode.metadata["switches"])
    assert content(whole) == content(played / whole.name)
    assert "mixed_s0_w0_00001: passed over, too short: 5 frames are left of it, 20 are needed" in out
    assert "episodes passed over: 1, too short" in out
    assert "a world did not close" in out
    assert world.made == 3  # one to begin with, and one after each crash
    main(flags(models, tmp_path / "out"))
    second = tmp_path / "out" / "mixed_s0_w0_00001"
    assert content(second) == content(played / second.name)


def test_a_world_that_ends_by_itself(models, tmp_path, world, capsys):
    world.length_of = {0: 25, 1: 10}
    main(flags(models, tmp_path / "out", n=2))
    (episode,) = find_episodes(tmp_path / "out")
    assert len(EpisodeStorage(episode)) == 25
    assert EpisodeStorage(episode).metadata["ended"] == "the world ended it"
    assert (
        "10 frames are left of it, 20 are needed (--min_timesteps); the world ended it"
        in capsys.readouterr().out
    )
    assert world.made == 1


def test_worlds_that_crash_again_and_again_end_the_run(models, tmp_path, world, capsys):
    world.crashes = dict.fromkeys(range(9), 3)
    with pytest.raises(SystemExit) as left:
        main(flags(models, tmp_path / "out", n=9))
    assert left.value.code == 1
    assert (
        "5 worlds in a row were lost, the last one so: the world was lost: EOFError"
        in capsys.readouterr().err
    )
    assert not find_episodes(tmp_path / "out")


def test_a_world_that_says_it_is_broken_is_lost(models, tmp_path, world, monkeypatch):
    step = world.step

    def broken(self, action):
        obs, reward, done, _ = step(self, action)
        return (
            obs,
            reward,
            done or len(self.actions) == 31,
            {"error": "malmo"} if len(self.actions) == 31 else {},
        )

    monkeypatch.setattr(world, "step", broken)
    main(flags(models, tmp_path / "out", n=1))
    episode = EpisodeStorage(tmp_path / "out" / "mixed_s0_w0_00000")
    assert len(episode) == 30
    assert episode.metadata["ended"] == "the world was lost: malmo"


def test_what_the_user_must_mend_ends_the_run(models, tmp_path, world, monkeypatch, capsys):
    def reset(self):
        raise UserError("this MineRL is not 1.0; install that")

    monkeypatch.setattr(world, "reset", reset)
    with pytest.raises(SystemExit) as left:
        main(flags(models, tmp_path / "out"))
    assert left.value.code == 1
    assert capsys.readouterr().err == "error: this MineRL is not 1.0; install that\n"
    assert world.made == 1


def test_minerl_dies_within_an_episode(models, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    game_python._ask.cache_clear()
    standin = use_standin(monkeypatch, tmp_path)
    standin.tell(0, step={"26": "exit"})
    main(flags(models, tmp_path / "out", "--env=minerl", n=2))
    cut, whole = (EpisodeStorage(path) for path in find_episodes(tmp_path / "out"))
    assert len(cut) < N == len(whole)
    assert cut.validate(deep=True) == whole.validate(deep=True) == []
    assert cut.metadata["ended"].startswith("the world was lost: ")
    assert whole.metadata["settings"]["env"] == "minerl"


def test_nothing_long_enough(models, tmp_path, world, capsys):
    world.length_of = {0: 3}
    with pytest.raises(SystemExit) as left:
        main(flags(models, tmp_path / "out", n=1))
    assert left.value.code == 1
    assert "no episode was made" in capsys.readouterr().err


# ---- the world that is there, and flags ----


def test_in_blockworld(models, tmp_path, monkeypatch):
    monkeypatch.undo()
    main(flags(models, tmp_path / "out", "--env=blockworld", "--env_seed=5", "--frame_format=mp4", n=1))
    episode = EpisodeStorage(tmp_path / "out" / "mixed_s0_w5_00000")
    assert episode.validate(deep=True) == []
    assert episode.metadata["settings"]["env"] == "blockworld"
    assert episode.metadata["session"] == "blockworld 5"
    json.dumps(episode.metadata)


def test_all_mistakes_of_flags_at_once(models, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(
            flags(
                {**models, "in_weights_b": "nowhere.weights"},
                tmp_path / "out",
                *("--switch_agent_prob=2", "--perform_spin_prob=-1", "--min_timesteps=50", "--worker_id=1"),
                "--env_seed=-1",
                n=0,
            )
        )
    assert left.value.code == 2
    message = capsys.readouterr().err
    for said in (
        *(
            "--in_weights_b nowhere.weights",
            "--switch_agent_prob 2",
            "--perform_spin_prob -1",
            "--env_seed -1",
        ),
        *("--min_timesteps 50 is above --max_timesteps 40", "--worker_id 1", "--num_episodes 0"),
    ):
        assert said in message
    assert not (tmp_path / "out").exists()


def test_mineclip_of_another_make_is_refused(played, models, tmp_path, capsys):
    other = make_mineclip(tmp_path / "other.pth", seed=1)
    with pytest.raises(SystemExit):
        main(flags({**models, "mineclip_weights": other}, played))
    assert "another MineCLIP" in capsys.readouterr().err
    assert gen_mixed_agents.MAX_LOST_IN_A_ROW == 5


def test_without_its_goal_layer_the_published_policy_has_vpts_tensors(vectors):
    named = json.loads((vectors / "policy_2x_keys.json").read_text())
    with torch.device("meta"):
        vpt = MinecraftAgentPolicy({**POLICY_2X_KWARGS, "mineclip_embed_dim": 0}, PI_HEAD_KWARGS)
    ours = {name: list(tensor.shape) for name, tensor in vpt.state_dict().items()}
    assert ours == {name: shape for name, shape in named.items() if "mineclip_embed_linear" not in name}
    assert sum(tensor.numel() for tensor in vpt.state_dict().values()) == 248_495_294

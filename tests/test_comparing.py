"""run_agent measuring: two weights side by side, seed lists, sweeps, visual prompts, scores, repeating to the bit."""

import hashlib
import json
from functools import partial

import numpy as np
import pytest
import tiny_agent
import torch
from tiny_agent import TINY_POLICY, WIDTH, PictureWorld, load_script, make_models, picture_worlds, records
from tiny_episodes import make_episode

from data.video import decode
from steve1.checkpoints import dump_pickle, load_model_file, save_weights
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs.spaces import noop_action

run_agent = load_script("run_agent.py")
run, failure = partial(tiny_agent.film, run_agent), partial(tiny_agent.failure, run_agent)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Weights of the same architecture that play otherwise."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("other") / "baseline.weights"
    save_weights(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)), path)
    return path


@pytest.fixture
def worlds(monkeypatch):
    return picture_worlds(monkeypatch)


def test_both_weights_play_the_same_seeds_into_one_video(models, other, worlds, tmp_path, capsys):
    flags = ("--custom_text_prompt", "go", "--num_seeds", "2")
    run(models, tmp_path / "pair", *flags, "--compare_weights", str(other), "--no_goal", "--num_envs", "2")
    assert len(worlds) == 4
    assert all(world.closed for world in worlds)
    paired = records(tmp_path / "pair")
    assert set(paired) == {
        f"{name}_baseline_vs_policy_seed{seed}" for name in ("go_text", "no_goal") for seed in (0, 1)
    }
    run(models, tmp_path / "mine", *flags)
    run([*models[:3], str(other), *models[4:]], tmp_path / "theirs", *flags)
    for seed in (0, 1):
        sides = paired[f"go_text_baseline_vs_policy_seed{seed}"]
        alone = [records(tmp_path / folder)[f"go_text_seed{seed}"][0] for folder in ("theirs", "mine")]
        assert [side.about["label"] for side in sides] == ["baseline", "policy"]
        assert [side.decides for side in sides] == [one.decides for one in alone]
        assert [side.measured for side in sides] == [one.measured for one in alone]
        assert sides[0].measured["actions_hash"] != sides[1].measured["actions_hash"]
        joined = np.array(list(decode(tmp_path / "pair" / f"go_text_baseline_vs_policy_seed{seed}.mp4")))
        halves = joined[:, 30:390, :640], joined[:, 30:390, 648:]
        for half, folder in zip(halves, ("theirs", "mine"), strict=True):
            single = np.array(list(decode(tmp_path / folder / f"go_text_seed{seed}.mp4")))[:, :360]
            assert half.shape == single.shape
            assert np.abs(half.astype(int) - single).mean() < 6  # each was encoded by itself
        labels = joined[:, :30]
        assert labels[:, :, :640].max() > 200 < labels[:, :, 648:].max()
    said = capsys.readouterr().out
    assert "baseline" in said
    assert "policy" in said


def test_both_halves_run_to_the_longer(models, other, monkeypatch, tmp_path, capsys):
    lengths = iter([2, 4])
    monkeypatch.setattr(
        "steve1.envs.make_env", lambda name, seed=None, minerl_python=None: PictureWorld(next(lengths))
    )
    run(models, tmp_path, "--custom_text_prompt", "go", "--compare_weights", str(other))
    (sides,) = records(tmp_path).values()
    assert [side.measured["frames"] for side in sides] == [2, 4]
    frames = [f.astype(int) for f in decode(next(tmp_path.glob("*.mp4")))]
    assert len(frames) == 4
    left = [frame[30:390, :640].mean() for frame in frames]
    assert left[3] == pytest.approx(left[1] / 2, rel=0.1)
    assert frames[3][:30, :640].sum() > frames[1][:30, :640].sum()  # "(ended)"


def test_a_comparison_is_skipped_when_it_exists(models, other, worlds, tmp_path, capsys):
    flags = ("--custom_text_prompt", "go", "--compare_weights", str(other))
    run(models, tmp_path, *flags)
    before = len(worlds)
    run(models, tmp_path, *flags, "--report", str(tmp_path / "report.html"))
    said = capsys.readouterr().out
    assert "0 videos made, 1 were there" in said
    assert len(worlds) == before
    report = json.loads((tmp_path / "report.json").read_text())
    assert [agent["label"] for agent in report["agents"]] == ["baseline", "policy"]
    assert len(report["groups"]) == 2
    run(
        [*models[:2], "--in_weights", str(other), *models[4:]],
        tmp_path,
        *flags[:2],
        "--compare_weights",
        models[3],
    )
    assert "0 were there" in capsys.readouterr().out


def test_weights_of_another_architecture_are_refused(models, tmp_path, capsys):
    kwargs, head = load_model_file(TINY_POLICY)
    save_weights(MinecraftAgentPolicy({**kwargs, "n_recurrence_layers": 2}, head), tmp_path / "small.weights")
    code, said = failure(
        capsys,
        *(*models, "--custom_text_prompt", "go", "--save_dirpath", str(tmp_path / "films")),
        *("--compare_weights", str(tmp_path / "small.weights")),
    )
    assert code == 1
    assert "small.weights does not fit" in said
    assert "Traceback" not in said
    assert not (tmp_path / "films").exists()


def test_the_evaluation_seeds_are_played_in_order(models, worlds, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "steve1.playing.rollout.AgentBatch.act", lambda self, povs, goals: [noop_action() for _ in povs]
    )
    run(models, tmp_path, "--custom_text_prompt", "go", "--seeds", "evaluation", "--num_seeds", "2")
    played = records(tmp_path)
    assert set(played) == {f"go_text_seed{2_000_000 + i}_s{2_100_000 + i}" for i in (0, 1)}
    (one,) = played["go_text_seed2000001_s2100001"]
    assert (one.decides["world_seed"], one.decides["sampling_seed"]) == (2_000_001, 2_100_001)
    assert one.about["seeds"] == "steve1-evaluation-1, the first 2 of 32"
    assert worlds[0]._seed == 2_000_001


def test_the_sampling_seed_decides_the_actions_and_the_prior_and_not_the_world(models, worlds, tmp_path):
    (tmp_path / "seeds.json").write_text(
        json.dumps({"name": "two", "seeds": [{"world": 3, "sampling": 3}, {"world": 3, "sampling": 4}]})
    )
    flags = ("--custom_text_prompt", "go", "--gameplay_length", "30")
    run(models, tmp_path / "a", *flags, "--seeds", str(tmp_path / "seeds.json"), "--num_envs", "2")
    run(models, tmp_path / "b", *flags, "--seed", "3")
    same, otherwise = (list(decode(tmp_path / "a" / f"go_text_{name}.mp4")) for name in ("seed3", "seed3_s4"))
    alone = list(decode(tmp_path / "b" / "go_text_seed3.mp4"))
    assert np.array_equal(same, alone)
    first = np.abs(same[0].astype(int) - otherwise[0]).mean()
    assert first < 2 < np.abs(np.array(same[10:]).astype(int) - np.array(otherwise[10:])).mean()


def test_a_sweep_plays_every_scale(models, worlds, tmp_path, monkeypatch, capsys):
    scales = []

    def act(self, povs, goals):
        scales.append(self.cond_scale)
        return [noop_action() for _ in povs]

    monkeypatch.setattr("steve1.playing.rollout.AgentBatch.act", act)
    flags = ("--custom_text_prompt", "go", "--cond_scale", "0,2,4.5", "--no_goal", "--gameplay_length", "1")
    run(models, tmp_path, *flags, "--report", str(tmp_path / "report.html"))
    assert scales == [None, 2.0, 4.5, None]
    assert set(records(tmp_path)) == {
        *(f"go_text_scale{scale}_seed0" for scale in ("0", "2", "4.5")),
        "no_goal_seed0",
    }
    assert "guidance" in capsys.readouterr().out
    assert ">Guidance<" in (tmp_path / "report.html").read_text()


def test_visual_prompts_from_pickles_and_from_episodes(models, worlds, tmp_path, monkeypatch):
    episode = make_episode(tmp_path / "walk", 40)
    dump_pickle(np.full((1, WIDTH), 2, np.float32), tmp_path / "mine.pkl")
    dump_pickle(np.full((1, WIDTH), 3, np.float32), tmp_path / "sky.pkl")
    played = []

    def act(self, povs, goals):
        played.append((self.cond_scale, goals[0].tolist()))
        return [noop_action() for _ in povs]

    monkeypatch.setattr("steve1.playing.rollout.AgentBatch.act", act)
    run(
        models,
        tmp_path / "films",
        *("--visual_prompt", f"{episode}:17", str(tmp_path / "mine.pkl"), "sky", "--gameplay_length", "1"),
        *("--visual_prompts_dir", str(tmp_path), "--custom_text_prompt", "go"),
    )
    assert [scale for scale, _ in played] == [6.0, 7.0, 7.0, 7.0]
    assert [goal for _, goal in played[1:]] == [[value] * WIDTH for value in (17.0, 2.0, 3.0)]
    assert set(records(tmp_path / "films")) == {
        "go_text_seed0",
        "walk_frame_17_visual_seed0",
        "mine_visual_seed0",
        "sky_visual_seed0",
    }


def test_bad_visual_prompts(models, worlds, tmp_path, capsys):
    episode = make_episode(tmp_path / "walk", 40)
    foreign = make_episode(tmp_path / "foreign", 40, mineclip_hash="c0ffee" * 10)
    (tmp_path / "code.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/measure_pwned'\ntR.")
    dump_pickle(np.ones((1, WIDTH + 1), np.float32), tmp_path / "wide.pkl")
    code, said = failure(capsys, *models, "--visual_prompt", "sky", "none.pkl", f"{tmp_path}/none:20")
    assert code == 2
    for part in (
        "--visual_prompt sky:",
        "sky.pkl does not exist",
        "none.pkl is no file",
        "no episode folder",
    ):
        assert part in said
    for prompt, part in (
        (f"{episode}:14", "has no embedding; an episode's first is that of frame 15"),
        (f"{episode}:40", "the episode has frames 0 to 39"),
        (f"{foreign}:20", "trained with another MineCLIP"),
        (f"{tmp_path}/code.pkl", "code.pkl"),
        (f"{tmp_path}/wide.pkl", f"holds {WIDTH + 1} numbers"),
    ):
        code, said = failure(
            capsys, *models, "--visual_prompt", prompt, "--save_dirpath", str(tmp_path / "films")
        )
        assert code == 1
        assert part in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert not (tmp_path / "films").exists()


def test_scores_are_noted_and_the_text_is_embedded_once(models, other, worlds, tmp_path, monkeypatch):
    from steve1.mineclip import MineCLIP

    texts = []
    encode = MineCLIP.encode_text
    monkeypatch.setattr(
        MineCLIP, "encode_text", lambda self, given: texts.append(given) or encode(self, given)
    )
    flags = ("--custom_text_prompt", "go", "--no_goal", "--num_seeds", "2", "--gameplay_length", "24")
    run(models, tmp_path, *flags, "--score_every", "4", "--compare_weights", str(other))
    assert texts == [["go"]]
    played = records(tmp_path)
    for side in played["go_text_baseline_vs_policy_seed1"]:
        scores, measures = side.measured["scores"], side.measured["measures"]
        assert scores["frames"] == [15, 19, 23]
        assert measures["mineclip_score"] == pytest.approx(np.mean(scores["cosines"]))
        assert measures["mineclip_best"] == max(scores["cosines"])
    for side in played["no_goal_baseline_vs_policy_seed1"]:
        assert side.measured["scores"] is None
        assert side.measured["measures"]["mineclip_score"] is None


@pytest.mark.parametrize("how", [["--deterministic"], []])
def test_a_run_repeats_to_the_bit(models, other, tmp_path, how):
    """In BlockWorld: the same videos, notes, page and figures, twice."""
    flags = (
        "--env",
        "blockworld",
        "--custom_text_prompt",
        "go",
        "--gameplay_length",
        "24",
        "--seed",
        "9",
        *how,
    )
    flags += ("--compare_weights", str(other), "--score_every", "8")
    hashes = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        run(models, folder, *flags, "--report", str(folder / "report.html"))
        (video,) = folder.glob("*.mp4")
        pictures = hashlib.sha256(b"".join(frame.tobytes() for frame in decode(video))).hexdigest()
        files = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
        }
        hashes.append({"pictures": pictures, **files})
        assert len(files) == 4
    assert hashes[0] == hashes[1]


def test_all_mistakes_of_the_new_flags_are_listed(models, tmp_path, capsys):
    code, said = failure(
        capsys,
        *(*models, "--compare_weights", models[3], "--measures", "logs_held,fun", "--report", "page.pdf"),
        *("--seeds", "evaluation", "--seed", "3", "--score_every", "-1", "--report_embed_mb", "-1"),
        *("--cond_scale", "2,-1"),
    )
    assert code == 2
    for part in (
        "are the same file",
        "--measures fun: choose from logs_held",
        "--report page.pdf must end in .html",
        "--seed and --seeds were both given",
        "--score_every -1 is below 0",
        "--report_embed_mb -1",
        "--cond_scale -1.0 is below 0",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("flags", "code", "part"),
    [
        (["--precision", "fp16"], 2, "--precision fp16 needs a GPU"),
        (["--device", "cuda:77"], 2, "--device cuda:77 can't be used here"),
        (["--cond_scale", "2,many"], 2, "'many' is not a number"),
        (["--seeds", "none.json"], 1, "--seeds none.json is no file"),
        (["--compare_weights", "none.weights"], 2, "none.weights does not exist"),
    ],
)
def test_other_mistakes(models, tmp_path, capsys, flags, code, part):
    argv = [
        *models,
        "--device",
        "cpu",
        "--custom_text_prompt",
        "go",
        "--save_dirpath",
        str(tmp_path / "films"),
    ]
    found, said = failure(capsys, *argv, *flags)
    assert found == code
    assert part in said
    assert not (tmp_path / "films").exists()

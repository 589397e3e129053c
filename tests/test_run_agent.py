"""run_agent end to end on tiny models: films, counts, skipping, refusals."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_agent
import torch
from conftest import VECTORS
from tiny_agent import WIDTH, PictureWorld, load_script, make_models, picture_worlds, records

import blockworld
from data.video import decode, video_info
from steve1.checkpoints import dump_pickle, load_model_file, save_weights
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs.spaces import noop_action
from steve1.playing.episode import read_episodes
from steve1.playing.measures import MEASURES
from steve1.playing.prompts import PUBLISHED_PROMPTS

ROOT = Path(__file__).parents[1]
run_agent = load_script("run_agent.py")
run, failure = partial(tiny_agent.film, run_agent), partial(tiny_agent.failure, run_agent)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def worlds(monkeypatch):
    return picture_worlds(monkeypatch)


def test_an_episode_in_blockworld(models, tmp_path, capsys):
    prompt = "look at the sky"
    run(models, tmp_path, "--env", "blockworld", "--custom_text_prompt", prompt, "--seed", "7")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "look_at_the_sky_text_seed7.json",
        "look_at_the_sky_text_seed7.mp4",
    ]
    video = tmp_path / "look_at_the_sky_text_seed7.mp4"
    frames = list(decode(video))
    info = video_info(video)
    assert (len(frames), info.fps, info.width) == (5, 20, 640)
    picture, strip = np.split(frames[0], [360])
    assert strip.min() < 20
    assert strip.max() > 200
    assert picture.std() > 20
    (episode,) = read_episodes(video.with_suffix(".json"))
    decides = episode.decides
    assert (decides["prompt"], decides["world_seed"], decides["cond_scale"]) == (prompt, 7, 6.0)
    assert (decides["world"], decides["world_version"]) == ("blockworld", blockworld.VERSION)
    hashes = {name: value for name, value in decides.items() if name.endswith("_hash")}
    assert hashes.pop("score_hash") is None
    assert len(hashes) == 5
    assert all(len(value) == 64 for value in hashes.values())
    assert len(set(hashes.values())) == 5
    assert episode.film == video
    assert (episode.measured["frames"], episode.measured["lost"]) == (5, None)
    assert len(episode.measured["actions_hash"]) == 64
    assert set(episode.measured["measures"]) == set(MEASURES)
    said = capsys.readouterr().out
    assert "looking_up" in said
    assert "logs_held (logs)" in said


def test_films_play_in_browsers(models, worlds, tmp_path):
    import av

    run(models, tmp_path, "--custom_text_prompt", "go")
    video = tmp_path / "go_text_seed0.mp4"
    with av.open(str(video)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    content = video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_worlds_side_by_side_play_as_one_after_the_other(models, worlds, tmp_path):
    flags = ("--custom_text_prompt", "go", "stay", "--num_seeds", "2")
    run(models, tmp_path / "one", *flags)
    run(models, tmp_path / "three", *flags, "--num_envs", "3")
    assert len(worlds) == 1 + 3
    assert all(world.closed for world in worlds)
    films = sorted(path.name for path in (tmp_path / "one").glob("*.mp4"))
    assert len(films) == 4
    for name in films:
        ours, theirs = (list(decode(tmp_path / folder / name)) for folder in ("one", "three"))
        assert np.array_equal(ours, theirs)


def test_the_published_prompts_text_and_visual(models, worlds, tmp_path, monkeypatch):
    (tmp_path / "visual").mkdir()
    dump_pickle(np.ones((1, WIDTH), np.float32), tmp_path / "visual" / "sky.pkl")
    played = []

    def act(self, povs, goals):
        played.append((self.cond_scale, goals))
        return [noop_action() for _ in povs]

    monkeypatch.setattr("steve1.playing.rollout.AgentBatch.act", act)
    run(
        models,
        tmp_path / "films",
        *("--visual_prompts_dir", str(tmp_path / "visual"), "--no_goal", "--num_envs", "11"),
        *("--gameplay_length", "1"),
    )
    names = {path.stem for path in (tmp_path / "films").glob("*.mp4")}
    assert names == {f"{name}_text_seed0" for name in PUBLISHED_PROMPTS} | {
        "sky_visual_seed0",
        "no_goal_seed0",
    }
    text, visual, baseline = played
    assert [scale for scale, _ in played] == [6.0, 7.0, None]
    assert text[1].shape == (11, WIDTH)
    assert torch.equal(visual[1], torch.ones(1, WIDTH))
    assert torch.equal(baseline[1], torch.zeros(1, WIDTH))
    played = records(tmp_path / "films")
    assert played["dig_text_seed0"][0].about["caption"] == "dig as far as possible"
    assert played["no_goal_seed0"][0].about["caption"] == "no goal"


def test_the_prompts_are_the_recorded_ones():
    recorded = json.loads((VECTORS / "clip_tokens.json").read_text())
    assert list(PUBLISHED_PROMPTS.values()) == [entry["text"] for entry in recorded[:11]]


def test_the_prior_is_sampled_once_an_episode_and_by_its_seed(models, worlds, tmp_path, monkeypatch):
    played: dict = {}

    def act(self, povs, goals):
        played.setdefault(self, []).append(goals)
        return [noop_action() for _ in povs]

    monkeypatch.setattr("steve1.playing.rollout.AgentBatch.act", act)
    run(models, tmp_path / "a", "--custom_text_prompt", "go", "--num_seeds", "2", "--num_envs", "2")
    run(models, tmp_path / "b", "--custom_text_prompt", "go", "--seed", "1")
    run(models[:-2], tmp_path / "c", "--custom_text_prompt", "go")
    both, second, raw = played.values()
    assert all(torch.equal(goals, both[0]) for goals in both)
    assert not torch.equal(both[0][0], both[0][1])
    assert torch.equal(both[0][1], second[0][0])
    assert not torch.equal(raw[0][0], both[0][0])


def test_a_stopped_run_leaves_nothing_half_written(models, worlds, tmp_path, monkeypatch):
    steps = []

    def fail(self, action):
        steps.append(action)
        if len(steps) == 4:
            raise OSError(28, "no space left on device", "films")
        return self._obs(), 0.0, False, {}

    monkeypatch.setattr(PictureWorld, "step", fail)
    with pytest.raises(SystemExit):
        run(models, tmp_path, "--custom_text_prompt", "go")
    assert list(tmp_path.iterdir()) == []


def test_all_mistakes_of_flags_are_listed(capsys):
    code, said = failure(
        capsys,
        *("--in_model", "no.model", "--gameplay_length", "0", "--num_envs", "0", "--num_seeds", "0"),
        *("--cond_scale", "-1", "--custom_text_prompt", " "),
    )
    assert code == 2
    for part in (
        "no.model",
        "--gameplay_length 0",
        "--num_envs 0",
        "--num_seeds 0",
        "--cond_scale -1",
        "is empty",
    ):
        assert part in said


def test_another_mineclip_is_refused_unless_allowed(worlds, tmp_path, capsys):
    models = make_models(tmp_path, mineclip_hash="c0ffee" * 10)
    flags = (
        "--custom_text_prompt",
        "go",
        "--save_dirpath",
        str(tmp_path / "films"),
        "--gameplay_length",
        "2",
    )
    code, said = failure(capsys, *models, *flags)
    assert code == 1
    assert "policy.weights was trained with another MineCLIP (c0ffeec0ffee)" in said
    assert "--allow_other_mineclip" in said
    assert not (tmp_path / "films").exists()
    run_agent.main([*models, *flags, "--allow_other_mineclip"])
    assert len(list((tmp_path / "films").iterdir())) == 2


def test_embeddings_of_another_width_are_refused(models, worlds, tmp_path, capsys):
    wide = json.loads(Path(models[1]).read_text())
    wide["model"]["args"]["net"]["args"]["mineclip_embed_dim"] = 6
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    policy = MinecraftAgentPolicy(*load_model_file(tmp_path / "wide.json"))
    save_weights(policy, tmp_path / "six.weights")
    code, said = failure(
        capsys,
        *(
            "--in_model",
            str(tmp_path / "wide.json"),
            "--in_weights",
            str(tmp_path / "six.weights"),
            *models[4:],
        ),
        *("--custom_text_prompt", "go", "--save_dirpath", str(tmp_path / "films")),
    )
    assert code == 1
    assert "makes embeddings of width 8" in said
    assert "six.weights is for goals of width 6" in said


def test_help_answers_without_the_heavy_imports():
    heavy = ["torch", "cv2", "av", "gym", "numba", "numpy", "tqdm"]
    program = (
        "import runpy, sys\n"
        "try:\n runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
        f"except SystemExit: print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "run_agent.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.rstrip().endswith("[]")
    assert "--cond_scale" in done.stdout


def test_prompts_that_mineclip_does_not_read_are_warned_of_once_and_have_readable_names(
    models, worlds, tmp_path, capsys
):
    long = "dig " * 90
    run(models, tmp_path, "--custom_text_prompt", "копай вниз", long, "go", "--num_seeds", "2")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 2
    assert "копай вниз" in lines[0]
    assert "byte by byte" in lines[0]
    assert "has 90 tokens, of which MineCLIP reads 75" in lines[1]
    names = {path.stem.removesuffix("_text_seed0") for path in tmp_path.glob("*_seed0.mp4")}
    assert {"prompt_1", "go"} < names
    assert any(name.startswith("dig_dig_dig") for name in names)


def test_one_folder_in_the_hubs_form_plays_as_the_files_that_it_was_made_of(models, worlds, tmp_path):
    from steve1 import export

    export.main(["--to", "hub", str(tmp_path / "hub"), *models])
    flags = ("--custom_text_prompt", "chop a tree", "--seed", "3", "--no_films")
    run(models, tmp_path / "files", *flags)
    run(["--in_weights", str(tmp_path / "hub")], tmp_path / "folder", *flags)
    run(["--in_weights", str(tmp_path / "hub"), "--prior_weights", "none"], tmp_path / "raw", *flags)
    ((ours,), (theirs,), (raw,)) = (
        [episode for episodes in records(tmp_path / name).values() for episode in episodes]
        for name in ("files", "folder", "raw")
    )
    assert theirs.decides == ours.decides
    assert theirs.about["prior_weights"] == theirs.about["in_weights"] == str(tmp_path / "hub")
    assert raw.decides["prior_hash"] is None
    assert raw.decides["goal_hash"] != ours.decides["goal_hash"]

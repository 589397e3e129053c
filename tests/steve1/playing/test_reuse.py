"""A film or a figure is used again only where its record is equal; everything else is played anew and kept apart."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import tiny_agent
import torch
from tiny_agent import TINY_POLICY, WIDTH, PictureWorld, load_script, make_models, picture_worlds, records
from tiny_episodes import make_episode

from data.video import decode
from steve1.checkpoints import (
    dump_pickle,
    load_mineclip,
    load_model_file,
    read_metadata,
    save_mineclip,
    save_weights,
    tensors_hash,
)
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.prior import TranslatorVAE

run_agent = load_script("run_agent.py")
run = partial(tiny_agent.film, run_agent)
GO = ("--custom_text_prompt", "go")


@pytest.fixture
def models(tmp_path):
    (tmp_path / "models").mkdir()
    return make_models(tmp_path / "models")


@pytest.fixture
def worlds(monkeypatch):
    return picture_worlds(monkeypatch)


def one(folder, name="go_text_seed0"):
    (episode,) = records(folder)[name]
    return episode


# ---- what decides an episode ----


def overwrite(models, flag, change):
    """Put other weights where the file of ``flag`` is, with what its JSON says of their origin."""
    path = models[models.index(flag) + 1]
    torch.manual_seed(9)
    known = read_metadata(path)
    change(path, {name: known[name] for name in ("data", "mineclip_hash") if name in known})


def other_policy(path, known):
    save_weights(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)), path, known)


def other_prior(path, known):
    save_weights(TranslatorVAE(WIDTH, 8, 4), path, known)


def other_mineclip(path, known):
    mineclip = load_mineclip(path)
    with torch.no_grad():
        next(mineclip.text_model.parameters()).mul_(1.5)
    save_mineclip(mineclip, path)


@pytest.mark.parametrize(
    ("flag", "change", "named"),
    [
        ("--in_weights", other_policy, {"weights_hash"}),
        ("--prior_weights", other_prior, {"prior_hash", "goal_hash"}),
        ("--mineclip_weights", other_mineclip, {"mineclip_hash", "goal_hash"}),
    ],
)
def test_weights_that_were_overwritten_at_their_path(models, worlds, tmp_path, capsys, flag, change, named):
    films = tmp_path / "films"
    run(models, films, *GO)
    before, film = one(films), (films / "go_text_seed0.mp4").read_bytes()
    overwrite(models, flag, change)
    capsys.readouterr()
    run([*models, "--allow_other_mineclip"], films, *GO)
    after, said = one(films), capsys.readouterr().out
    assert {name for name in after.decides if after.decides[name] != before.decides[name]} == named
    assert len(worlds) == 2
    assert "1 videos made, 0 were there" in said
    assert all(name in said for name in named)
    assert said.count("played anew, and what was there is kept in") == 1
    # What was there is whole, apart from the rest, and in no figure.
    (kept,) = (films / "earlier").glob("*.mp4")
    assert kept.read_bytes() == film
    assert json.loads(kept.with_suffix(".json").read_text())["episodes"][0]["decides"] == before.decides


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--gameplay_length", "6"), "gameplay_length 5 -> 6"),
        (("--cond_scale", "2"), "cond_scale 6.0 -> 2.0"),
        (("--precision", "bf16"), "precision 'no' -> 'bf16'"),
        (("--deterministic",), "deterministic False -> True"),
        (("--score_every", "3"), "score_every 0 -> 3"),
    ],
)
def test_settings_that_decide(models, worlds, tmp_path, capsys, flags, named):
    run(models, tmp_path, *GO)
    before = one(tmp_path)
    run(models, tmp_path, *GO, *flags)
    assert named in capsys.readouterr().out
    assert one(tmp_path).decides != before.decides
    assert len(worlds) == 2


def test_another_world_or_another_version_of_it(models, worlds, tmp_path, capsys, monkeypatch):
    run(models, tmp_path, *GO, "--env", "blockworld")
    for version in ("blockworld", "next"), ("minerl", "1.0"):
        monkeypatch.setattr("steve1.playing.agents.identify", lambda name, found=version: found)
        monkeypatch.setattr(PictureWorld, "name", version[0])
        monkeypatch.setattr(PictureWorld, "version", version[1])
        capsys.readouterr()
        run(models, tmp_path, *GO, "--env", "blockworld")
        assert "world_version" in capsys.readouterr().out
    assert len(worlds) == 3
    assert len(list((tmp_path / "earlier").glob("*.mp4"))) == 2


def test_another_text_of_the_same_name(models, worlds, tmp_path, capsys):
    run(models, tmp_path, "--behaviours", "dig", "--prompts", _prompts(tmp_path, dig="dig down"))
    capsys.readouterr()
    run(models, tmp_path, "--custom_text_prompt", "dig")
    assert "prompt 'dig down' -> 'dig'" in capsys.readouterr().out
    assert one(tmp_path, "dig_text_seed0").decides["prompt"] == "dig"
    assert len(worlds) == 2


def _prompts(folder, **texts):
    (folder / "texts").write_text(json.dumps(texts))
    return str(folder / "texts")


def test_an_architecture_that_differs_in_the_temperature_alone(models, worlds, tmp_path, capsys):
    content = json.loads(TINY_POLICY.read_text())
    content["model"]["args"]["pi_head_opts"]["temperature"] = 0.5
    (tmp_path / "cold.json").write_text(json.dumps(content))
    run(models, tmp_path / "films", *GO)
    run([*models, "--in_model", str(tmp_path / "cold.json")], tmp_path / "films", *GO)
    assert "played otherwise (architecture_hash)" in capsys.readouterr().out


def test_what_does_not_decide_an_episode_does_not_play_it_anew(models, worlds, tmp_path, capsys):
    films = tmp_path / "films"
    flags = (*GO, "--no_goal", "--visual_prompt", str(tmp_path / "mine.pkl"))
    dump_pickle(np.full((1, WIDTH), 2, np.float32), tmp_path / "mine.pkl")
    run(models, films, *flags)
    made = len(worlds)
    # The same weights from elsewhere, another batch, other seeds' name; no goal and visual ones know no prior.
    shutil.copy(models[3], tmp_path / "copy.weights")
    shutil.copy(models[3].replace(".weights", ".json"), tmp_path / "copy.json")
    (tmp_path / "seeds.json").write_text('{"name": "mine", "seeds": [{"world": 0, "sampling": 0}]}')
    again = ("--num_envs", "3", "--seeds", str(tmp_path / "seeds.json"), "--measures", "looking_up")
    run([*models, "--in_weights", str(tmp_path / "copy.weights")], films, *flags, *again)
    assert "0 videos made, 3 were there" in capsys.readouterr().out
    overwrite(models, "--prior_weights", other_prior)
    run(models, films, *flags)
    assert "1 videos made, 2 were there" in capsys.readouterr().out
    assert len(worlds) == made + 1


def test_what_was_kept_apart_comes_back_when_it_is_wanted_again(models, worlds, tmp_path, capsys):
    scales = ("6", "2", "6", "2")
    hashes = []
    for scale in scales:
        run(models, tmp_path, *GO, "--cond_scale", scale)
        hashes.append((one(tmp_path).measured["actions_hash"], one(tmp_path).film.read_bytes()))
        assert one(tmp_path).decides["cond_scale"] == float(scale)
    assert hashes[:2] == hashes[2:]
    assert hashes[0] != hashes[1]
    assert len(worlds) == 2
    assert len(list((tmp_path / "earlier").iterdir())) == 2


def test_a_comparison_whose_baseline_changed(models, worlds, tmp_path, capsys):
    baseline = tmp_path / "base.weights"
    for seed in (5, 6):
        torch.manual_seed(seed)
        save_weights(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)), baseline)
        run(models, tmp_path / "films", *GO, "--compare_weights", str(baseline))
    assert "(weights_hash)" in capsys.readouterr().out
    assert len(worlds) == 4
    # Swapped, the file has another name; the same weights alone are another record.
    assert len(records(tmp_path / "films")) == 1


def test_a_sweep_uses_what_is_equal_of_it(models, worlds, tmp_path, capsys):
    run(models, tmp_path, *GO, "--cond_scale", "0,2")
    run(models, tmp_path, *GO, "--cond_scale", "0,2,4")
    assert "1 videos made, 2 were there" in capsys.readouterr().out
    run(models, tmp_path, *GO, "--cond_scale", "0,2,4", "--gameplay_length", "6")
    assert "3 videos made, 0 were there" in capsys.readouterr().out


# ---- names ----


def test_two_visual_prompts_of_one_name_are_two_films_and_two_rows(models, worlds, tmp_path, capsys):
    for folder, value in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        dump_pickle(np.full((1, WIDTH), value, np.float32), tmp_path / folder / "goal.pkl")
        make_episode(tmp_path / folder / "walk", 40)
    prompts = [f"{tmp_path}/{folder}/goal.pkl" for folder in "ab"]
    prompts += [f"{tmp_path}/{folder}/walk:17" for folder in "ab"]
    films = tmp_path / "films"
    run(models, films, "--visual_prompt", *prompts, prompts[0], "--report", str(tmp_path / "report.html"))
    played = records(films)
    assert {episode.decides["prompt"] for (episode,) in played.values()} == set(prompts)
    assert len(list(films.glob("*.mp4"))) == len(played) == 4
    assert len({e.decides["goal_hash"] for name, (e,) in played.items() if "goal" in name}) == 2
    said = capsys.readouterr().out
    for name in ("a/goal", "b/goal", "a/walk frame 17", "b/walk frame 17"):
        assert sum(line.startswith(f"{name} (visual prompt)") for line in said.splitlines()) == 1
    groups = json.loads((tmp_path / "report.json").read_text())["groups"]
    assert len(groups) == 4
    run(models, films, "--visual_prompt", *prompts)
    assert len(worlds) == 1


def test_a_visual_prompt_whose_file_changed(models, worlds, tmp_path, capsys):
    (tmp_path / "visual").mkdir()
    for value in (2, 3):
        dump_pickle(np.full((1, WIDTH), value, np.float32), tmp_path / "visual" / "sky.pkl")
        run(models, tmp_path, "--visual_prompts_dir", str(tmp_path / "visual"), "--visual_prompt", "sky")
    assert "played otherwise (goal_hash)" in capsys.readouterr().out
    assert len(worlds) == 2


# ---- what can't be read ----


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"format": 1, "episodes": [{"deci', "its record is torn"),
        (
            '{"prompt": "go", "in_weights_hash": "c0ffee", "measures": {"logs_held": 99}}',
            "an earlier version",
        ),
        ('["foreign"]', "its record holds no record"),
        (None, "it has no record"),
    ],
)
def test_a_record_that_cannot_be_read_is_said_in_a_line_and_played_anew(
    models, worlds, tmp_path, capsys, content, part
):
    path = tmp_path / "go_text_seed0.json"
    (tmp_path / "go_text_seed0.mp4").write_bytes(b"old")
    if content is not None:
        path.write_text(content)
    run(models, tmp_path, *GO)
    said = capsys.readouterr()
    assert part in said.out
    assert "go_text_seed0" in next(line for line in said.out.splitlines() if part in line)
    assert "1 videos made, 0 were there" in said.out
    assert one(tmp_path).measured["frames"] == 5
    assert one(tmp_path).film.read_bytes() != b"old"
    assert [kept.read_bytes() for kept in (tmp_path / "earlier").glob("*.mp4")] == [b"old"]
    run(models, tmp_path, *GO)
    assert len(worlds) == 1


def test_many_old_films_are_one_line(models, worlds, tmp_path, capsys):
    for seed in range(3):
        (tmp_path / f"go_text_seed{seed}.mp4").write_bytes(b"old")
        (tmp_path / f"go_text_seed{seed}.json").write_text('{"measures": {}}')
    run(models, tmp_path, *GO, "--num_seeds", "3")
    lines = [line for line in capsys.readouterr().out.splitlines() if "earlier version" in line]
    assert len(lines) == 1
    assert "go_text_seed0 and 2 more" in lines[0]


def test_a_stop_between_record_and_film_is_no_film(models, worlds, tmp_path, monkeypatch):
    films = tmp_path / "films"
    from steve1.films.side_by_side import BatchFilms

    leave = BatchFilms.__exit__

    def die(self, kind, error, trace):
        leave(self, MemoryError, MemoryError("killed"), None)
        raise MemoryError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(BatchFilms, "__exit__", die)
        with pytest.raises(MemoryError):
            run(models, films, *GO)
    assert [path.name for path in films.iterdir()] == ["go_text_seed0.json"]
    run(models, films, *GO)
    assert len(worlds) == 2
    assert one(films).film.exists()
    assert not (films / "earlier").exists()


# ---- films with and without an overlay ----


def moments(folder, models, monkeypatch):
    """A sampling of two episodes that this MineCLIP embedded; the flag that names it."""
    known = tensors_hash(load_mineclip(models[models.index("--mineclip_weights") + 1]))
    paths = [make_episode(folder / f"e{i}", 30, i, mineclip_hash=known) for i in range(2)]
    (folder / "mine_train.txt").write_text("".join(f"{path}\n" for path in paths))
    return ("--goal_strip", str(folder / "mine_train.txt"))


def test_an_overlay_changes_the_film_and_nothing_that_was_played(
    models, worlds, tmp_path, capsys, monkeypatch
):
    films, strip = tmp_path / "films", moments(tmp_path, models, monkeypatch)
    run(models, films, *GO)
    plain, plain_film = one(films), list(decode(films / "go_text_seed0.mp4"))
    run(models, films, *GO, "--overlay")
    assert "filmed without what --overlay draws" in capsys.readouterr().out
    drawn, drawn_film = one(films), list(decode(films / "go_text_seed0.mp4"))
    assert drawn.measured == plain.measured
    assert drawn.decides == plain.decides
    assert len(drawn_film) == len(plain_film) == 5
    assert drawn_film[0].shape[0] == plain_film[0].shape[0] + 116
    assert abs(drawn_film[2][:360].astype(int) - plain_film[2][:360]).mean() < 3

    # With a strip it is another film again; without films all is one.
    run(models, films, *GO, "--overlay", *strip)
    assert "filmed with what --overlay draws, or otherwise" in capsys.readouterr().out
    with_strip = one(films)
    assert len(with_strip.about["goal_strip"]["moments"]) == 2
    assert next(decode(films / "go_text_seed0.mp4")).shape[0] > drawn_film[0].shape[0] + 96
    made = len(worlds)
    run(models, films, *GO, "--no_films")
    assert len(worlds) == made

    # What was kept apart comes back, bit for bit, and nothing is played.
    for flags, film in (((), plain_film), (("--overlay",), drawn_film)):
        run(models, films, *GO, *flags)
        np.testing.assert_array_equal(list(decode(films / "go_text_seed0.mp4")), film)
    assert len(worlds) == made
    assert len(list((films / "earlier").glob("*.mp4"))) == 2


def test_mistakes_of_the_goal_strip_are_said_before_anything_loads(models, tmp_path, capsys):
    flags = [*models, "--goal_strip", "nowhere", "--overlay", "--no_films"]
    code, said = tiny_agent.failure(run_agent, capsys, *flags)
    assert code == 2
    assert "--goal_strip nowhere: neither the sampling" in said
    assert "--overlay and --no_films were both given" in said

"""run_agent --no_films: records alone, whoever plays them, and what the judge concludes of them anew or again."""

import json
from functools import partial

import pytest
import tiny_agent
import torch
from tiny_agent import WIDTH, PictureWorld, load_script, make_models, picture_worlds, records

from steve1.checkpoints import read_metadata, save_weights
from steve1.envs import WorldLost
from steve1.playing.prompts import BEHAVIOURS
from steve1.prior import TranslatorVAE

run_agent = load_script("run_agent.py")
failure = partial(tiny_agent.failure, run_agent)


def run(models, folder, *flags):
    tiny_agent.film(run_agent, models, folder, "--no_films", *flags)


@pytest.fixture
def models(tmp_path):
    (tmp_path / "models").mkdir()
    return make_models(tmp_path / "models")


@pytest.fixture
def worlds(monkeypatch):
    return picture_worlds(monkeypatch)


def judged(folder):
    return {name: [e.measured for e in episodes] for name, episodes in records(folder).items()}


def test_the_number_of_processes_changes_nothing(models, tmp_path, capsys):
    flags = ("--env", "blockworld", "--behaviours", "sky,inventory", "--no_goal", "--cond_scale", "2")
    flags += ("--seed", "1000000", "--num_seeds", "2", "--num_envs", "3", "--gameplay_length", "4")
    threads = torch.get_num_threads()
    run(models, tmp_path / "one", *flags)
    run(models, tmp_path / "two", *flags, "--processes", "2")
    ours = judged(tmp_path / "one")
    assert set(ours) == {
        f"{name}_seed{seed}"
        for name in ("sky_text", "inventory_text", "no_goal")
        for seed in (1_000_000, 1_000_001)
    }
    assert ours == judged(tmp_path / "two")
    assert len({part["actions_hash"] for (part,) in ours.values()}) > 3
    assert not list(tmp_path.rglob("*.mp4"))
    said = capsys.readouterr().out
    assert "6 episodes played, 0 were there" in said
    assert torch.get_num_threads() == threads


def test_films_change_no_figure_and_their_records_are_used_again(models, worlds, tmp_path, capsys):
    flags = ("--behaviours", "sky", "--num_seeds", "2")
    tiny_agent.film(run_agent, models, tmp_path / "filmed", *flags)
    run(models, tmp_path / "bare", *flags)
    assert judged(tmp_path / "filmed") == judged(tmp_path / "bare")
    made = len(worlds)
    run(models, tmp_path / "filmed", *flags)
    assert "0 episodes played, 2 were there" in capsys.readouterr().out
    assert len(worlds) == made
    # The other way round there is no film yet, so it is played for it.
    tiny_agent.film(run_agent, models, tmp_path / "bare", *flags)
    assert "2 videos made, 0 were there" in capsys.readouterr().out
    assert not (tmp_path / "bare" / "earlier").exists()


def test_behaviours_have_the_published_texts_and_others_where_a_file_says_so(models, worlds, tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps({"sky": "look up", "dig": "dig down"}))
    run(models, tmp_path / "a", "--behaviours", "sky,tree", "--prompts", str(tmp_path / "texts.json"))
    played = {
        name: (e.decides["prompt"], e.about["behaviour"]) for name, (e,) in records(tmp_path / "a").items()
    }
    assert played == {
        "sky_text_seed0": ("look up", "sky"),
        "tree_text_seed0": (BEHAVIOURS["tree"], "tree"),
    }
    run(models, tmp_path / "b", "--prompts", str(tmp_path / "texts.json"))
    assert {e.decides["prompt"] for (e,) in records(tmp_path / "b").values()} == {"look up", "dig down"}


def test_one_text_under_two_names_is_played_once(models, worlds, tmp_path):
    run(models, tmp_path, "--behaviours", "tree,wood", "--custom_text_prompt", BEHAVIOURS["tree"])
    assert set(records(tmp_path)) == {"tree_text_seed0"}


def test_the_judge_plays_anew_what_was_judged_otherwise(models, worlds, tmp_path, capsys):
    """Another prior, another file of prompts, a torn record: each is judged anew, and nothing is mixed."""
    texts, folder = tmp_path / "texts.json", tmp_path / "judged"
    flags = ("--behaviours", "sky", "--no_goal", "--prompts", str(texts), "--num_seeds", "2")
    texts.write_text('{"sky": "look up"}')

    def again():
        capsys.readouterr()
        run(models, folder, *flags, "--report", str(tmp_path / "judged.html"))
        report = json.loads((tmp_path / "judged.json").read_text())
        return capsys.readouterr().out, {
            episode["seed"]: episode["measures"] for g in report["groups"][:1] for episode in g["episodes"]
        }

    assert "4 episodes played, 0 were there" in again()[0]
    said, before = again()
    assert "0 episodes played, 4 were there" in said
    prior, known = models[-1], read_metadata(models[-1])["mineclip_hash"]
    torch.manual_seed(9)
    save_weights(TranslatorVAE(WIDTH, 8, 4), prior, {"mineclip_hash": known})
    said, after = again()
    assert "2 episodes played, 2 were there" in said
    assert "prior_hash" in said
    assert set(after) == set(before)
    texts.write_text('{"sky": "watch the clouds"}')
    assert "2 episodes played, 2 were there" in again()[0]
    (folder / "no_goal_seed1.json").write_text('{"format": 1, "epi')
    said, _ = again()
    assert "1 episodes played, 3 were there" in said
    assert "its record is torn" in said


def test_a_lost_world_is_no_zero_and_takes_no_measure_away(models, tmp_path, monkeypatch, capsys):
    class Lost(PictureWorld):
        def reset(self):
            if self._seed == 3:
                raise WorldLost("no world")
            return super().reset()

        def step(self, action):
            if self._seed == 0 and len(self.actions) == 2:
                raise WorldLost("a creeper")
            obs, reward, done, _ = super().step(action)
            return obs, reward, done, {"isGuiOpen": self._seed != 0}

    monkeypatch.setattr("steve1.envs.make_env", lambda name, seed=None, minerl_python=None: Lost())
    flags = ("--behaviours", "inventory", "--no_goal", "--num_seeds", "9", "--num_envs", "4")
    flags += ("--measures", "inventory_open", "--report", str(tmp_path / "judged.html"))
    run(models, tmp_path, *flags)
    said = capsys.readouterr()
    played = judged(tmp_path)
    assert played["inventory_text_seed0"][0]["lost"] == "lost at step 3 of 5: a creeper"
    assert "inventory_text_seed3" not in played  # nothing was seen of it, so it is tried again
    assert "inventory_text_seed3: lost before its first step" in said.err
    row = next(line for line in said.out.splitlines() if line.startswith("open inventory"))
    assert "inventory_open 1 [1, 1]" in row
    assert said.out.count("left out of all figures") == 4
    (verdict,) = json.loads((tmp_path / "judged.json").read_text())["verdicts"]
    assert (verdict["difference"]["n"], verdict["left_out"]) == (7, 2)
    run(models, tmp_path, *flags)
    assert "0 episodes played, 16 were there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "code", "part"),
    [
        (["--behaviours", "sky,fly"], 2, "--behaviours fly: choose from dig,"),
        (["--processes", "0"], 2, "--processes 0"),
        (["--prompts", "none.json"], 2, "--prompts none.json does not exist"),
        (["--prompts", "{tmp}/list.json"], 1, "must hold an object of texts by behaviour"),
        (["--prompts", "{tmp}/fly.json"], 1, "names fly; the behaviours are"),
        (["--prompts", "{tmp}/torn.json"], 1, "torn.json is not JSON"),
    ],
)
def test_mistakes(models, worlds, tmp_path, capsys, flags, code, part):
    for name, content in (("list", "[1]"), ("fly", '{"fly": "fly"}'), ("torn", '{"sky"')):
        (tmp_path / f"{name}.json").write_text(content)
    flags = [flag.format(tmp=tmp_path) for flag in flags]
    found, said = failure(capsys, *models, *flags, "--no_films", "--save_dirpath", str(tmp_path / "films"))
    assert (found, part in said) == (code, True), said
    assert not (tmp_path / "films").exists()

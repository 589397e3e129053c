"""The played episode's record: kept and read back, compared, and refused where it is none."""

import json

import pytest

from steve1.playing.episode import (
    NoRecord,
    PlayedEpisode,
    differences,
    digest,
    read_episodes,
    write_episodes,
)

DECIDES = {"kind": "text", "prompt": "go", "weights_hash": "aa", "cond_scale": 6.0, "prior_hash": None}
MEASURED = {"frames": 5, "lost": None, "measures": {"logs_held": 1, "in_water": None}, "scores": None}
MEASURED["actions_hash"] = "0" * 64


def episode(**decides):
    return PlayedEpisode({**DECIDES, **decides}, {"name": "go", "label": "mine"}, MEASURED)


def test_what_is_kept_is_read_back(tmp_path):
    path = tmp_path / "go.json"
    ours = [episode(), episode(weights_hash="bb")]
    write_episodes(path, ours)
    assert read_episodes(path) == ours
    (tmp_path / "go.mp4").write_bytes(b"")
    assert {e.film for e in read_episodes(path)} == {tmp_path / "go.mp4"}


def test_differences_name_what_decides_otherwise():
    assert differences([episode()], [dict(DECIDES)]) == []
    assert differences([episode()], [{**DECIDES, "cond_scale": 2.0}]) == ["cond_scale 6.0 -> 2.0"]
    assert differences([episode()], [{**DECIDES, "weights_hash": "bb"}]) == ["weights_hash"]
    assert differences([episode()], [DECIDES, DECIDES]) == ["agents 1 -> 2"]
    # What one of the two doesn't know is no equality, even where the other's is None.
    less = {name: value for name, value in DECIDES.items() if name != "prior_hash"}
    assert differences([episode()], [less]) == ["prior_hash"]
    assert differences([PlayedEpisode(less, {}, MEASURED)], [DECIDES]) == ["prior_hash"]


def test_the_digest_is_of_what_decides_alone():
    assert digest([DECIDES]) == digest([dict(reversed(DECIDES.items()))])
    assert digest([DECIDES]) != digest([{**DECIDES, "cond_scale": 2.0}])
    assert len(digest([DECIDES])) == 64


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"format": 1, "epis', "is torn"),
        ("\udcff", "is torn"),
        ("[1, 2]", "holds no record"),
        ('{"format": 1}', "holds no record"),
        ('{"format": 99, "episodes": []}', "holds no record"),
        ('{"name": "go", "kind": "text", "measures": {}}', "written by an earlier version"),
        ('{"sides": []}', "written by an earlier version"),
        ('{"format": 1, "episodes": [{"decides": {}}]}', "no whole record"),
        ('{"format": 1, "episodes": [7]}', "no whole record"),
        (json.dumps({"format": 1, "episodes": [{"decides": {}, "about": {}, "measured": {}}]}), "no whole"),
        (
            json.dumps({"format": 1, "episodes": [{"decides": [], "about": {}, "measured": MEASURED}]}),
            "no whole record",
        ),
    ],
)
def test_what_is_no_record_is_said_to_be_none(tmp_path, content, part):
    path = tmp_path / "go.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(NoRecord, match=part) as refused:
        read_episodes(path)
    assert str(path) in str(refused.value)

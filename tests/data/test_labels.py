"""Labels and wordings: what is read, and the sentence for each mistake."""

import json

import pytest

from data.text_alignment.labels import Label, find_wordings, load_labels, load_wordings, texts_by_meaning
from steve1.cli import UserError

GOOD = {"episode": "a", "start": 0, "stop": 20, "behaviour": "dig", "text": "dig down"}


def write(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path):
    write(tmp_path / "b.jsonl", {**GOOD, "episode": "b", "further": 1}, "")
    write(tmp_path / "a.jsonl", GOOD, {"episode": "a", "start": 20, "stop": 21, "text": "go"})
    (tmp_path / "wordings.json").write_text("{}")
    labels = load_labels(tmp_path)
    assert labels == [
        Label("a", 0, 20, "dig down", "dig"),
        Label("a", 20, 21, "go"),
        Label("b", 0, 20, "dig down", "dig"),
    ]
    assert [label.meaning for label in labels] == ["dig", "go", "dig"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"episode": "a", "st', "torn or not JSON"),
        ("[1]", "not an object"),
        ({**GOOD, "episode": ""}, "episode should be a text"),
        ({**GOOD, "text": None}, "text should be a text"),
        ({**GOOD, "start": 1.5}, "start should be a frame's number"),
        ({**GOOD, "stop": True}, "stop should be a frame's number"),
        ({**GOOD, "start": 20}, "below stop"),
        ({**GOOD, "start": -1}, "at least 0"),
        ({**GOOD, "behaviour": 3}, "behaviour should be a name"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path, line, said):
    file = write(tmp_path / "l.jsonl", GOOD, "", line)
    with pytest.raises(UserError, match=said) as told:
        load_labels(file)
    assert f"{file}, line 3" in str(told.value)


def test_no_labels(tmp_path):
    with pytest.raises(UserError, match=r"no \*\.jsonl"):
        load_labels(tmp_path)
    with pytest.raises(UserError, match="holds no labels"):
        load_labels(write(tmp_path / "empty.jsonl", ""))


def test_wordings(tmp_path):
    labels = write(tmp_path / "l.jsonl", GOOD)
    assert find_wordings(labels) is None
    file = tmp_path / "wordings.json"
    file.write_text(json.dumps({"wordings": {"dig": ["dig"]}, "held_out": {"dig": ["delve"]}}))
    assert find_wordings(labels) == find_wordings(tmp_path) == file
    assert load_wordings(file) == ({"dig": ["dig"]}, {"dig": ["delve"]})
    file.write_text(json.dumps({"dig": ["dig"]}))
    assert load_wordings(file) == ({"dig": ["dig"]}, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "lists of texts"),
        ('{"dig": []}', "lists of texts"),
        ('{"dig": [" "]}', "lists of texts"),
        ('{"dig": ["a"], "sky": ["a"]}', "to both dig and sky"),
        ('{"wordings": {"dig": ["a"]}, "held_out": {"dig": ["a"]}}', "both holds out"),
    ],
)
def test_bad_wordings(tmp_path, content, said):
    file = tmp_path / "wordings.json"
    file.write_text(content)
    with pytest.raises(UserError, match=said) as told:
        load_wordings(file)
    assert str(file) in str(told.value)


def test_meanings_without_wordings_keep_their_own_texts():
    labels = [Label("a", 0, 9, "b", "dig"), Label("a", 0, 9, "a", "dig"), Label("a", 0, 9, "up", "sky")]
    assert texts_by_meaning(labels, {"sky": ["x", "y"]}) == ({"dig": ["a", "b"], "sky": ["x", "y"]}, ["dig"])

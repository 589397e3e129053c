"""Texts as editors save them."""

import json

import pytest

from data.minecraft_dataset import load_sampling
from data.text_alignment.labels import load_labels, load_wordings
from data.text_alignment.mine_prior_dataset import read_instructions
from steve1.cli import UserError
from steve1.files import read_text
from steve1.playing.seeds import read_seeds

# Notepad's "UTF-8 with BOM" and "Unicode", PowerShell's >, and what other systems write.
CODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_text_is_read_as_it_was_written(tmp_path, coding, newline):
    path = tmp_path / "a.txt"
    text = f"dig, then 挖土{newline}dig a hole{newline}"
    path.write_bytes(text.encode(coding))
    assert read_text(path) == "dig, then 挖土\ndig a hole\n"


@pytest.mark.parametrize("coding", ["gbk", "latin-1"])
def test_a_text_in_another_coding_is_refused_with_its_line(tmp_path, coding):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\n" + {"gbk": "挖土", "latin-1": "déjà"}[coding].encode(coding))
    with pytest.raises(UserError, match=r"a\.txt, line 2: it is no UTF-8 text .* save the file as UTF-8"):
        read_text(path)


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_what_users_write_is_read_through_it(tmp_path, coding):
    def write(name, text):
        (tmp_path / name).write_bytes(text.encode(coding))
        return tmp_path / name

    (tmp_path / "episode").mkdir()
    write("a_train.txt", f"# mine\n{tmp_path / 'episode'}\n")
    write("a_val.txt", "")
    assert load_sampling(tmp_path, "a") == ([str(tmp_path / "episode")], [])
    assert read_instructions(write("i.txt", "look up\ndig\n")) == ["look up", "dig"]
    label = {"episode": "e", "start": 0, "stop": 5, "text": "dig"}
    assert [one.text for one in load_labels(write("l.jsonl", json.dumps(label) + "\n"))] == ["dig"]
    assert load_wordings(write("w.json", '{"dig": ["dig a hole"]}')) == ({"dig": ["dig a hole"]}, {})
    seeds = {"name": "mine", "seeds": [{"world": 5, "sampling": 7}]}
    assert read_seeds(str(write("s.json", json.dumps(seeds)))).name == "mine"

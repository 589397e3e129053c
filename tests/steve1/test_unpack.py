"""Unpacking a stranger's zip: plain files of its one folder, and nothing else, anywhere."""

import stat
import zipfile

import pytest

from steve1 import unpack as unpack_module
from steve1.cli import UserError
from steve1.unpack import unpack


def archive(path, members):
    """A zip of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_of_the_folder_are_unpacked_and_what_is_there_is_kept(tmp_path):
    made = archive(
        tmp_path / "a.zip",
        [
            ("p/", b""),
            ("p/dig.pkl", b"theirs"),
            ("p/sky.pkl", b"sky"),
            ("__MACOSX/p/._dig.pkl", b"x"),
            ("p/.DS_Store", b"x"),
        ],
    )
    (tmp_path / "out" / "p").mkdir(parents=True)
    (tmp_path / "out" / "p" / "dig.pkl").write_bytes(b"mine")
    written, kept = unpack(made, tmp_path / "out" / "p")
    assert [path.name for path in written] == ["sky.pkl"]
    assert [path.name for path in kept] == ["dig.pkl"]
    assert (tmp_path / "out" / "p" / "dig.pkl").read_bytes() == b"mine"
    assert (tmp_path / "out" / "p" / "sky.pkl").read_bytes() == b"sky"
    assert everything_below(tmp_path / "out") == ["p", "p/dig.pkl", "p/sky.pkl"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("../evil.pkl", "leads outside"),
        ("p/../../evil.pkl", "leads outside"),
        ("/tmp/evil.pkl", "leads outside"),
        ("p\\..\\evil.pkl", "leads outside"),
        ("C:/evil.pkl", "leads outside"),
        (link("p/link.pkl"), "is a link"),
        ("other/a.pkl", "is not in its folder p"),
        ("loose.pkl", "is not in its folder p"),
        ("p/good.pkl", "is in it twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_leads_elsewhere_is_refused_before_anything_is_written(tmp_path, bad, words):
    made = archive(tmp_path / "a.zip", [("p/good.pkl", b"good"), (bad, b"../../secret")])
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=rf"a\.zip was not unpacked: .*{words}"):
        unpack(made, tmp_path / "out" / "p")
    assert everything_below(tmp_path) == ["a.zip", "out"]


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack_module, "MOST_BYTES", 1 << 20)
    made = archive(tmp_path / "a.zip", [("p/a.pkl", bytes(600_000)), ("p/b.pkl", bytes(600_000))])
    assert made.stat().st_size < 5_000
    with pytest.raises(UserError, match="would become more than 1 MB"):
        unpack(made, tmp_path / "p")
    monkeypatch.setattr(unpack_module, "MOST_FILES", 1)
    with pytest.raises(UserError, match="or 1 files"):
        unpack(archive(tmp_path / "b.zip", [("p/a.pkl", b""), ("p/b.pkl", b"")]), tmp_path / "p")
    assert everything_below(tmp_path) == ["a.zip", "b.zip"]


def test_a_damaged_zip_leaves_nothing(tmp_path):
    made = archive(tmp_path / "a.zip", [("p/a.pkl", bytes(range(256)) * 40), ("p/b.pkl", b"b" * 500)])
    content = bytearray(made.read_bytes())
    content[60:70] = b"0123456789"
    made.write_bytes(content)
    with pytest.raises(UserError, match="is not a readable zip"):
        unpack(made, tmp_path / "p")
    made.write_bytes(content[:100])
    with pytest.raises(UserError, match="is not a readable zip"):
        unpack(made, tmp_path / "p")
    with pytest.raises(UserError, match="holds no files"):
        unpack(archive(tmp_path / "b.zip", [("p/", b"")]), tmp_path / "p")
    assert everything_below(tmp_path) == ["a.zip", "b.zip"]

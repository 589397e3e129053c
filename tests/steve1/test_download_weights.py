"""The downloader of everything published: its table, OpenAI's and Google Drive's answers, the lock, what is refused."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from drive_site import drive_site
from hub_site import hub_site
from loopback import loopback

from steve1 import download_weights, drive, hub
from steve1.cli import UsageError
from steve1.download import fetch
from steve1.download_weights import PUBLISHED, main

ROOT = Path(__file__).parents[2]
IDS = {item.name: item.drive for item in PUBLISHED if item.drive}


def archive(value=0.0) -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.full((3,), value)}, buffer)
    return buffer.getvalue()


def prompts(*members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setitem(fetch.__kwdefaults__, "sleep", lambda seconds: None)


@pytest.fixture
def site(monkeypatch):
    """Google Drive with every published file that is there."""
    with drive_site() as site:
        monkeypatch.setattr(drive, "DRIVE", site.url)
        for number, name in enumerate(("steve1.weights", "steve1_prior.pt"), 1):
            site.add(IDS[name], archive(number))
        site.add(IDS["attn.pth"], archive(9), "link")
        site.add(IDS["data.pkl"], pickle.dumps({"text_embeddings": []}), "direct")
        site.add(IDS["visual_prompt_embeds.zip"], prompts(("visual_prompt_embeds/dig.pkl", b"dig")), "cookie")
        yield site


@pytest.fixture
def openai(monkeypatch):
    with loopback() as site:
        monkeypatch.setattr(download_weights, "OPENAI", site.url)
        for item in PUBLISHED:
            if item.openai:
                site.add(f"/{item.openai}", pickle.dumps(item.name))
        yield site


@pytest.fixture
def small(monkeypatch):
    """The table as it is, but for the sizes and the digest of the true files, which these here are not."""
    lighter = tuple(
        download_weights.Published(one.group, one.name, one.folder, one.openai, one.drive)
        for one in PUBLISHED
    )
    monkeypatch.setattr(download_weights, "PUBLISHED", lighter)


def run(folder, *argv):
    main(["--output_dir", str(folder / "weights"), "--data_dir", str(folder), "--retries", "0", *argv])


def fails(capsys, folder, *argv) -> str:
    with pytest.raises(SystemExit) as left:
        run(folder, *argv)
    assert left.value.code == 1
    return capsys.readouterr().err


def files_of(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_everything_that_is_published_arrives_by_itself(site, openai, small, tmp_path, capsys):
    run(tmp_path)
    assert files_of(tmp_path) == sorted(
        [
            *(f"weights/{item.folder}/{item.name}" for item in PUBLISHED if item.group != "prior_data"),
            *("weights/weights.lock.json", "prior_dataset/data.pkl", "visual_prompt_embeds/dig.pkl"),
        ]
    )
    assert (tmp_path / "weights" / "steve1" / "steve1.weights").read_bytes() == archive(1)
    assert (tmp_path / "weights" / "mineclip" / "attn.pth").read_bytes() == archive(9)
    pins = json.loads((tmp_path / "weights" / "weights.lock.json").read_text())["files"]
    assert pins["steve1.weights"] == {
        "size": len(archive(1)),
        "sha256": hashlib.sha256(archive(1)).hexdigest(),
        "from": f"{site.url}/uc?id={IDS['steve1.weights']}&export=download",
    }
    assert len(pins) == len(PUBLISHED)
    # a second run fetches nothing, compares everything, and puts back what was lost
    capsys.readouterr()
    asked = len(site.asked), len(openai.requests)
    (tmp_path / "visual_prompt_embeds" / "dig.pkl").unlink()
    run(tmp_path)
    assert (len(site.asked), len(openai.requests)) == asked
    assert capsys.readouterr().out.count("as pinned in weights.lock.json") == len(PUBLISHED)
    assert (tmp_path / "visual_prompt_embeds" / "dig.pkl").read_bytes() == b"dig"


@pytest.mark.parametrize("how", ["direct", "form", "link", "cookie"])
def test_drives_pages_are_confirmed(site, small, tmp_path, how):
    site.add(IDS["steve1_prior.pt"], archive(5), how)
    run(tmp_path, "--files", "steve1_prior.pt")
    assert (tmp_path / "weights" / "steve1" / "steve1_prior.pt").read_bytes() == archive(5)
    assert len(site.asked) == {"direct": 1, "form": 3, "link": 2, "cookie": 2}[how]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("quota", "too many have downloaded it today (Google Drive's quota); try again in 24 hours"),
        ("quota403", "too many have downloaded it today (Google Drive's quota); try again in 24 hours"),
        ("private", "it is not shared with everybody"),
        ("missing", "does not exist"),
    ],
)
def test_refusals_are_said_and_the_other_files_arrive(site, small, tmp_path, capsys, how, words):
    site.add(IDS["attn.pth"], b"", how)
    said = fails(capsys, tmp_path, "--only", "mineclip,steve1")
    assert "1 of 3 files are not there" in said
    assert words in said
    if how != "missing":
        assert "--from hub" in said
        assert "--url attn.pth=URL" in said
    assert files_of(tmp_path) == [
        *("weights/steve1/steve1.weights", "weights/steve1/steve1_prior.pt", "weights/weights.lock.json")
    ]


def test_a_page_that_nobody_knows_is_never_a_file(small, tmp_path, capsys):
    with loopback() as server:
        for content_type in ("text/html", "application/octet-stream"):
            served = server.add("/f", b"<HTML><p>Welcome to our hotel's network</p></HTML>")
            served.content_type = content_type
            said = fails(capsys, tmp_path, "--files", "attn.pth", "--url", f"attn.pth={served.address}")
            assert "a web page came instead of the file; nothing was saved" in said
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_though_the_confirmed_address_is_another(
    site, small, tmp_path, capsys, ranges
):
    body = b"PK\x03\x04" + bytes(range(256)) * 2000
    site.add(IDS["steve1.weights"], body)
    site.cut_after, site.ranges = 200_000, ranges
    assert "the connection was cut" in fails(capsys, tmp_path, "--files", "steve1.weights")
    run(tmp_path, "--files", "steve1.weights")
    assert (tmp_path / "weights" / "steve1" / "steve1.weights").read_bytes() == body
    last, wanted = site.asked[-1]
    assert 100_000 < int(wanted.removeprefix("bytes=").removesuffix("-")) <= 200_000
    assert "uuid=code2" in last


def test_a_file_of_another_length_is_not_glued_to_what_was_begun(site, small, tmp_path, capsys):
    site.add(IDS["steve1.weights"], b"PK\x03\x04" + bytes(500_000))
    site.cut_after = 200_000
    fails(capsys, tmp_path, "--files", "steve1.weights")
    other = b"PK\x03\x04" + b"x" * 400_000
    site.add(IDS["steve1.weights"], other)
    run(tmp_path, "--files", "steve1.weights", "--retries", "1")
    assert (tmp_path / "weights" / "steve1" / "steve1.weights").read_bytes() == other


def test_the_lock_of_another_refuses_other_bytes(site, small, tmp_path, capsys):
    run(tmp_path / "first", "--only", "steve1")
    lock = tmp_path / "theirs.json"
    shutil.copy(tmp_path / "first" / "weights" / "weights.lock.json", lock)
    run(tmp_path / "second", "--only", "steve1", "--lock", str(lock))
    site.add(IDS["steve1_prior.pt"], archive(77))
    said = fails(capsys, tmp_path / "third", "--only", "steve1", "--lock", str(lock))
    assert "does not have the expected contents" in said
    assert f"It is pinned so in {lock}" in said
    assert files_of(tmp_path / "third") == ["weights/steve1/steve1.weights"]
    # a file that is there, and is another, is named and kept
    mine = tmp_path / "second" / "weights" / "steve1" / "steve1_prior.pt"
    mine.write_bytes(archive(3))
    said = fails(capsys, tmp_path / "second", "--only", "steve1", "--lock", str(lock))
    assert f"{mine} is not the steve1_prior.pt that {lock} pins" in said
    assert mine.read_bytes() == archive(3)
    lock.write_text("[]")
    assert "is no lock of weights" in fails(
        capsys, tmp_path / "second", "--only", "steve1", "--lock", str(lock)
    )


def test_the_known_digest_holds_without_a_lock(site, tmp_path, capsys):
    said = fails(capsys, tmp_path, "--only", "mineclip", "--retries", "1")
    assert "md5 b5ece9198337cfd117a3bfbd921e56da" in said
    assert files_of(tmp_path) == []


def test_what_is_no_weights_file_or_too_small_is_not_saved(site, tmp_path, capsys):
    site.add(IDS["steve1_prior.pt"], b"plain text that is no archive")
    said = fails(capsys, tmp_path, "--only", "steve1")
    assert "is not steve1_prior.pt (29 bytes" in said
    assert "at least 998,183,672" in said
    assert files_of(tmp_path) == []


def test_a_users_own_prior_data_is_kept(site, small, tmp_path, capsys):
    mine = tmp_path / "prior_dataset" / "data.pkl"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    run(tmp_path, "--only", "prior_data")
    assert "so it is yours" in capsys.readouterr().out
    mine.unlink()
    run(tmp_path, "--only", "prior_data")
    assert mine.read_bytes() == site.files[IDS["data.pkl"]][0]
    mine.write_bytes(b"mine again")  # made over the published one
    run(tmp_path, "--only", "prior_data")
    assert mine.read_bytes() == b"mine again"


def test_a_zip_with_a_way_out_is_refused_in_one_sentence(site, small, tmp_path, capsys):
    bad = prompts(("visual_prompt_embeds/dig.pkl", b"dig"), ("../evil.pkl", b"evil"))
    site.add(IDS["visual_prompt_embeds.zip"], bad)
    assert "'../evil.pkl' leads outside" in fails(capsys, tmp_path, "--only", "prompts")
    assert files_of(tmp_path) == ["weights/prompts/visual_prompt_embeds.zip", "weights/weights.lock.json"]


def test_the_script_itself_takes_addresses(tmp_path):
    with loopback() as server:
        served = server.add("/2x.model", pickle.dumps({"model": 1}))
        command = [
            "bash",
            str(ROOT / "download_weights.sh"),
            "--files",
            "2x.model",
            "--url",
            f"2x.model={served.address}",
        ]
        environment = {**os.environ, "STEVE1_DATA_ROOT": str(tmp_path)}
        subprocess.run(command, check=True, env=environment, capture_output=True)
    assert (tmp_path / "weights" / "vpt" / "2x.model").read_bytes() == served.content()


def test_from_the_hub_one_folder_arrives(vectors, tmp_path, monkeypatch, capsys):
    there = tmp_path / "there"
    there.mkdir()
    shutil.copy(vectors / "minestudio_steve_tiny.safetensors", there / "model.safetensors")
    shutil.copy(vectors / "minestudio_steve_tiny_config.json", there / "config.json")
    with hub_site("CraftJarvis/MineStudio_STEVE-1.official", there) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        run(tmp_path, "--from", "hub")
    place = tmp_path / "weights" / "steve1" / "MineStudio_STEVE-1.official"
    assert hub.parts_of(place) == {"policy", "prior"}
    assert f"run_agent.py --in_weights {place}" in capsys.readouterr().out
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "could not be fetched from http://127.0.0.1:9" in fails(
        capsys, tmp_path / "other", "--from", "hub"
    )


@pytest.mark.parametrize(
    "link",
    [
        "https://drive.google.com/file/d/A-b_C9/view?usp=sharing",
        "https://drive.google.com/uc?id=A-b_C9",
        "https://drive.google.com/open?id=A-b_C9&x=1",
        "https://drive.usercontent.google.com/download?id=A-b_C9&export=download",
    ],
)
def test_drive_links_become_the_address_that_offers_the_bytes(link):
    assert drive.plain_address(link) == "https://drive.google.com/uc?id=A-b_C9&export=download"


def test_other_links_are_kept_and_folders_refused():
    assert drive.plain_address("https://example.org/file/d/x") == "https://example.org/file/d/x"
    with pytest.raises(UsageError, match="names no Google Drive file"):
        drive.plain_address("https://drive.google.com/drive/my-drive")


def test_all_mistakes_of_flags_are_listed(capsys):
    for argv, words in (
        (
            ["--only", "vtp", "--files", "nothing", "--retries", "-1"],
            ("--only vtp", "--files nothing", "--retries -1"),
        ),
        (["--url", "2x.model=nowhere"], ("--url 2x.model=nowhere",)),
        (["--from", "hub", "--only", "vpt", "--url", "a=b"], ("--only is for", "--url is for")),
    ):
        with pytest.raises(SystemExit) as left:
            main(argv)
        assert left.value.code == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words)


def test_table_knows_what_the_published_script_fetches():
    table = {item.name: item for item in PUBLISHED}
    assert table["attn.pth"].md5 == "b5ece9198337cfd117a3bfbd921e56da"
    assert table["rl-from-foundation-2x.weights"].at_least == 993_981_176
    assert table["2x.model"].address() == (
        "https://openaipublic.blob.core.windows.net/minecraft-rl/models/2x.model"
    )
    assert table["4x_idm.weights"].address().endswith("/minecraft-rl/idm/4x_idm.weights")
    assert IDS == {
        "attn.pth": "1uaZM1ZLBz2dZWcn85rZmjP7LV6Sg5PZW",
        "steve1.weights": "1E3fd_-H1rRZqMkUKHfiMhx-ppLLehQPI",
        "steve1_prior.pt": "1OdX5wiybK8jALVfP5_dEo0CWm9BQbDES",
        "data.pkl": "18JKzIwHmFBrAjfiRNobtwkN7zhwQc7IO",
        "visual_prompt_embeds.zip": "1K--DOHMDKjtklTK6SbpH11wrI2j_61mu",
    }

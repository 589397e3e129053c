"""The weights' downloader: its table, Google Drive's confirmation page, and refusing what is no weights."""

import io
import pickle

import pytest
import torch
from test_download import site  # noqa: F401  (the loopback server)

from steve1 import download_weights
from steve1.cli import UsageError, UserError
from steve1.download_weights import PUBLISHED, Published, confirmed_address, download, drive_address, main

CONFIRM = """<!DOCTYPE html><html><body><p>Google Drive can't scan this file for viruses.</p>
<form id="search" action="/search"><input name="q" value="no"></form>
<form id="download-form" action="{action}" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="ABC"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="12-34"></form>
</body></html>"""


def archive() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "link",
    [
        "https://drive.google.com/file/d/A-b_C9/view?usp=sharing",
        "https://drive.google.com/uc?id=A-b_C9",
        "https://drive.google.com/open?id=A-b_C9&x=1",
        "https://drive.usercontent.google.com/download?id=A-b_C9&export=download",
    ],
)
def test_drive_links_become_the_address_of_the_bytes(link):
    assert (
        drive_address(link)
        == "https://drive.usercontent.google.com/download?id=A-b_C9&export=download&confirm=t"
    )


def test_other_links_are_kept_and_folders_refused():
    assert drive_address("https://example.org/file/d/x") == "https://example.org/file/d/x"
    with pytest.raises(UsageError, match="names no Google Drive file"):
        drive_address("https://drive.google.com/drive/my-drive")


def test_confirmation_form_is_followed():
    page = CONFIRM.format(action="https://drive.usercontent.google.com/download")
    expected = "https://drive.usercontent.google.com/download?id=ABC&export=download&confirm=t&uuid=12-34"
    assert confirmed_address(page) == expected
    assert confirmed_address("<html><p>Quota exceeded</p></html>") is None


def test_confirmation_page_leads_to_the_file(site, tmp_path, monkeypatch):  # noqa: F811
    site.body, site.content_type = CONFIRM.format(action=site.address).encode(), "text/html"
    asked = confirmed_address

    def confirm(page):
        site.body, site.content_type, site.etag = archive(), "application/octet-stream", '"file"'
        return asked(page)

    monkeypatch.setattr(download_weights, "confirmed_address", confirm)
    path = download(Published("mineclip", "attn.pth", "mineclip"), site.address, tmp_path)
    assert path == tmp_path / "mineclip" / "attn.pth"
    assert path.read_bytes() == archive()
    assert "uuid=12-34" in site.requests[-1][0]


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
def test_web_page_is_never_weights(site, tmp_path, content_type):  # noqa: F811
    site.body, site.content_type = b"<html><p>Quota exceeded</p></html>", content_type
    with pytest.raises(UserError, match=r"web page instead of attn\.pth.*save the file yourself"):
        download(Published("mineclip", "attn.pth", "mineclip"), site.address, tmp_path)
    assert list((tmp_path / "mineclip").iterdir()) == []


def test_what_is_no_weights_file_or_too_small_is_removed(site, tmp_path):  # noqa: F811
    site.body = b"plain text that is no archive"
    with pytest.raises(UserError, match=r"is not 2x\.model"):
        download(Published("vpt", "2x.model", "vpt"), site.address, tmp_path)
    site.body = archive()
    with pytest.raises(UserError, match="at least 1,000,000"):
        download(Published("vpt", "a.weights", "vpt", at_least=1_000_000), site.address, tmp_path)
    assert list((tmp_path / "vpt").iterdir()) == []


def test_main_fetches_what_is_known_and_names_the_rest(site, tmp_path, capsys):  # noqa: F811
    site.body = pickle.dumps({"model": 1})
    arguments = ["--output_dir", str(tmp_path), "--files", "2x.model,steve1_prior.pt"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--url", f"2x.model={site.address}"])
    assert left.value.code == 1
    assert (tmp_path / "vpt" / "2x.model").read_bytes() == site.body
    message = capsys.readouterr().err
    assert "steve1_prior.pt" in message
    assert "download_weights.sh" in message
    assert "--url" in message
    main([*arguments, "--url", f"2x.model={site.address}", "--url", f"steve1_prior.pt={site.address}"])
    assert (tmp_path / "steve1" / "steve1_prior.pt").read_bytes() == site.body


def test_all_mistakes_of_flags_are_listed(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--only", "vtp", "--files", "nothing", "--retries", "-1"])
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert all(flag in message for flag in ("--only vtp", "--files nothing", "--retries -1"))
    with pytest.raises(SystemExit) as left:
        main(["--url", "2x.model=nowhere"])
    assert left.value.code == 2


def test_table_knows_what_the_guides_name():
    table = {item.name: item for item in PUBLISHED}
    assert table["attn.pth"].md5 == "b5ece9198337cfd117a3bfbd921e56da"
    assert {item.folder for item in PUBLISHED} == {"vpt", "mineclip", "steve1"}
    assert table["rl-from-foundation-2x.weights"].at_least == 993_981_176

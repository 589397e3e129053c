"""Download the published weights: VPT, its inverse dynamics model, MineCLIP and STEVE-1.

Real (about 6 GB, resumes where it stopped):
    bash download_weights.sh --url attn.pth=ADDRESS --url steve1.weights=ADDRESS --url steve1_prior.pt=ADDRESS

Tiny (one file of a few kB):
    bash download_weights.sh --only vpt --files 2x.model

MineCLIP's and STEVE-1's authors keep theirs on Google Drive; the addresses are not known to this repository
and are given with --url, as Drive's ordinary links (https://drive.google.com/file/d/ID/view).
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from steve1.cli import UsageError, UserError, comma_list, count, entry_point, out_of_range, report_all
from steve1.config import weights_dir

VPT = "https://openaipublic.blob.core.windows.net/minecraft-rl/models"
IDM = "https://openaipublic.blob.core.windows.net/minecraft-rl/idm"
STEVE1_SOURCE = "STEVE-1's repository names it in its download_weights.sh"
# The 2x network has 248,495,294 float32 numbers without the goal's layer, 249,545,918 with it.
VPT_2X_BYTES, STEVE1_BYTES = 4 * 248_495_294, 4 * 249_545_918


@dataclass(frozen=True)
class Published:
    """One published file. ``url`` is None where the address must be given; ``source`` says who knows it."""

    group: str
    name: str
    folder: str
    url: str | None = None
    md5: str | None = None
    at_least: int = 1  # bytes
    source: str = ""


PUBLISHED = (
    Published("vpt", "2x.model", "vpt", f"{VPT}/2x.model"),
    Published(
        "vpt",
        "rl-from-foundation-2x.weights",
        "vpt",
        f"{VPT}/rl-from-foundation-2x.weights",
        at_least=VPT_2X_BYTES,
    ),
    Published(
        "vpt",
        "foundation-model-2x.weights",
        "vpt",
        f"{VPT}/foundation-model-2x.weights",
        at_least=VPT_2X_BYTES,
    ),
    Published("idm", "4x_idm.model", "vpt", f"{IDM}/4x_idm.model"),
    Published("idm", "4x_idm.weights", "vpt", f"{IDM}/4x_idm.weights"),
    Published(
        "mineclip",
        "attn.pth",
        "mineclip",
        md5="b5ece9198337cfd117a3bfbd921e56da",
        source="the README of the MineCLIP repository links it as the 'attn' variant",
    ),
    Published("steve1", "steve1.weights", "steve1", at_least=STEVE1_BYTES, source=STEVE1_SOURCE),
    Published("steve1", "steve1_prior.pt", "steve1", source=STEVE1_SOURCE),
)
GROUPS = tuple(dict.fromkeys(item.group for item in PUBLISHED))
# Every published file is a torch archive (zip) or a pickle.
_MAGIC = (b"PK\x03\x04", b"\x80")


def drive_address(url: str) -> str:
    """Turn any link to a Google Drive file into the address that answers with its bytes; others are kept."""
    parts = urlparse(url)
    if parts.hostname not in ("drive.google.com", "docs.google.com", "drive.usercontent.google.com"):
        return url
    match = re.search(r"/file/d/([\w-]+)", parts.path)
    name = match[1] if match else parse_qs(parts.query).get("id", [""])[0]
    if not name:
        raise UsageError(
            f"--url: {url} names no Google Drive file; give https://drive.google.com/file/d/ID/view"
        )
    query = urlencode({"id": name, "export": "download", "confirm": "t"})
    return f"https://drive.usercontent.google.com/download?{query}"


class _Form(HTMLParser):
    """Collects the action and the hidden fields of a page's first download form."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if (
            tag == "form"
            and self.action is None
            and "download" in values.get("id", "") + values.get("action", "")
        ):
            self.action = values.get("action", "")
        elif tag == "input" and self.action is not None and values.get("name"):
            self.fields.setdefault(values["name"], values.get("value", ""))


def confirmed_address(page: str) -> str | None:
    """Return the address behind the "can't scan this file for viruses" page's button, or None without one."""
    form = _Form()
    form.feed(page)
    if not form.action:
        return None
    return f"{form.action}{'&' if '?' in form.action else '?'}{urlencode(form.fields)}"


def download(item: Published, url: str, folder: Path, retries: int = 5) -> Path:
    """Fetch one file into ``folder``; a web page, a wrong md5 or what is no weights file is refused."""
    from steve1.download import HtmlInstead, fetch

    path = folder / item.folder / item.name
    with _Bar(item.name) as bar:
        try:
            fetch(url, path, md5=item.md5, retries=retries, progress=bar, refuse_html=True)
        except HtmlInstead as page:
            confirmed = confirmed_address(page.page)
            if confirmed is None:
                raise UserError(
                    f"{url} answered a web page instead of {item.name}; nothing was saved. On Google Drive "
                    "this means too many downloads today or a file that is not shared: open the address in a "
                    f"browser, or save the file yourself as {path}"
                ) from None
            fetch(confirmed, path, md5=item.md5, retries=retries, progress=bar, refuse_html=True)
    with open(path, "rb") as file:
        start = file.read(4)
    size = path.stat().st_size
    if size < item.at_least or not start.startswith(_MAGIC):
        path.unlink()
        raise UserError(
            f"{url} is not {item.name} ({size:,} bytes; at least {item.at_least:,} of a torch archive or a "
            "pickle are expected); it was removed: check the address"
        )
    return path


class _Bar:
    """A progress bar that starts with the first data, so that files already there show none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __call__(self, have: int, total: int | None) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, desc=self.name, unit="B", unit_scale=True, mininterval=0.5)
        self.bar.update(have - self.bar.n)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _named_addresses(pairs: list[str]) -> dict[str, str]:
    names = [item.name for item in PUBLISHED]
    given = {}
    problems = []
    for pair in pairs:
        name, _, url = pair.partition("=")
        if name not in names or not re.match(r"https?://", url):
            problems.append(f"--url {pair}: write NAME=https://..., NAME being one of {', '.join(names)}")
        else:
            given[name] = drive_address(url)
    report_all(problems)
    return given


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=comma_list, default=list(GROUPS), help=f"of {','.join(GROUPS)} (default: all)"
    )
    parser.add_argument(
        "--files", type=comma_list, default=[], help="only these files, by name (default: all)"
    )
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="where to get a file, e.g. attn.pth=https://drive.google.com/file/d/ID/view; may be repeated",
    )
    parser.add_argument(
        "--output_dir", type=Path, help="folder to fill (default: $STEVE1_DATA_ROOT/weights, or data/weights)"
    )
    parser.add_argument(
        "--retries",
        type=count,
        default=5,
        help="attempts in a row that may bring nothing (default 5; 0: none)",
    )
    args = parser.parse_args(argv)

    problems = [
        f"--only {group}: not one of {', '.join(GROUPS)}" for group in args.only if group not in GROUPS
    ]
    names = [item.name for item in PUBLISHED]
    problems += [f"--files {name}: not one of {', '.join(names)}" for name in args.files if name not in names]
    report_all(problems + out_of_range(args, "retries", least=0))
    given = _named_addresses(args.url)
    folder = args.output_dir or weights_dir()

    wanted = [
        item for item in PUBLISHED if item.group in args.only and (not args.files or item.name in args.files)
    ]
    missing = []
    for item in wanted:
        path = folder / item.folder / item.name
        url = given.get(item.name, item.url)
        if url is not None:
            print(f"{download(item, url, folder, args.retries)}  {path.stat().st_size / 1e6:,.1f} MB")
        elif path.is_file():
            print(f"{path}  already there")
        else:
            missing.append(item)
    if missing:
        raise UserError(
            "the rest is there, but the addresses of these are not known here; give them with --url NAME=URL "
            "(or put the file in place yourself):"
            + "".join(f"\n       {folder / item.folder / item.name}: {item.source}" for item in missing)
        )


if __name__ == "__main__":
    main()

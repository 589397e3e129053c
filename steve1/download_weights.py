"""Download all that is published: VPT, its inverse dynamics model, MineCLIP, STEVE-1, visual prompts, prior data.

Real (about 6 GB, resumes where it stopped; or policy, prior and MineCLIP in one, from the Hugging Face hub):
    bash download_weights.sh
    bash download_weights.sh --from hub

Tiny (one file of a few kB):
    bash download_weights.sh --only vpt --files 2x.model

VPT comes from OpenAI, the rest from the Google Drive ids that STEVE-1's own script names; --url takes a file from
elsewhere. What was downloaded first is pinned in a lock file, weights.lock.json: later downloads, and those of who is
given it (--lock), must have the same bytes.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1 import drive, hub
from steve1.cli import UsageError, UserError, comma_list, count, entry_point, out_of_range, report_all
from steve1.config import data_root, weights_dir

if TYPE_CHECKING:
    from steve1.weights_lock import Lock

OPENAI = "https://openaipublic.blob.core.windows.net/minecraft-rl"
# The 2x network has 248,495,294 float32 numbers without the goal's layer, 249,545,918 with it.
VPT_2X_BYTES, STEVE1_BYTES = 4 * 248_495_294, 4 * 249_545_918
PROMPTS, PRIOR_DATA = "visual_prompt_embeds", "prior_dataset"  # folders of the data's, not of the weights'


@dataclass(frozen=True)
class Published:
    """One published file. ``openai``: its place on OpenAI's server, or ``drive``: its Google Drive id."""

    group: str
    name: str
    folder: str
    openai: str | None = None
    drive: str | None = None
    md5: str | None = None
    at_least: int = 1  # bytes

    def address(self) -> str:
        return f"{OPENAI}/{self.openai}" if self.openai else drive.address_of(self.drive or "")


def _vpt(name: str, at_least: int = 1) -> Published:
    return Published("vpt", name, "vpt", f"models/{name}", at_least=at_least)


PUBLISHED = (
    _vpt("2x.model"),
    _vpt("rl-from-foundation-2x.weights", VPT_2X_BYTES),
    _vpt("foundation-model-2x.weights", VPT_2X_BYTES),
    Published("idm", "4x_idm.model", "vpt", "idm/4x_idm.model"),
    Published("idm", "4x_idm.weights", "vpt", "idm/4x_idm.weights"),
    Published(
        "mineclip",
        "attn.pth",
        "mineclip",
        drive="1uaZM1ZLBz2dZWcn85rZmjP7LV6Sg5PZW",
        md5="b5ece9198337cfd117a3bfbd921e56da",
    ),
    Published(
        "steve1",
        "steve1.weights",
        "steve1",
        drive="1E3fd_-H1rRZqMkUKHfiMhx-ppLLehQPI",
        at_least=STEVE1_BYTES,
    ),
    Published("steve1", "steve1_prior.pt", "steve1", drive="1OdX5wiybK8jALVfP5_dEo0CWm9BQbDES"),
    Published("prompts", f"{PROMPTS}.zip", "prompts", drive="1K--DOHMDKjtklTK6SbpH11wrI2j_61mu"),
    Published("prior_data", "data.pkl", PRIOR_DATA, drive="18JKzIwHmFBrAjfiRNobtwkN7zhwQc7IO"),
)
GROUPS = tuple(dict.fromkeys(item.group for item in PUBLISHED))
# Every published file is a torch archive (zip), a zip or a pickle.
_MAGIC = (b"PK\x03\x04", b"\x80")


def download(item: Published, url: str, path: Path, lock: Lock, retries: int = 5) -> str:
    """Fetch one file to ``path``, or keep the one that is there; the sentence to say about it.

    Raises :class:`~steve1.cli.UserError` for a web page, another size or digest than is known or pinned, and for what
    is no such file; nothing is saved then.
    """
    if path.is_file() and (said := _kept(item, path, lock)):
        return said
    pin = lock.get(item.name)
    known = {} if pin is None else {"size": pin.size, "sha256": pin.sha256}

    def check(arrived: Path) -> None:
        size = arrived.stat().st_size
        with open(arrived, "rb") as file:
            start = file.read(4)
        if size < item.at_least or not start.startswith(_MAGIC):
            raise UserError(
                f"{url} is not {item.name} ({size:,} bytes; at least {item.at_least:,} of a torch archive, a zip or a "
                "pickle are expected); nothing was saved: check the address"
            )

    elsewhere = "take STEVE-1 from the hub (--from hub), " if item.group in ("mineclip", "steve1") else ""
    remedy = (
        f"Or {elsewhere}save the file yourself as {path}, or name another address with --url {item.name}=URL"
    )
    with _Bar(item.name) as bar:
        try:
            drive.fetch_file(
                url,
                path,
                item.name,
                remedy,
                md5=item.md5,
                check=check,
                retries=retries,
                progress=bar,
                **known,
            )
        except UserError as error:
            if pin is None or "expected" not in str(error):
                raise
            raise UserError(f"{error}. It is pinned so in {lock.path}") from None
    lock.pin(item.name, path, url)
    return f"{path}  {path.stat().st_size / 1e6:,.1f} MB"


def _kept(item: Published, path: Path, lock: Lock) -> str | None:
    """What to say of a file that is there already; None where another has to be fetched in its place."""
    from steve1.download import digest_of

    pin = lock.get(item.name)
    if item.folder == PRIOR_DATA and (pin is None or digest_of(path) != pin.sha256):
        return f"{path}  kept: it is not what was downloaded, so it is yours; move it away to have the published one"
    if item.md5 is not None and digest_of(path, "md5") != item.md5:
        return None
    compared = lock.check(item.name, path)
    return (
        f"{path}  already there, {f'as pinned in {lock.path.name}' if compared else 'compared with nothing'}"
    )


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
            continue
        try:
            given[name] = drive.plain_address(url)
        except UsageError as error:
            problems.append(f"--url {error}")
    report_all(problems)
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=("openai_drive", "hub"),
        default="openai_drive",
        help="openai_drive: all files from OpenAI and Google Drive; hub: policy, prior and MineCLIP as one folder from "
        f"the Hugging Face hub, {hub.OFFICIAL} (default openai_drive)",
    )
    parser.add_argument("--only", type=comma_list, help=f"of {','.join(GROUPS)} (default: all)")
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
        "--output_dir",
        type=Path,
        help="folder of weights (default: $STEVE1_DATA_ROOT/weights, or data/weights)",
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        help=f"folder for {PROMPTS}/ and {PRIOR_DATA}/ (default: $STEVE1_DATA_ROOT, or data)",
    )
    parser.add_argument(
        "--lock",
        type=Path,
        help="lock file: what it pins must have its bytes, the rest is pinned in it (default: "
        "OUTPUT_DIR/weights.lock.json)",
    )
    parser.add_argument(
        "--retries",
        type=count,
        default=5,
        help="attempts in a row that may bring nothing (default 5; 0: none)",
    )
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    groups, names = args.only or [], [item.name for item in PUBLISHED]
    problems = [f"--only {one}: not one of {', '.join(GROUPS)}" for one in groups if one not in GROUPS]
    problems += [f"--files {name}: not one of {', '.join(names)}" for name in args.files if name not in names]
    if args.source == "hub":
        flags = {"only": args.only, "files": args.files, "url": args.url, "lock": args.lock}
        problems += [
            f"--{name} is for --from openai_drive; --from hub fetches one folder, leave it out"
            for name, value in flags.items()
            if value
        ]
    return problems + out_of_range(args, "retries", least=0)


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    given = _named_addresses(args.url)
    folder, data = args.output_dir or weights_dir(), args.data_dir or data_root()

    if args.source == "hub":
        from_hub(folder)
        return

    from steve1.weights_lock import NAME, Lock

    lock = Lock(args.lock or folder / NAME)
    wanted = [
        item
        for item in PUBLISHED
        if item.group in (args.only or GROUPS) and (not args.files or item.name in args.files)
    ]
    failed = []
    for item in wanted:
        path = (data if item.folder == PRIOR_DATA else folder) / item.folder / item.name
        try:
            print(download(item, given.get(item.name, item.address()), path, lock, args.retries))
            if item.group == "prompts":
                print(_unpacked(path, data / PROMPTS))
        except UserError as error:  # one file's quota does not keep the others away
            failed.append(f"{item.name}: {error}")
    if failed:
        raise UserError("\n       ".join([f"{len(failed)} of {len(wanted)} files are not there:", *failed]))


def _unpacked(archive: Path, folder: Path) -> str:
    from steve1.unpack import unpack

    written, kept = unpack(archive, folder)
    return f"{folder}  {len(written)} files unpacked{f', {len(kept)} that were there kept' if kept else ''}"


def from_hub(folder: Path) -> None:
    """Fetch the hub's official folder to ``folder/steve1/NAME``, and say how it is used."""
    place = folder / "steve1" / hub.OFFICIAL.rpartition("/")[2]
    hub.fetch(hub.OFFICIAL, place)
    parts = ", ".join(sorted(hub.parts_of(place)))
    size = (place / hub.TENSORS).stat().st_size
    print(f"{place}  {parts}, {size / 1e6:,.1f} MB")
    print(f"one flag names all of it: python run_agent.py --in_weights {place}")
    print(
        "VPT's weights, visual prompts and prior data are not on the hub; for them: --only vpt,idm,prompts,prior_data"
    )


if __name__ == "__main__":
    main()

"""Unpacking a zip that a stranger made: only plain files of one folder, of known size, and nothing outside it."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from steve1.cli import UserError

MOST_FILES, MOST_BYTES = 10_000, 256 << 20
_CHUNK = 1 << 16
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db")  # what archivers leave


def unpack(archive: Path, folder: Path) -> tuple[list[Path], list[Path]]:
    """Unpack the files of the archive's one folder, ``folder.name``, into ``folder``; (those written, those kept).

    What is there already under a name is kept, whosever it is. Everything is looked at before anything is written:
    paths outside, links, devices, encrypted files, names that come twice, and more than :data:`MOST_FILES` or
    :data:`MOST_BYTES` are refused with :class:`~steve1.cli.UserError`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work,
        ):
            members = _members(opened, archive, folder.name)
            kept = [folder / name for name in members if os.path.lexists(folder / name)]
            written = [folder / name for name in members if folder / name not in kept]
            left = MOST_BYTES
            for name, member in members.items():
                path = Path(work) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as packed, open(path, "wb") as file:
                    while piece := packed.read(_CHUNK):
                        left -= len(piece)
                        if left < 0:  # sizes in the directory may lie
                            raise UserError(_too_much(archive))
                        file.write(piece)
            for path in written:  # everything is read and right by now
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(work) / path.relative_to(folder), path)
            return written, kept
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise UserError(f"{archive} is not a readable zip ({error}); remove it and fetch it again") from None


def _members(opened: zipfile.ZipFile, archive: Path, top: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    total = 0
    for member in opened.infolist():
        path = PurePosixPath(member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        fault = None
        # zipfile itself makes slashes of the other system's separators, but not of a backslash on ours
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
            fault = "leads outside"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            fault = "is a link or no plain file"
        elif member.flag_bits & 1:
            fault = "is encrypted"
        if fault:
            raise UserError(
                f"{archive} was not unpacked: {member.filename!r} {fault}; take it from whom you trust"
            )
        if member.is_dir() or any(part in _LITTER or part.startswith("._") for part in path.parts):
            continue
        if len(path.parts) < 2 or path.parts[0] != top:
            raise UserError(
                f"{archive} was not unpacked: {member.filename!r} is not in its folder {top}; check what it is"
            )
        name = PurePosixPath(*path.parts[1:])
        if name in members:
            raise UserError(
                f"{archive} was not unpacked: {member.filename!r} is in it twice; take it from whom you trust"
            )
        members[name] = member
        total += member.file_size
        if total > MOST_BYTES or len(members) > MOST_FILES:
            raise UserError(_too_much(archive))
    if not members:
        raise UserError(f"{archive} holds no files; check what it is, remove it and fetch it again")
    return members


def _too_much(archive: Path) -> str:
    return (
        f"{archive} was not unpacked: it would become more than {MOST_BYTES >> 20} MB or {MOST_FILES:,} files; take it "
        "from whom you trust"
    )

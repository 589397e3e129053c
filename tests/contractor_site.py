"""A tiny collection of contractor recordings with its index, and comparing folders of episodes."""

import json
from pathlib import Path

from tiny_recordings import contractor_line, make_video, write_lines

from data.generation.recordings import INDICES


def fill(root, url, recordings, index="7.x", hotbar=0, size=(128, 128)):
    """Write recordings (name -> number of frames; every fourth is null) and their index below ``root``."""
    for name, n in recordings.items():
        make_video(root / f"data/{name}.mp4", range(n), size=size)
        lines = [contractor_line(["w"] if i % 4 else [], hotbar=hotbar) for i in range(n)]
        write_lines(root / f"data/{name}.jsonl", lines)
    list_recordings(root, url, recordings, index)


def list_recordings(root, url, names, index="7.x"):
    """Write the index of the recordings ``names`` at ``url``."""
    path = Path(root) / "snapshots" / INDICES[index]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"basedir": f"{url}/", "relpaths": [f"data/{name}.mp4" for name in names]}))


def address(server, index="7.x"):
    """The flags that make the converter use ``server``."""
    return "--index", index, "--base_url", f"{server.url}/snapshots/"


def tree(folder):
    """All files below a folder with their bytes."""
    folder = Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def hidden(folder):
    """The names of hidden things in a folder, at its top."""
    return [path.name for path in Path(folder).iterdir() if path.name.startswith(".")]

"""quickstart.sh at a tenth of its size: every stage runs, every product is there, a second run repeats nothing."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.video import decode

ROOT = Path(__file__).resolve().parents[1]


def run(root):
    environment = {**os.environ, "STEVE1_DATA_ROOT": str(root), "OMP_NUM_THREADS": "2"}
    return subprocess.run(
        ["./quickstart.sh", "--tenth"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    root = tmp_path_factory.mktemp("quickstart")
    done = run(root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root, done.stdout


def test_every_stage_leaves_what_it_promises(walked):
    root, out = walked
    episodes = find_episodes(root / "dataset_contractor")
    assert len(episodes) == 6
    assert all(EpisodeStorage(path).validate() == [] for path in episodes)
    for name in ("small.weights", "small_best.weights", "small_latest.weights", "small_prior.pt"):
        assert (root / "weights" / "steve1" / name).is_file()
    videos = sorted((root / "generated_videos").glob("*.mp4"))
    assert len(videos) == 4
    for video in videos:
        pictures = list(decode(video))
        assert len(pictures) == 40
        assert (pictures[0] != pictures[-1]).mean() > 0.01  # something moves
    for picture in (root / "films.png", root / "policy_checkpoint" / "logs" / "curves.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    figures = json.loads((root / "report.json").read_text())
    assert figures["recorded_frames"] == 3000
    assert figures["val_loss"] < 9  # 13.9 is a policy that knows nothing
    assert set(figures["verdicts"]) == {"sky", "dig", "tree", "seeds", "explore", "swim", "inventory"}
    assert "prompts win their own measure" in out


def test_a_second_run_repeats_nothing(walked):
    root, _ = walked
    products = [p for p in root.rglob("*") if p.suffix in {".mp4", ".pth", ".pt", ".weights", ".png"}]
    anew = {"films.png", "quickstart_histogram.png"}  # reports and lists take no time, and come out the same
    before = {p: p.stat().st_mtime_ns for p in products if p.name not in anew}
    done = run(root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "is trained" in done.stdout
    assert "0 videos made, 4 were there" in done.stdout
    assert "0 episodes played, 16 were there" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in before} == before

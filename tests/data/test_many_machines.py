"""Converting on a Ray cluster: of two worker processes on this machine, one of which is killed half-way."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest
from contractor_site import address, fill, hidden, list_recordings, tree
from killing import finish, start
from loopback import loopback
from tiny_recordings import make_mineclip

from data.generation import conversion_flags
from data.generation.convert_from_contractor import main

# "b" is long, so that it can be met half-way.
FRAMES = {"gone": 0, "a": 60, "broken": 60, "b": 900, "short": 10, "c": 80, "d": 70, "e": 60}
MADE = ["a", "b", "c", "d"]
# A token of its own: nobody else on this machine may use the cluster.
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": uuid.uuid4().hex,
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture
def cluster():
    """A Ray cluster of one machine with room for two workers: its process and its address."""
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"),
            *("--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard", "false"),
            *("--object-store-memory", "80000000", "--temp-dir", folder, "--disable-usage-stats"),
        ]
        log = Path(folder, "start.log")
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **ENVIRONMENT}, stdout=output, stderr=output, cwd=folder
            )
        while not answers(port):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"Ray ended with {process.wait(0.05)}: {log.read_text()}")
        yield process, f"127.0.0.1:{port}"
        process.terminate()
        process.wait()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid):
    """All processes below a process, by what /proc says now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue  # it has ended
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def has_open(pid, path):
    try:
        return any(os.readlink(entry) == str(path) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_a_cluster_makes_the_episodes_of_one_process_though_a_worker_is_killed(tmp_path, cluster, capfd):
    process, ray_address = cluster
    mineclip, log = make_mineclip(tmp_path / "tiny.pth"), tmp_path / "log.txt"
    out, cache = tmp_path / "out", tmp_path / "cache"
    with loopback() as server:
        root = tmp_path / "remote"
        fill(root, server.url, {name: n for name, n in FRAMES.items() if n}, size=(320, 180))
        list_recordings(root, server.url, FRAMES)
        (root / "data/broken.mp4").write_bytes((root / "data/broken.mp4").read_bytes()[:900])
        server.add_folder(root)
        flags = [
            *(*address(server), "--num_episodes", str(len(MADE)), "--cache_dir", str(cache)),
            *("--mineclip_weights", str(mineclip), "--min_timesteps", "20"),
        ]
        main([*flags, "--output_dir", str(tmp_path / "one")])
        driver = start(
            "data.generation.convert_from_contractor",
            [*flags, "--output_dir", str(out), "--ray_address", ray_address],
            log,
            ENVIRONMENT,
        )
        killed, others = [], set()
        while driver.is_alive():
            workers = descendants(process.pid)
            at_b = [pid for pid in workers if has_open(pid, cache / "b.mp4")]
            if (
                at_b
                and not killed
                and any(len(list((out / name).rglob("*.png"))) > 50 for name in hidden(out))
            ):
                os.kill(at_b[0], 9)
                killed = at_b
            elif killed:
                others |= set(at_b) - set(killed)
            driver.join(0.005)
        assert finish(driver) == 0, log.read_text()
    assert killed, log.read_text()
    assert others, "b was not converted again by another process"
    assert tree(out) == tree(tmp_path / "one")
    assert sorted(path.name for path in out.iterdir()) == [*MADE, "report.json"]
    assert "4 episodes made with" in log.read_text()


def test_a_cluster_that_is_not_there_is_named(tmp_path, capsys):
    mineclip = make_mineclip(tmp_path / "tiny.pth")
    fill(tmp_path, "http://127.0.0.1", {"a": 30})
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        flags = ["--local_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out")]
        with pytest.raises(SystemExit) as leave:
            main([*flags, "--mineclip_weights", str(mineclip), "--ray_address", place])
    assert leave.value.code == 1
    assert f"--ray_address {place}: there is no such Ray cluster" in capsys.readouterr().err


def test_without_ray_the_remedy_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conversion_flags.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as leave:
        main(["--ray_address", "auto", "--mineclip_weights", str(make_mineclip(tmp_path / "m.pth"))])
    assert leave.value.code == 2
    assert 'pip install "ray"' in capsys.readouterr().err

"""install_minecraft.sh: what is wanting is one sentence with the command; with a stand-in engine it plays."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from minerl_standin import STANDIN
from minestudio_standin import ENVS, make_home

ROOT = Path(__file__).resolve().parents[1]
SAYS = "install_minecraft.sh: Minecraft needs Java 8, the JDK, and "


def install(tmp_path, java=None, **variables):
    """Run the script where ``java`` says what ``java -version`` prints; None: there is none."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "env", "dirname", "sed", "uname", "cmp", "cp", "mkdir", "dpkg"):
        if shutil.which(name):
            (tools / name).symlink_to(shutil.which(name))
    if java is not None:
        (tools / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{java}\"' >&2\n")
        (tools / "java").chmod(0o755)
    environment = {
        "PATH": str(tools),
        "HOME": str(tmp_path),
        "DISPLAY": ":99",
        "STEVE1_DATA_ROOT": str(tmp_path / "data"),
        "STEVE1_MINECRAFT_DIR": str(tmp_path / "place"),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.run(
        ["bash", str(ROOT / "install_minecraft.sh")], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("java", "found"), [(None, "there is no java here"), ("17.0.15", "java here is 17.0.15")]
)
def test_without_java_8_it_ends_in_one_sentence_with_the_command(tmp_path, java, found):
    done = install(tmp_path, java)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{SAYS}{found}; install it and run this again: ")
    assert "conda create -y -p " in done.stderr
    assert "openjdk=8" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "place").exists()


def test_a_python_that_is_not_there_is_named(tmp_path):
    done = install(tmp_path, "1.8.0_392", PYTHON="/no/python3.10")
    assert done.returncode == 1
    assert "want Python 3.10 or 3.11, and /no/python3.10 is not there; run PYTHON=" in done.stderr


def test_with_a_stand_in_it_plays_and_saves_a_picture(tmp_path):
    environment = tmp_path / "place" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(sys.executable)
    shutil.copy(ROOT / "requirements-minestudio.txt", tmp_path / "place" / "installed.txt")
    done = install(
        tmp_path,
        "1.8.0_392",
        PYTHONPATH=os.pathsep.join([str(ENVS / "standin_minestudio"), str(STANDIN), *sys.path]),
        STANDIN_FOLDER=str(tmp_path),
        MINESTUDIO_DIR=str(make_home(tmp_path / "home")),
    )
    assert done.returncode == 0, done.stderr
    assert "20 steps: " in done.stdout
    assert done.stdout.endswith("MineStudio can be used\n")
    picture = cv2.imread(str(tmp_path / "data" / "generated_videos" / "minestudio.png"))
    assert picture.shape == (360, 640, 3)
    assert picture.any()

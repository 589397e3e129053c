"""scripts/venv.sh: which PyTorch is fetched from where, what it says of it, and what a broken-off installation leaves.

A very small repository is installed from two real indexes on the loopback, PyTorch's and PyPI's, that offer wheels of a
few bytes; pip, venv and the script are the real ones.
"""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pip
import pytest
from checkout import ROOT
from loopback import loopback

PIN = "2.13.0"
BACKEND = """
import zipfile
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "steve1-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("steve1-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: steve1\\nVersion: 0.1.0\\n"
                       "Provides-Extra: dev\\nRequires-Dist: torch==2.13.0\\nRequires-Dist: plain>=1\\n")
        wheel.writestr("steve1-0.1.0.dist-info/WHEEL",
                       "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("steve1-0.1.0.dist-info/RECORD", "")
    return name
"""


def wheel(name, version, requires=(), size=0):
    """The bytes of a wheel with one module, ``size`` incompressible bytes of ballast, and its requirements."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{name}/ballast": b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32)),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(data := BytesIO(), "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return data.getvalue()


class Index:
    """A package index at ``/{name}/`` of the server: pages of links and the wheels behind them."""

    def __init__(self, site, name):
        self.site, self.name, self.url = site, name, f"{site.url}/{name}"

    def offer(self, name, version, requires=(), tag="py3-none-any", size=0):
        file = f"{name}-{version}-{tag}.whl"
        address = f"/{self.name}/files/{quote(file)}"
        self.site.add(address, wheel(name, version, requires, size))
        page = self.site.add(f"/{self.name}/{name}/", f'<a href="{address}">{file}</a>'.encode())
        page.content_type = "text/html"

    def asked(self):
        return [path for path, _ in self.site.requests if path.startswith(f"/{self.name}/")]


class Repository:
    """A small repository with the real scripts/venv.sh, and the machine around it."""

    def __init__(self, folder, site):
        self.root, self.bin, self.site = folder / "repository", folder / "bin", site
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "venv.sh", self.root / "scripts")
        (self.root / "requirements.txt").write_text(f"torch=={PIN}\nplain>=1\n")
        (self.root / "constraints.txt").write_text(f"torch=={PIN}\nplain==1.0\n")
        (self.root / "backend.py").write_text(BACKEND)
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "steve1"\nversion = "0.1.0"\n'
        )
        self.bin.mkdir()
        # An interpreter whose "-m venv" links the pip that is here: unpacking another takes seconds.
        self.program(
            "python",
            f'[ "$1" = -m ] || exec {sys.executable} "$@"\n{sys.executable} -m venv --without-pip "$3"\n'
            f'ln -s {Path(pip.__file__).parent} "$(echo "$3"/lib/python3.*/site-packages)"/pip\n'
            'ln -s python "$3"/bin/pip',
        )
        self.program("nvidia-smi", "exit 9")  # installed, and no card answers
        self.program("uname", "echo Linux")
        self.cpu, self.pypi = Index(site, "cpu"), Index(site, "pypi")
        tag = f"cp{sys.version_info[0]}{sys.version_info[1]}-none-any"
        self.cpu.offer("torch", f"{PIN}+cpu", tag=tag, size=3_000_000)
        self.pypi.offer("torch", PIN, requires=["nvidia==13"])
        self.pypi.offer("nvidia", "13", size=4_000_000)
        self.pypi.offer("plain", "1.0")
        self.index = self.cpu.url

    def program(self, name, body):
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def environment(self, torch=None):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "STEVE1_"))}
        return {
            **kept,
            "PATH": f"{self.bin}:{kept['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(self.root.parent / "cache"),
            "PIP_INDEX_URL": self.pypi.url,
            "STEVE1_PYTHON": str(self.bin / "python"),
            "STEVE1_TORCH_INDEX": self.index,
            **({} if torch is None else {"STEVE1_TORCH": torch}),
        }

    def command(self):
        return ["bash", "-c", "set -euo pipefail; . scripts/venv.sh dev; echo ready"]

    def install(self, torch=None):
        """Run the script as run_tests.sh does: exit status and everything that it said."""
        done = subprocess.run(
            self.command(),
            cwd=self.root,
            env=self.environment(torch),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    def installed(self):
        packages = next((self.root / ".venv" / "lib").glob("python3.*")) / "site-packages"
        names = (path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info"))
        return {name for name in names if not name.startswith(("pip-", "setuptools-"))}


@pytest.fixture
def repository(tmp_path):
    with loopback() as site:
        yield Repository(tmp_path, site)


def test_without_a_card_the_cpu_build_comes_from_pytorchs_index_and_nothing_of_cuda(repository):
    code, said = repository.install()
    assert code == 0, said
    assert repository.installed() == {f"torch-{PIN}+cpu", "plain-1.0", "steve1-0.1.0"}
    assert "the cpu build (no NVIDIA card is here; STEVE1_TORCH=cuda decides otherwise)" in said
    assert repository.cpu.url in said
    assert "(3.0 MB)" in said  # what is fetched, by pip
    assert f"torch {PIN}+cpu takes 3 MB on the disk" in said

    requests = len(repository.site.requests)
    assert repository.install() == (0, "ready\n")
    assert len(repository.site.requests) == requests

    # Another word about the build is another installation; no word keeps what is there.
    code, said = repository.install("cuda")
    assert code == 0, said
    assert {f"torch-{PIN}", "nvidia-13"} <= repository.installed()
    assert "takes 4 MB on the disk" in said
    assert repository.install() == (0, "ready\n")


def test_with_a_card_pips_own_index_is_asked_alone(repository):
    repository.program("nvidia-smi", 'echo "GPU 0: NVIDIA H100 (UUID: GPU-1)"')
    code, said = repository.install()
    assert code == 0, said
    assert {f"torch-{PIN}", "nvidia-13"} <= repository.installed()
    assert "the cuda build (an NVIDIA card is here; STEVE1_TORCH=cpu decides otherwise)" in said
    assert "(4.0 MB)" in said
    assert repository.cpu.asked() == []


@pytest.mark.parametrize("why", ["closed", "silent", "another version"])
def test_without_an_answer_from_pytorchs_index_pips_own_is_taken_or_refused(repository, why):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        repository.index = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if why == "closed":
            listener.close()
        elif why == "another version":
            repository.index = repository.cpu.url
            repository.cpu.offer("torch", "2.12.0+cpu")
        if why != "silent":
            code, said = repository.install("cpu")
            assert code == 1
            assert f"error: no CPU build of PyTorch {PIN} found" in said
            assert "without STEVE1_TORCH=cpu the one with CUDA is taken" in said
        code, said = repository.install()
    assert code == 0, said
    assert f"{repository.index} can't be reached or has none for this Python" in said
    assert {f"torch-{PIN}", "nvidia-13"} <= repository.installed()


def test_macos_takes_the_only_build_there_is(repository):
    repository.program("uname", "echo Darwin")
    code, said = repository.install("cuda")
    assert (code, said) == (2, "error: STEVE1_TORCH is 'cuda', and macOS has no CUDA: leave it unset\n")
    code, said = repository.install()
    assert code == 0, said
    assert "the only build (macOS has no CUDA)" in said
    assert repository.cpu.asked() == []


def test_a_foreign_word_is_one_sentence(repository):
    sentence = "error: STEVE1_TORCH is 'gpu': set it to cpu or cuda, or leave it unset\n"
    assert repository.install("gpu") == (2, sentence)
    assert not (repository.root / ".venv").exists()


def test_another_python_than_that_of_a_venv_which_is_there_is_refused(repository):
    python = repository.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.9\n")
    python.chmod(0o755)
    code, said = repository.install()
    assert code == 2
    named = repository.bin / "python"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert said.startswith(f"error: STEVE1_PYTHON is {named} ({version}), and .venv has Python 3.9: rm -r ")
    assert repository.site.requests == []


def test_what_was_killed_half_way_is_made_anew(repository):
    # torch is in place; the last package never arrives in whole
    page = repository.site.files["/pypi/files/plain-1.0-py3-none-any.whl"]
    page.claimed = len(page.body) + 10
    process = subprocess.Popen(
        repository.command(), cwd=repository.root, env=repository.environment(), start_new_session=True
    )
    assert page.asked.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    page.claimed = None
    (repository.root / ".venv" / "left_by_the_first").touch()

    code, said = repository.install()
    assert code == 0, said
    assert "An installation was broken off: .venv is made anew." in said
    assert not (repository.root / ".venv" / "left_by_the_first").exists()
    assert repository.installed() == {f"torch-{PIN}+cpu", "plain-1.0", "steve1-0.1.0"}
    assert repository.install() == (0, "ready\n")


def test_new_constraints_install_anew_and_failing_to_fetch_keeps_what_is_there(repository):
    assert repository.install()[0] == 0
    (repository.root / "constraints.txt").write_text(f"torch=={PIN}\nplain==1.1\n")
    for _ in range(2):  # the index has no such version yet
        code, said = repository.install()
        assert code == 1
        assert "error: the packages could not be installed" in said
        assert "broken off" not in said
    assert "plain-1.0" in repository.installed()
    repository.pypi.offer("plain", "1.1")
    code, said = repository.install()
    assert code == 0, said
    assert repository.installed() == {f"torch-{PIN}+cpu", "plain-1.1", "steve1-0.1.0"}


def test_two_at_once_install_one_after_the_other(repository):
    lock = repository.root / ".venv-installing"
    lock.write_text(f"{os.getpid()}\n")  # this process installs, as far as the script can see
    process = subprocess.Popen(
        repository.command(),
        cwd=repository.root,
        env=repository.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith(
        f"Waiting for process {os.getpid()}, which installs into .venv"
    )
    assert not (repository.root / ".venv").exists()
    lock.unlink()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "Installing into .venv" in said
    assert "broken off" not in said
    assert not lock.exists()

"""Running an entry point in a process of its own that can be killed at any moment."""

import importlib
import multiprocessing
import os
import sys

# Processes fork from one that has loaded what is slow to load, and nothing of the tests.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["torch", "cv2", "av", "requests", "data.generation.ledger", "steve1.mineclip"]
)


def _run(module, argv, log, env):
    os.environ.update(env)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        importlib.import_module(module).main(argv)
        sys.stdout.flush()


def start(module, argv, log, env=None, parent=False):
    """Start ``module.main(argv)`` in a process; what it prints goes to the file ``log``. ``parent``: of others."""
    process = _context.Process(target=_run, args=(module, list(argv), str(log), env or {}), daemon=not parent)
    process.start()
    return process


def kill(process):
    """SIGKILL; returns False where the process had ended by itself."""
    process.kill()
    process.join()
    return process.exitcode == -9


def kill_when(process, condition):
    """SIGKILL as soon as ``condition()`` holds; returns False where the process ended before it did."""
    while process.is_alive():
        if condition():
            return kill(process)
        process.join(0.001)
    return False


def finish(process):
    """Wait for the end and return the exit code."""
    process.join()
    return process.exitcode

"""Each peer's own virtual environment, and the cost of a command that runs in one."""

import os
import shutil
import signal
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from _exchange import LONGEST_S


HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "counterplay-peers"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
# Beside a CPU build of PyTorch these cannot be imported, and the peers do without.
REMOVED = {"bergson": ("torchvision", "torchaudio")}


class InstallError(RuntimeError):
    """A peer's environment cannot be made; the reason is the message."""


def interpreter(peer: str, cache: Path) -> Path:
    """The Python of a peer's environment, which is made at the first call.

    Raises:
        InstallError: If pip fails.
    """
    requirements = HERE / "requirements" / f"{peer}.txt"
    environment = cache / peer
    python, stamp = environment / "bin" / "python", environment / "complete"
    wanted = requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making the environment of {peer} in {environment}", file=sys.stderr)
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    pip(python, "install", "-r", str(requirements))
    if peer in REMOVED:
        pip(python, "uninstall", "--yes", *REMOVED[peer])
    stamp.write_text(wanted)
    return python


def pip(python: Path, *command: str) -> None:
    """One command of pip.

    Raises:
        InstallError: If it fails; its last lines say why.
    """
    done = subprocess.run(
        [python, "-m", "pip", "--quiet", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InstallError(f"pip {command[0]} failed: {_last(done.stderr)}")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        reason: Why it failed; empty if it did not.
        cpu: CPU seconds of the whole process, imports included.
    """

    reason: str
    cpu: float


def run(python: Path | str, script: str, *arguments: str, log: Path) -> Outcome:
    """Run one of our scripts and account for it."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [python, HERE / script, *arguments],
            env={**os.environ, **ONE_THREAD, "PYTHONWARNINGS": "ignore"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reason = _last(log.read_text()) if process.returncode else ""
    if process.returncode < 0:
        reason = f"ended by {signal.Signals(-process.returncode).name}"
        if usage.ru_utime + usage.ru_stime >= LONGEST_S:
            reason = f"not done after {LONGEST_S} CPU seconds"
    return Outcome(reason, usage.ru_utime + usage.ru_stime)


def _last(text: str) -> str:
    """What was raised: the first sentence of the last line, without its module."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    message = lines[-1].split(": ", 1)[-1] if lines else "no message"
    return message.split(". ")[0].rstrip(".").replace("|", "/")

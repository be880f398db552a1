"""Virtual environments of peers, whose requirements are not ours."""

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


HERE = Path(__file__).parent


def made(
    environment: Path, needed: Path, bare: Path | None = None, absent: Sequence[str] = ()
) -> Path:
    """The interpreter of an environment, made at the first call.

    Args:
        environment: Its folder.
        needed: Requirements.
        bare: Requirements that are installed without what they ask for themselves.
        absent: Packages that they import and do not need; a stand-in takes their place.
    """
    python = environment / "bin" / "python"
    stamp = environment / "complete"
    if stamp.exists():
        return python
    venv.create(environment, with_pip=True, clear=True)
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "-r", needed], check=True)
    if bare is not None:
        subprocess.run([*install, "--no-deps", "-r", bare], check=True)
    found = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    for package in absent:
        stub = Path(found.strip()) / package
        stub.mkdir()
        (stub / "__init__.py").write_text((HERE / "_absent.py").read_text())
    stamp.touch()
    return python


def run_in(python: Path, script: Path, *arguments: str) -> None:
    """Run a script there, in one thread, with this checkout of Counterplay."""
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    subprocess.run(
        [python, script, *arguments],
        env={**os.environ, **threads, "PYTHONPATH": str(HERE.parent)},
        check=True,
    )

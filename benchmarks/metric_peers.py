"""Do other libraries' metrics give the same values, have gradients, and cost more?

Makes an environment with torchmetrics, torch-fidelity, clean-fid, pytorch-fid, prdc and piq
(peers.txt, peers_bare.txt) and prints a Markdown table. Every function is given the same
float64 features, so no feature map and no download takes part. One thread, CPU seconds, and
in every round both sides in turn.

Run: python benchmarks/metric_peers.py [--environment FOLDER] [--rounds 3]
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path


HERE = Path(__file__).parent


def made(environment: Path) -> Path:
    """The interpreter of the peers' environment, made at the first call."""
    python = environment / "bin" / "python"
    stamp = environment / "complete"
    if stamp.exists():
        return python
    venv.create(environment, with_pip=True, clear=True)
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "-r", HERE / "peers.txt"], check=True)
    subprocess.run([*install, "--no-deps", "-r", HERE / "peers_bare.txt"], check=True)
    found = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    stub = Path(found.strip()) / "torchvision"
    stub.mkdir()
    (stub / "__init__.py").write_text((HERE / "_torchvision.py").read_text())
    stamp.touch()
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, default=HERE.parent / "build" / "peers")
    parser.add_argument("--rounds", type=int, default=3, help="slow peers have one")
    chosen = parser.parse_args()
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    subprocess.run(
        [made(chosen.environment), HERE / "_peers.py", str(chosen.rounds)],
        env={**os.environ, **threads, "PYTHONPATH": str(HERE.parent)},
        check=True,
        stdout=sys.stdout,
    )


if __name__ == "__main__":
    main()

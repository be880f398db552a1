"""Do other libraries' metrics give the same values, have gradients, and cost more?

Makes an environment with torchmetrics, torch-fidelity, clean-fid, pytorch-fid, prdc and piq
(peers.txt, peers_bare.txt) and prints a Markdown table. Every function is given the same
float64 features, so no feature map and no download takes part. One thread, CPU seconds, and
in every round both sides in turn.

Run: python benchmarks/metric_peers.py [--environment FOLDER] [--rounds 3]
"""

import argparse
from pathlib import Path

from _environment import made, run_in


HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, default=HERE.parent / "build" / "peers")
    parser.add_argument("--rounds", type=int, default=3, help="slow peers have one")
    chosen = parser.parse_args()
    python = made(
        chosen.environment, HERE / "peers.txt", HERE / "peers_bare.txt", ["torchvision"]
    )
    run_in(python, HERE / "_peers.py", str(chosen.rounds))


if __name__ == "__main__":
    main()

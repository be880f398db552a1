"""How fast is `play`, in images per CPU second, and are its losses those of others?

Two yardsticks on the same networks: a straightforward loop of `nn.Module` and
`torch.optim`, and the train steps of torch-mimicry (in an environment of its own, made at
the first call). One thread, every round runs all sides in turn, medians of the ratios.

Run: python benchmarks/play_cost.py [--environment FOLDER] [--rounds 5]
"""

import argparse
from pathlib import Path

from _environment import made, run_in


HERE = Path(__file__).parent
ABSENT = ["torchvision", "skimage"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--environment", type=Path, default=HERE.parent / "build" / "play_peers"
    )
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    python = made(
        chosen.environment,
        HERE / "play_peers.txt",
        HERE / "play_peers_bare.txt",
        ABSENT,
    )
    run_in(python, HERE / "_play_cost.py", str(chosen.rounds))


if __name__ == "__main__":
    main()

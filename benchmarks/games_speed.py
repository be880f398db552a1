"""How fast is every game, in images per CPU second, against others on the same networks?

The others: a straightforward loop of `nn.Module` and `torch.optim`, and where one runs the
train steps of torch-mimicry, torchgan and PyOD (in an environment of its own, made at the
first call). One thread, every round runs all sides in turn, medians of the ratios.

Run: python benchmarks/games_speed.py [--environment FOLDER] [--rounds 5] [--games NAMES]
"""

import argparse
from pathlib import Path

from _environment import made, run_in


HERE = Path(__file__).parent
ABSENT = ["torchvision", "skimage"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--environment", type=Path, default=HERE.parent / "build" / "games_peers"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--games", nargs="+", default=[])
    chosen = parser.parse_args()
    python = made(
        chosen.environment,
        HERE / "games_peers.txt",
        HERE / "games_peers_bare.txt",
        ABSENT,
    )
    run_in(python, HERE / "_games_speed.py", str(chosen.rounds), *chosen.games)


if __name__ == "__main__":
    main()

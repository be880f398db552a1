"""The games of `compare.py`: what is played, traced, removed and asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _one_player import classifier, columns, held_out_loss
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterplay import nets, optim, play, Recipe, Trajectory
from counterplay.features import identity
from counterplay.game import Columns, Game, State
from counterplay.metrics.target import Target
from counterplay.typing import FeatureMap


EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@dataclass(frozen=True)
class Setting:
    """A game to be played, and the part of the run that is traced and retrained.

    Attributes:
        game: The game.
        data: Its training set.
        held_out: What peers see as test rows.
        target: The metric.
        features: What baselines on data alone look at.
        seed: Of networks, order and noise.
        n_steps: Moves.
        batch_size: Instances per move.
        epochs: Passes over the data, at the end, that are traced and retrained; 0 for all.
        n_instances: How many instances are removed one at a time.
        n_subsets: How many groups of 5 % are removed.
        r1: Gamma of the discriminator's penalty, which some peers leave out.
        chunk: Retrainings at once.
    """

    game: Game
    data: Columns
    held_out: Columns
    target: Target
    features: FeatureMap
    seed: int
    n_steps: int
    batch_size: int
    epochs: int
    n_instances: int
    n_subsets: int = 100
    r1: float = 0.0
    chunk: int = 50

    @property
    def reader(self) -> str:
        """The player that reads instances: the discriminator, or the classifier."""
        return self.game.readers[0]

    def record(self, checkpoints: dict[int, State]) -> Trajectory:
        """The run; nothing is played if `checkpoints` holds it already."""
        return play(
            self.game,
            self.data,
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            seed=self.seed,
            checkpoints=checkpoints,
        )

    def since(self, run: Trajectory) -> int:
        """The first move that is traced and retrained."""
        return run.epochs_back(self.game, self.epochs) if self.epochs else 0

    def rate(self, player: str) -> float:
        """The learning rate of a player.

        Raises:
            TypeError: If it is a schedule.
        """
        rate = self.game.optimizers[player].description["lr"]
        if not isinstance(rate, float):
            raise TypeError(f"The learning rate of {player!r} is {rate!r}, not a number.")
        return rate


def of_recipe(recipe: Recipe, *, epochs: int, n_instances: int, chunk: int) -> Setting:
    game = recipe.make_game()
    (target,) = recipe.targets(game)
    return Setting(
        game=game,
        data=recipe.splits.train,
        held_out=recipe.splits.valid,
        target=target,
        features=recipe.feature_map,
        seed=recipe.seed,
        n_steps=recipe.play["n_steps"],
        batch_size=recipe.play["batch_size"],
        epochs=epochs,
        n_instances=n_instances,
        r1=recipe.game.get("r1", 0.0),
        chunk=chunk,
    )


def toy(seed: int, mnist: Path | None) -> Setting:
    """`benchmarks/toy_accuracy.py` with Adam (.5, .9), whole run, every instance."""
    del mnist
    tables = {
        "data": {"name": "two_d_normal", "n_train": 200, "n_valid": 300, "n_test": 300},
        "corrupt": {"kind": "noise", "fraction": 0.05, "seed": 0},
        "nets": {"name": "mlp", "width": 16},
        "game": {
            "name": "gan",
            "latent_dim": 4,
            "simultaneous": True,
            "betas": [0.5, 0.9],
            "lr_g": 2e-3,
            "lr_d": 2e-3,
            "eps": 1e-4,
            "eps_root": 0.0,
        },
        "play": {"n_steps": 200, "batch_size": 20},
        "metric": {
            "names": ["average_log_likelihood"],
            "n": 300,
            "options": {"average_log_likelihood": {"bandwidth": 0.5}},
        },
    }
    return of_recipe(
        Recipe.from_tables(tables).with_seed(seed), epochs=0, n_instances=200, chunk=200
    )


def two_d(seed: int, mnist: Path | None) -> Setting:
    """The ICLR paper's kind of game, with smooth activations: simultaneous SGD."""
    del mnist
    recipe = Recipe.load(EXPERIMENTS / "2d_normal_accuracy_small.toml")
    return of_recipe(recipe.with_seed(seed), epochs=10, n_instances=200, chunk=100)


def digits(seed: int, mnist: Path | None) -> Setting:
    """Adam, alternating moves, R1 and an averaged generator."""
    del mnist
    recipe = Recipe.load(EXPERIMENTS / "digits_accuracy_small.toml")
    return of_recipe(recipe.with_seed(seed), epochs=10, n_instances=200, chunk=50)


def mnist_small(seed: int, mnist: Path | None) -> Setting:
    """The same at 28 x 28.

    Raises:
        SystemExit: If there is no file.
    """
    if mnist is None:
        raise SystemExit("The game 'mnist' needs --mnist FILE.npz with x_train, ...")
    recipe = Recipe.load(EXPERIMENTS / "mnist_accuracy_small.toml")
    recipe = replace(recipe, data={**recipe.data, "path": str(mnist)})
    return of_recipe(recipe.with_seed(seed), epochs=10, n_instances=100, chunk=25)


def binary_losses(logits: Tensor, y: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, y, reduction="none")


def control(seed: int, mnist: Path | None) -> Setting:
    """What the peers are made for: a small classifier, 15 % of whose labels are wrong."""
    del mnist
    random = torch.Generator().manual_seed(0)

    def rows(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 8, generator=random, dtype=torch.float64)
        score = x[:, :4].sum(1) + x[:, 4] * x[:, 5]
        return x, (score > 0).double()

    x, y = rows(200)
    noisy = torch.randperm(200, generator=random)[:30]
    y[noisy] = 1 - y[noisy]
    test = rows(400)
    torch.manual_seed(seed)
    module = nets.mlp(8, None, width=16).double()
    game = classifier(module, binary_losses, optim.sgd(0.1))
    return Setting(
        game=game,
        data=columns(x, y),
        held_out=columns(*test),
        target=held_out_loss(module, binary_losses, *test),
        features=identity(),
        seed=seed,
        n_steps=600,
        batch_size=20,
        epochs=0,
        n_instances=200,
        chunk=200,
    )


GAMES: dict[str, Callable[[int, Path | None], Setting]] = {
    "toy": toy,
    "2d": two_d,
    "digits": digits,
    "mnist": mnist_small,
    "control": control,
}

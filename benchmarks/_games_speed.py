"""The measurements of `games_speed.py`; runs inside the environment that it makes."""

import copy
import inspect
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from _games_peers import MIMICRY, Mimicry, N_CLASSES, N_FEATURES, PyOD, TORCHGAN, TorchGAN
from _games_plain import LOSSES, Named
from torch import nn, Tensor
from torch.nn.utils import parametrizations

from counterplay import games, play
from counterplay._trajectory import draw, make_plan
from counterplay.game import Columns, Game
from counterplay.nets import gaal, lstm_discriminator, lstm_generator
from counterplay.nets.families import networks
from counterplay.nets.roles import roles_of, sizes_of


SECONDS = 0.3  # about what one timing of a side takes
OPTIONS = {"eps_root": 0.0, "ema_halflife": None, "n_classes": N_CLASSES}  # for all games
SMALL = {"width": 64, "activation": "tanh"}
STOP_EPOCHS = 20  # of PyOD's detectors: G moves in one more, D in three times as many
GAAL = {
    "latent_dim": 20,
    "lr_d": 0.02,  # PyOD adds the halves of D's loss up, in SO-GAAL
    "n_active": 4 * (STOP_EPOCHS + 1),
    "n_frozen": 4 * (2 * STOP_EPOCHS - 1),
    "decay": 0.0,
    "share": "official",
}


@dataclass(frozen=True)
class Case:
    """A game on networks and data."""

    name: str
    networks: str
    shape: tuple[int, ...]
    of_networks: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    n_rows: int = 640
    spectral: bool = False

    @property
    def data(self) -> Columns:
        random = torch.Generator().manual_seed(0)
        x = torch.rand(self.n_rows, *self.shape, generator=random) * 2 - 1
        y = torch.randint(self._of_game["n_classes"], (self.n_rows,), generator=random)
        return Columns({"x": x, "y": y}, tuple(map(str, range(self.n_rows))))

    @property
    def _of_game(self) -> dict[str, Any]:
        return {**OPTIONS, **self.options}

    def game(self, dtype: torch.dtype = torch.float32, **changes: Any) -> Game:
        factory = games.load(self.name)
        known = inspect.signature(factory).parameters
        options = {key: value for key, value in self._of_game.items() if key in known}
        if self.networks in WINDOWS_AND_ROWS:
            modules = WINDOWS_AND_ROWS[self.networks](self.shape[-1])
        else:
            roles, sizes = roles_of(factory), sizes_of(factory, options)
            own = {**self.of_networks, **changes}
            modules = networks(self.networks, roles, self.shape, sizes, **own)
        for module in modules:
            for each in module if isinstance(module, list) else [module]:
                each.to(dtype)
        return factory(*modules, **options)

    @property
    def bare(self) -> dict[str, Any]:
        """What leaves spectral normalisation out."""
        return {"spectral": False} if self.spectral else {}


WINDOWS_AND_ROWS = {
    "lstm": lambda d: (lstm_generator(3, d), lstm_discriminator(d)),
    "gaal": lambda d: (gaal.generator(d), gaal.discriminator(d, 45)),
    "10 of gaal": lambda d: (gaal.generators(d, 10), gaal.discriminator(d, 45)),
}
ON_IMAGES = {
    "gan": {"latent_dim": 128},
    "wgan_gp": {},
    "cgan": {},
    "acgan": {},
    "amgan": {},
    "infogan": {},
    "ssgan": {},
    "msgan": {},
    "dag": {},
    "infomax_gan": {"n_features": N_FEATURES},
    "semi_supervised_gan": {},
    "cogan": {"n_classes": 2},
    "gman": {},
    "ebgan": {},
    "cegan": {},
    "bigan": {},
    "ali": {},
    "gaan": {},
}
IMAGE = (3, 32, 32)
CASES = [
    *(Case(name, "dcgan", IMAGE, {"width": 32}, own) for name, own in ON_IMAGES.items()),
    Case("sagan", "sagan", IMAGE, {"width": 16}, spectral=True),
    Case("stylegan2", "stylegan2", IMAGE, {"width": 16}),
    *(Case(name, "mlp", (3, 8, 8), SMALL, own) for name, own in ON_IMAGES.items()),
    Case("unrolled", "mlp", (2,), SMALL),
    Case("lqgan", "linear_quadratic", (2,)),
    Case("mad_gan", "lstm", (30, 8)),
    Case("so_gaal", "gaal", (20,), {}, GAAL, 500, 2_000),
    Case("mo_gaal", "10 of gaal", (20,), {}, GAAL, 500, 2_000),
]


class Plain:
    """The players of a game, trained by losses written by hand."""

    def __init__(self, name: str, game: Game):
        self.schedule, self.losses = game.schedule, LOSSES[name]
        self.nets = copy.deepcopy(dict(game.modules))
        self.optimizers = {
            player: _optimizer(self.nets[player], dict(rule.description))
            for player, rule in game.optimizers.items()
        }

    def __getattr__(self, player: str) -> nn.Module:
        return self.nets[player]

    def move(self, step: int, batch: Named, noise: Named) -> list[float]:
        """Play a move; its losses."""
        movers, found = self.schedule[step % len(self.schedule)], []
        for player in movers:
            self.optimizers[player].zero_grad()
            which = (player,) if player[1:] else ()  # of several discriminators
            value = self.losses[player[0]](self, batch, noise, *which)
            # Where several move at once, none may leave its gradients with another.
            own = list(self.nets[player].parameters()) if len(movers) > 1 else None
            value.backward(inputs=own)
            found.append(value.item())
        for player in movers:
            self.optimizers[player].step()
        return found


def _optimizer(module: nn.Module, rule: dict) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[rule["name"]]
    used = ("lr", "betas", "eps", "weight_decay", "momentum")
    return kind(module.parameters(), **{key: rule[key] for key in used if key in rule})


def time_play(case: Case, n_steps: int) -> float:
    """CPU seconds of `n_steps` moves that follow the first, without setting up the run."""
    game, data, stamps = case.game(), case.data, []
    size = {"batch_size": case.batch_size, "every": n_steps + 1}
    stamp = lambda state, losses: stamps.append(time.process_time())
    play(game, data, n_steps=n_steps + 1, **size, on_step=stamp)
    return stamps[-1] - stamps[0]


def batches(case: Case) -> Iterator[dict[str, Tensor]]:
    data = case.data
    while True:
        for rows in torch.randperm(len(data)).split(case.batch_size):
            yield {name: data[name][rows] for name in ("x", "y")}


def normalised(game: Game) -> Game:
    """The game with PyTorch's own spectral normalisation on every layer."""
    for module in game.modules.values():
        for layer in list(module.modules()):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                parametrizations.spectral_norm(layer)
    return game


def time_moves(case: Case, n_steps: int, *, make: Callable, drawn: bool) -> float:
    """CPU seconds of a loop; `drawn` if it draws its noise itself."""
    game, stream = case.game(**case.bare), batches(case)
    loop = make(case.name, normalised(game) if case.spectral else game)
    random, batch, start = torch.Generator(), next(stream), 0.0
    for step in range(n_steps + 1):
        if game.reads(step):
            batch = next(stream)
        noise = None if drawn else game.draw(case.batch_size, random, {})
        loop.move(step, batch, noise)
        start = start if step else time.process_time()
    return time.process_time() - start


def apart(case: Case, make: Callable) -> float:
    """The largest difference of a loss, relative above 1, over two rounds in float64."""
    torch.set_default_dtype(torch.float64)
    game, data = case.game(torch.float64, **case.bare), case.data.to(dtype=torch.float64)
    if make is Mimicry and case.name == "ssgan":
        game = in_order(game)
    n_steps, ours, worst = 2 * len(game.schedule), [], 0.0
    size = {"batch_size": 16}
    loop, plan = make(case.name, game), make_plan(data, **size, seed=0)
    note = lambda _, losses: ours.append(list(losses.values()))
    play(game, data, n_steps=n_steps, **size, on_step=note)
    state = game.initial()
    for step in range(n_steps):
        batch, noise = draw(game, data, plan, replace(state, step=step))
        found = {name: each.contiguous() for name, each in batch.columns.items()}
        found = found or {name: data[name][:16] for name in ("x", "y")}
        for a, b in zip(ours[step], loop.move(step, found, noise), strict=True):
            worst = max(worst, abs(a - b) / max(1.0, abs(a)))
    torch.set_default_dtype(torch.float32)
    return worst


def in_order(game: Game) -> Game:
    """The game with quarter turns as torch-mimicry takes them, by place in the batch."""

    def turning(size: int, generator: torch.Generator, params: Any) -> dict[str, Tensor]:
        return {
            **game.draw(size, generator, params),
            "turns": torch.arange(size) * 4 // size,
        }

    return replace(game, draw=turning)


def n_moves(case: Case) -> int:
    """Whole rounds of the schedule that take `play` about `SECONDS`."""
    length = len(case.game().schedule)
    return length * max(3, round(3 * SECONDS / time_play(case, 3 * length)))


def medians(
    case: Case, sides: list[Callable[[int], float]], n_steps: int, rounds: int
) -> list[float]:
    """Of the CPU time of each side over that of `play`, all in turn in every round."""
    found = []
    for _ in range(rounds):
        own = time_play(case, n_steps)
        found.append([side(n_steps) / own for side in sides])
    return [statistics.median(ratios) for ratios in zip(*found, strict=True)]


def row(case: Case, rounds: int) -> str:
    title = f"`{case.name}` | {case.networks}, {' x '.join(map(str, case.shape))}"
    if case.name in PyOD.kinds:
        length = len(case.game().schedule)
        time_pyod = lambda _: PyOD.time(case.name, case.data, STOP_EPOCHS)
        (gain,) = medians(case, [time_pyod], length, rounds)
        single = replace(case, n_rows=case.batch_size)
        found = PyOD.apart(case.name, single.game(), single.data)
        return f"{title} | | | {PyOD.title} | {gain:.2f} | {found:.0e}"
    peers = [Mimicry] if case.name in MIMICRY else []
    peers += [TorchGAN] if case.name in TORCHGAN else []
    sides = [partial(time_moves, case, make=Plain, drawn=False)]
    sides += [partial(time_moves, case, make=peer, drawn=True) for peer in peers]
    n_steps = n_moves(case)
    medians(case, sides, len(case.game().schedule), 1)  # warms up
    gains = medians(case, sides, n_steps, rounds)
    differences = [apart(case, make) for make in (Plain, *peers)]
    cells = [f"{gains[0]:.2f} | {differences[0]:.0e}"]
    names, others, found = "none runs", "", ""
    if peers:
        names = ", ".join(peer.title for peer in peers)
        others = ", ".join(f"{gain:.2f}" for gain in gains[1:])
        found = ", ".join(f"{difference:.0e}" for difference in differences[1:])
    return " | ".join([title, *cells, names, others, found])


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rounds, only = int(sys.argv[1]), sys.argv[2:]
    titles = (
        "game | networks | times the plain loop | losses apart | peer | times the peer | "
        "losses apart"
    )
    print(f"| {titles} |\n|{'---|' * (titles.count('|') + 1)}")
    for case in CASES:
        if not only or {case.name, case.networks} & set(only):
            print(f"| {row(case, rounds)} |", flush=True)


if __name__ == "__main__":
    main()

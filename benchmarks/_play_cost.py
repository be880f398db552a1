"""The measurements of `play_cost.py`; runs inside the environment that it makes."""

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from _mimicry import dcgan, gan as mimicry, MetricLog, sngan
from torch import nn, Tensor
from torch.nn import functional
from torch.nn.utils import parametrizations

from counterplay import games, nets, optim, play
from counterplay._trajectory import draw, make_plan
from counterplay.game import Columns, Game


Pair = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Case:
    """What is trained: networks, data and a game."""

    title: str
    networks: str
    shape: tuple[int, ...]
    latent_dim: int
    options: dict[str, Any]
    loss: str = "non_saturating"
    n_critic: int = 1
    lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)
    batch_size: int = 64
    n_rounds: int = 40  # of moves in one timing
    spectral: bool = False  # normalised by PyTorch's parametrisation in the plain loop
    data: Columns | None = None

    def __post_init__(self):
        if self.data is None:
            random = torch.Generator().manual_seed(0)
            x = torch.rand(640, *self.shape, generator=random) * 2 - 1
            columns = Columns({"x": x}, tuple(map(str, range(640))), kind="image")
            object.__setattr__(self, "data", columns)

    @property
    def bare(self) -> dict[str, Any]:
        """Options that leave spectral normalisation out."""
        return {"spectral": False} if self.spectral else {}

    def pair(self, **changes: Any) -> Pair:
        return nets.pair(
            self.networks,
            self.shape,
            latent_dim=self.latent_dim,
            dtype=self.data["x"].dtype,
            **{**self.options, **changes},
        )

    def game(self, pair: Pair) -> Game:
        rules = {p: optim.adam(self.lr, betas=self.betas) for p in ("G", "D")}
        return games.load("gan")(
            *pair,
            latent_dim=self.latent_dim,
            loss=self.loss,
            n_critic=self.n_critic,
            optimizers=rules,
        )

    @property
    def n_moves(self) -> int:
        return self.n_rounds * (self.n_critic + 1)


CASES = [
    Case("DCGAN, 1 x 28 x 28, width 32", "dcgan", (1, 28, 28), 32, {"width": 32}),
    Case(
        "DCGAN, 3 x 32 x 32, width 64",
        "dcgan",
        (3, 32, 32),
        128,
        {"width": 64},
        n_rounds=12,
    ),
    Case(
        "SNGAN ResNet, 3 x 32 x 32, width 64",
        "resnet",
        (3, 32, 32),
        128,
        {"width": 64, "activation": "relu"},
        loss="hinge",
        n_critic=5,
        lr=2e-4,
        betas=(0.0, 0.9),
        n_rounds=3,
        spectral=True,
    ),
    Case(
        "MLP of the 2-D game",
        "mlp",
        (2,),
        10,
        {"width": 32, "width_d": 64, "activation": "relu", "bias": False, "glorot": True},
        n_rounds=1_000,
    ),
]


def loss_of_d(case: Case, real: Tensor, fake: Tensor) -> Tensor:
    if case.loss == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def loss_of_g(case: Case, fake: Tensor) -> Tensor:
    return -fake.mean() if case.loss == "hinge" else functional.softplus(-fake).mean()


class Plain:
    """The loop as people write it."""

    def __init__(self, case: Case, pair: Pair):
        self.case, (self.G, self.D) = case, pair
        self.adam = {
            network: torch.optim.Adam(network.parameters(), case.lr, betas=case.betas)
            for network in pair
        }

    def move_d(self, real: Tensor, z: Tensor) -> float:
        self.adam[self.D].zero_grad()
        fake = self.G(z).detach()
        loss = loss_of_d(self.case, self.D(real), self.D(fake))
        loss.backward()
        self.adam[self.D].step()
        return loss.item()

    def move_g(self, z: Tensor) -> float:
        self.adam[self.G].zero_grad()
        loss = loss_of_g(self.case, self.D(self.G(z)))
        loss.backward()
        self.adam[self.G].step()
        return loss.item()


class Wrapped:
    """Any networks behind torch-mimicry's train steps."""

    def __init__(self, case: Case, pair: Pair):
        loss = "hinge" if case.loss == "hinge" else "ns"
        self.z: Tensor | None = None
        if isinstance(pair[0], mimicry.BaseGenerator):
            self.G, self.D = pair
        else:
            self.G = _Generator(case.latent_dim, 0, 0, loss)
            self.D = _Discriminator(0, loss)
            self.G.network, self.D.network = pair
        self.adam = {
            network: torch.optim.Adam(network.parameters(), case.lr, betas=case.betas)
            for network in (self.G, self.D)
        }

    def move_d(self, real: Tensor, z: Tensor | None = None) -> float:
        log = self.D.train_step(
            real_batch=(real, None),
            netG=self._generating(z),
            optD=self.adam[self.D],
            log_data=MetricLog(),
            device="cpu",
        )
        return log.metrics_dict["errD"]["value"]

    def move_g(self, z: Tensor | None = None, *, like: Tensor) -> float:
        log = self._generating(z).train_step(
            real_batch=(like, None),
            netD=self.D,
            optG=self.adam[self.G],
            log_data=MetricLog(),
            device="cpu",
        )
        return log.metrics_dict["errG"]["value"]

    def _generating(self, z: Tensor | None) -> Any:
        if z is not None:  # it draws its latents itself
            self.G.generate_images = lambda num_images, device=None: self.G(z)
        return self.G


class _Generator(mimicry.BaseGenerator):
    network: nn.Module

    def forward(self, z: Tensor) -> Tensor:
        return self.network(z)


class _Discriminator(mimicry.BaseDiscriminator):
    network: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[:, None]


def batches(case: Case) -> Iterator[Tensor]:
    x = case.data["x"]
    while True:
        for rows in torch.randperm(len(x)).split(case.batch_size):
            yield x[rows]


def time_plain(case: Case) -> float:
    pair = case.pair(**case.bare)
    if case.spectral:
        for layer in list(pair[1].modules()):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                parametrizations.spectral_norm(layer)
    loop, stream = Plain(case, pair), batches(case)
    start = time.process_time()
    for _ in range(case.n_rounds):
        for _ in range(case.n_critic):
            loop.move_d(next(stream), torch.randn(case.batch_size, case.latent_dim))
        loop.move_g(torch.randn(case.batch_size, case.latent_dim))
    return time.process_time() - start


def time_mimicry(case: Case) -> float:
    if case.spectral:
        width = case.options["width"]
        pair = sngan.SNGANGenerator32(ngf=width), sngan.SNGANDiscriminator32(ndf=width)
    else:
        pair = case.pair()
    loop, stream = Wrapped(case, pair), batches(case)
    start = time.process_time()
    for _ in range(case.n_rounds):
        for _ in range(case.n_critic):
            real = next(stream)
            loop.move_d(real)
        loop.move_g(like=real)
    return time.process_time() - start


def time_play(case: Case) -> float:
    game = case.game(case.pair())
    start = time.process_time()
    n_steps = case.n_moves
    play(game, case.data, n_steps=n_steps, batch_size=case.batch_size, every=n_steps)
    return time.process_time() - start


def speed(case: Case, rounds: int) -> str:
    sides: list[Callable[[Case], float]] = [time_play, time_plain, time_mimicry]
    times = [[side(case) for side in sides] for _ in range(rounds + 1)][1:]
    gains = [
        statistics.median(row[i] / row[0] for row in times) for i in range(1, len(sides))
    ]
    return " | ".join(f"{gain:.2f}" for gain in gains)


def same_losses(case: Case) -> str:
    """The largest difference of any loss, relative above 1, over a few float64 moves."""
    torch.set_default_dtype(torch.float64)  # of the latents that torch-mimicry draws
    case = replace(case, data=case.data.to(dtype=torch.float64), batch_size=16)
    pair, copy = case.pair(), case.pair()
    plain = Plain(case, copy)
    advance = partial(advanced, copy[1])  # `play` moves singular vectors once in a move
    found = apart(case, pair, plain.move_d, plain.move_g, advance)
    # torch-mimicry moves them at every call of the network, so there it is left out.
    pair, others = case.pair(**case.bare), peer_of(case)
    wrapped, last = Wrapped(case, others), {}

    def move_d(real: Tensor, z: Tensor) -> float:
        last["real"] = real
        return wrapped.move_d(real, z)

    def move_g(z: Tensor) -> float:
        return wrapped.move_g(z, like=last["real"])

    found_there = apart(case, pair, move_d, move_g, lambda: None)
    torch.set_default_dtype(torch.float32)
    return f"{found:.1e} | {found_there:.1e}"


def peer_of(case: Case) -> Pair:
    """Networks with the same parameters: torch-mimicry's own, where it has them."""
    if not case.spectral:
        return case.pair()
    width = case.options["width"]
    ours = case.pair(**case.bare)
    theirs = (
        dcgan.DCGANGenerator32(ngf=width, loss_type=case.loss),
        dcgan.DCGANDiscriminator32(ndf=width, loss_type=case.loss),
    )
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    for one, other in zip(ours, theirs, strict=True):
        for kind in kinds:  # in one order on both sides: blocks, and shortcuts last in them
            sources = [layer for layer in one.modules() if isinstance(layer, kind)]
            targets = [layer for layer in other.modules() if isinstance(layer, kind)]
            for source, target in zip(sources, targets, strict=True):
                target.load_state_dict(source.state_dict())
    for layer in theirs[1].modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # it would rectify what the shortcuts see, too
    return theirs


def advanced(network: nn.Module) -> None:
    """Move the singular vectors of a network by one power iteration."""
    with torch.no_grad():
        for layer in network.modules():
            if hasattr(layer, "parametrizations"):
                (norm,) = layer.parametrizations.weight
                original = layer.parametrizations.weight.original
                norm._u, norm._v = norm.advance(original, norm._u, norm._v)


def apart(
    case: Case,
    pair: Pair,
    move_d: Callable[[Tensor, Tensor], float],
    move_g: Callable[[Tensor], float],
    before_d: Callable[[], None],
) -> float:
    """Play a few rounds here and there, from the same draws."""
    game, ours, theirs = case.game(pair), [], []
    n_steps = 2 * (case.n_critic + 1)
    state, plan = game.initial(), make_plan(case.data, batch_size=case.batch_size, seed=0)
    play(
        game,
        case.data,
        n_steps=n_steps,
        batch_size=case.batch_size,
        on_step=lambda state, losses: ours.extend(losses.values()),
    )
    for move in range(n_steps):
        batch, noise = draw(game, case.data, plan, replace(state, step=move))
        if game.reads(move):
            before_d()
            theirs.append(move_d(batch["x"].contiguous(), noise["z"]))
        else:
            theirs.append(move_g(noise["z"]))
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rounds = int(sys.argv[1])
    only = sys.argv[2:]
    print(
        "| networks | times the plain loop | times torch-mimicry | losses: plain loop | "
        "torch-mimicry |\n|---|---|---|---|---|"
    )
    for case in CASES:
        if not only or case.networks in only:
            print(
                f"| {case.title} | {speed(case, rounds)} | {same_losses(case)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""The train steps of other libraries on the networks of our games.

Each wraps a game's modules in a library's own base classes and has a method `move`, which
plays a move, with given noise or with what the library draws, and returns its losses.
"""

import contextlib
import copy
import io
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ClassVar
from unittest import mock

import _mimicry
import torch
from pyod.models import mo_gaal, so_gaal
from torch import nn, Tensor
from torch_mimicry.nets.gan import cgan
from torch_mimicry.nets.infomax_gan import infomax_gan_base
from torch_mimicry.nets.ssgan import ssgan_base
from torch_mimicry.nets.wgan_gp import wgan_gp_base
from torchgan import losses as torchgan
from torchgan.models import Discriminator, Generator

from counterplay import play
from counterplay.game import Columns, Game
from counterplay.games.mo_gaal import _shown
from counterplay.nets import gaal


Named = Mapping[str, Tensor]
N_CLASSES, N_FEATURES = 10, 128


class Given:
    """A generator's part that takes noise from outside, if there is any."""

    network: nn.Module
    noise: Named | None = None

    def forward(self, *drawn: Tensor) -> Tensor:
        if self.noise is not None:
            drawn = tuple(self.noise[name] for name in ("z", "y") if name in self.noise)
        return self.network(*drawn)

    def generate_images_with_labels(self, *args: Any, **options: Any) -> Any:
        if self.noise is None:
            return super().generate_images_with_labels(*args, **options)
        return self.forward(), self.noise["y"]


class Logit:
    network: nn.Module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs)[:, None]


class LogitAndTurns(Logit):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        given = self.network(x)
        return given[:, :1], given[:, 1:]


class Compared(Logit):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        local = self.network.trunk(x)
        whole = self.network.rest(local)
        return self.network.head(whole)[:, None], local, whole

    def project_features(self, local_feat: Tensor, global_feat: Tensor) -> Any:
        places = local_feat.reshape(*local_feat.shape[:2], -1).mT
        projected = self.network.of_places(places).mT[..., None]
        return projected, self.network.of_whole(global_feat)


class Sloped(Logit):
    def compute_gradient_penalty_loss(self, *args: Any, **options: Any) -> Tensor:
        self.penalty = super().compute_gradient_penalty_loss(*args, **options)
        return self.penalty


GAN = _mimicry.gan.BaseGenerator, _mimicry.gan.BaseDiscriminator, Logit, "ns"
MIMICRY = {  # the bases, what their discriminator gives, and their loss
    "gan": GAN,
    "cgan": (cgan.BaseConditionalGenerator, cgan.BaseConditionalDiscriminator, Logit, "ns"),
    "sagan": (
        cgan.BaseConditionalGenerator, cgan.BaseConditionalDiscriminator, Logit, "hinge",
    ),
    "ssgan": (
        ssgan_base.SSGANBaseGenerator, ssgan_base.SSGANBaseDiscriminator, LogitAndTurns,
        "hinge",
    ),
    "infomax_gan": (
        infomax_gan_base.InfoMaxGANBaseGenerator, infomax_gan_base.BaseDiscriminator,
        Compared, "hinge",
    ),
    "wgan_gp": (
        wgan_gp_base.WGANGPBaseGenerator, wgan_gp_base.WGANGPBaseDiscriminator, Sloped,
        "wasserstein",
    ),
}  # fmt: skip


class Mimicry:
    title = f"torch-mimicry {version('torch-mimicry')}"

    def __init__(self, name: str, game: Game):
        of_g, of_d, judging, loss = MIMICRY[name]
        first = game.draw(1, torch.Generator(), {})
        more = {"num_classes": N_CLASSES} if "y" in first else {}
        sizes = {"nz": first["z"].shape[1], "ngf": 0, "bottom_width": 0}
        self.G = type("G", (Given, of_g), {})(**sizes, **more, loss_type=loss)
        if name == "infomax_gan":
            more["nrkhs"] = N_FEATURES
        self.D = type("D", (judging, of_d), {})(ndf=0, **more, loss_type=loss)
        self.game = game
        nets = copy.deepcopy(dict(game.modules))
        self.G.network, self.D.network = nets["G"], nets["D"]
        self.optimizers = {p: adam(nets[p], game, p) for p in ("G", "D")}

    def move(self, step: int, batch: Named, noise: Named | None = None) -> list[float]:
        (player,) = self.game.movers(step)
        self.G.noise, log = noise, _mimicry.MetricLog()
        given = {"log_data": log, "device": "cpu"}
        given["real_batch"] = batch["x"], batch.get("y")
        with mixing(noise):
            if player == "D":
                self.D.train_step(**given, netG=self.G, optD=self.optimizers["D"])
            else:
                self.G.train_step(**given, netD=self.D, optG=self.optimizers["G"])
        found = [v["value"] for k, v in log.metrics_dict.items() if k.startswith("err")]
        if player == "D" and isinstance(self.D, Sloped):
            found.append(self.D.penalty.item())
        return [float(sum(found))]


class Energy(Logit):
    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x)[0] - x).square().flatten(1).mean(1)


TORCHGAN = {
    "gan": (torchgan.MinimaxDiscriminatorLoss(), torchgan.MinimaxGeneratorLoss(), Logit),
    "ebgan": (
        torchgan.EnergyBasedDiscriminatorLoss(margin=0.2),
        torchgan.EnergyBasedGeneratorLoss(),
        Energy,
    ),
}


class TorchGAN:
    title = f"torchgan {version('torchgan')}"

    def __init__(self, name: str, game: Game):
        self.of_d, self.of_g, judging = TORCHGAN[name]
        self.game, nets = game, copy.deepcopy(dict(game.modules))
        latent_dim = game.draw(1, torch.Generator(), {})["z"].shape[1]
        self.G = type("G", (Given, Generator), {})(latent_dim)
        self.D = type("D", (judging, Discriminator), {})(0)
        self.G.network, self.D.network = nets["G"], nets["D"]
        self.optimizers = {p: adam(nets[p], game, p) for p in ("G", "D")}

    def move(self, step: int, batch: Named, noise: Named | None = None) -> list[float]:
        (player,) = self.game.movers(step)
        self.G.noise, x = noise, batch["x"]
        both = {"generator": self.G, "discriminator": self.D, "device": "cpu"}
        size = {"batch_size": len(x)}
        if player == "G":
            adam = {"optimizer_generator": self.optimizers["G"]}
            return [self.of_g.train_ops(**both, **size, **adam)]
        adam = {"optimizer_discriminator": self.optimizers["D"], "real_inputs": x}
        size = size if isinstance(self.of_d, torchgan.EnergyBasedDiscriminatorLoss) else {}
        return [self.of_d.train_ops(**both, **size, **adam)]


def adam(module: nn.Module, game: Game, player: str) -> torch.optim.Optimizer:
    rule = game.optimizers[player].description
    return torch.optim.Adam(module.parameters(), rule["lr"], betas=tuple(rule["betas"]))


def mixing(noise: Named | None) -> contextlib.AbstractContextManager:
    """Let `torch.rand` return the given shares between instances and samples."""
    if noise is None or "mix" not in noise:
        return contextlib.nullcontext()
    return mock.patch.object(torch, "rand", lambda *shape: noise["mix"].view(shape))


class PyOD:
    """PyOD's detectors, which train in one call: both players, then D alone."""

    title = f"PyOD {version('pyod')}"
    kinds: ClassVar = {"so_gaal": so_gaal.SO_GAAL, "mo_gaal": mo_gaal.MO_GAAL}

    @classmethod
    def time(cls, name: str, data: Columns, stop_epochs: int) -> float:
        """CPU seconds."""
        start = time.process_time()
        cls.fit(name, data, stop_epochs)
        return time.process_time() - start

    @classmethod
    def fit(cls, name: str, data: Columns, stop_epochs: int = 1) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return cls.kinds[name](stop_epochs=stop_epochs).fit(data["x"].numpy())

    @classmethod
    def apart(cls, name: str, game: Game, data: Columns) -> float:
        """The largest difference of first losses, in float32."""
        n, ours = len(data), []
        z = game.draw(n, torch.Generator(), {})["z"]
        fixed = replace(game, draw=lambda size, generator, params: {"z": z})
        play(
            fixed, data, n_steps=2, batch_size=n, on_step=lambda _, each: ours.append(each)
        )
        shown = z if name == "so_gaal" else z.flatten(0, 1)[_shown(n, len(z), "official")]
        logit = copy.deepcopy(game.modules["D"])
        score = nn.Sequential(logit, nn.Sigmoid())
        made = lambda *sizes: gaal.generator(shown.shape[1])
        with (
            mock.patch.object(torch, "rand", return_value=shown),
            mock.patch.multiple(
                so_gaal, Generator=made, Discriminator=lambda *sizes: score
            ),
            mock.patch.multiple(
                mo_gaal, create_generator=made, create_discriminator=lambda *sizes: score
            ),
        ):
            history = cls.fit(name, data).train_history
        theirs = history["discriminator_loss"][0] / (2 if name == "so_gaal" else 1)
        found = abs(ours[0]["D"] - theirs)
        if name == "so_gaal":  # in MO-GAAL generators weigh their samples differently
            found = max(found, abs(ours[1]["G"] - history["generator_loss"][0]))
        return found

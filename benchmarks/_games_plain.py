"""The losses of every game by hand, as people write them.

A loss reads the players (`on.D`), a batch and the noise of a move. Instances have no
weights. What another player made is detached; another player's network that a loss leads
through is not frozen, so its gradients are computed and thrown away, as in most code.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import autograd, Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss, normalize, relu, softplus


Named = Mapping[str, Tensor]


def real(logits: Tensor) -> Tensor:
    return softplus(-logits).mean()


def fake(logits: Tensor) -> Tensor:
    return softplus(logits).mean()


def gan_d(on, batch, noise):
    return real(on.D(batch["x"])) + fake(on.D(on.G(noise["z"]).detach()))


def gan_g(on, batch, noise):
    return real(on.D(on.G(noise["z"])))


def hinge_d(of_real: Tensor, of_fake: Tensor) -> Tensor:
    return relu(1 - of_real).mean() + relu(1 + of_fake).mean()


def slope(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The squared norm of a score's gradient, per row."""
    x = x.detach().requires_grad_()
    (found,) = autograd.grad(score(x).sum(), x, create_graph=True)
    return found.flatten(1).square().sum(1)


def between(x: Tensor, made: Tensor, mix: Tensor) -> Tensor:
    mix = mix.view(-1, *[1] * (x.dim() - 1))
    return mix * x + (1 - mix) * made


def wgan_gp_d(on, batch, noise):
    x, made = batch["x"], on.G(noise["z"]).detach()
    norm = slope(on.D, between(x, made, noise["mix"])).sqrt()
    return on.D(made).mean() - on.D(x).mean() + 10 * (norm - 1).square().mean()


def wgan_gp_g(on, batch, noise):
    return -on.D(on.G(noise["z"])).mean()


def stylegan2_d(on, batch, noise):
    x = batch["x"].detach().requires_grad_()
    logits = on.D(x)
    (found,) = autograd.grad(logits.sum(), x, create_graph=True)
    penalty = found.flatten(1).square().sum(1).mean()
    return real(logits) + 5 * penalty + fake(on.D(on.G(noise["z"]).detach()))


def cgan_d(on, batch, noise):
    made = on.G(noise["z"], noise["y"]).detach()
    return real(on.D(batch["x"], batch["y"])) + fake(on.D(made, noise["y"]))


def cgan_g(on, batch, noise):
    return real(on.D(on.G(noise["z"], noise["y"]), noise["y"]))


def sagan_d(on, batch, noise):
    made = on.G(noise["z"], noise["y"]).detach()
    return hinge_d(on.D(batch["x"], batch["y"]), on.D(made, noise["y"]))


def sagan_g(on, batch, noise):
    return -on.D(on.G(noise["z"], noise["y"]), noise["y"]).mean()


def acgan_d(on, batch, noise):
    of_real = on.D(batch["x"])
    of_fake = on.D(on.G(noise["z"], noise["y"]).detach())
    named = cross_entropy(of_real[:, 1:], batch["y"])
    named = named + cross_entropy(of_fake[:, 1:], noise["y"])
    return real(of_real[:, 0]) + fake(of_fake[:, 0]) + named


def acgan_g(on, batch, noise):
    logits = on.D(on.G(noise["z"], noise["y"]))
    return real(logits[:, 0]) + cross_entropy(logits[:, 1:], noise["y"])


def amgan_d(on, batch, noise):
    of_real, of_fake = on.D(batch["x"]), on.D(on.G(noise["z"]).detach())
    fakes = torch.full((len(of_fake),), of_fake.shape[1] - 1)
    return cross_entropy(of_real, batch["y"]) + cross_entropy(of_fake, fakes)


def amgan_g(on, batch, noise):
    logits = on.D(on.G(noise["z"]))
    return cross_entropy(logits, logits[:, :-1].argmax(1))


def unread(given: Tensor, z: Tensor) -> Tensor:
    wrong = cross_entropy(given[:, 1:11], z[:, :10].argmax(1))
    return wrong + 0.1 * (z[:, 10:12] - given[:, 11:13]).square().sum(1).mean() / 2


def infogan_d(on, batch, noise):
    of_real, of_fake = on.D(batch["x"])[:, 0], on.D(on.G(noise["z"]).detach())
    return real(of_real) + fake(of_fake[:, 0]) + unread(of_fake, noise["z"])


def infogan_g(on, batch, noise):
    given = on.D(on.G(noise["z"]))
    return real(given[:, 0]) + unread(given, noise["z"])


def turned(x: Tensor, turns: Tensor) -> Tensor:
    found = x.clone()
    for k in range(1, 4):
        found[turns == k] = x[turns == k].rot90(k, (2, 3))
    return found


def ssgan_d(on, batch, noise):
    x, turns = batch["x"], noise["turns"]
    of_real, of_fake = on.D(x)[:, 0], on.D(on.G(noise["z"]).detach())[:, 0]
    task = cross_entropy(on.D(turned(x, turns))[:, 1:], turns)
    return hinge_d(of_real, of_fake) + task


def ssgan_g(on, batch, noise):
    made, turns = on.G(noise["z"]), noise["turns"]
    task = cross_entropy(on.D(turned(made, turns))[:, 1:], turns)
    return -on.D(made)[:, 0].mean() + 0.2 * task


def msgan_d(on, batch, noise):
    x, made, turns = batch["x"], on.G(noise["z"]).detach(), noise["turns"]
    task = 0.8 * cross_entropy(on.D(turned(x, turns))[:, 1:], turns)
    as_samples = torch.full_like(turns, 4)
    task = task + 0.2 * cross_entropy(on.D(turned(made, turns))[:, 1:], as_samples)
    return hinge_d(on.D(x)[:, 0], on.D(made)[:, 0]) + 0.5 * task


def msgan_g(on, batch, noise):
    made, turns = on.G(noise["z"]), noise["turns"]
    gap = cross_entropy(on.D(turned(made, turns))[:, 1:], turns)
    gap = gap - cross_entropy(on.D(turned(batch["x"], turns))[:, 1:], turns)
    return -on.D(made)[:, 0].mean() + 0.1 * gap.abs()


def dag_d(on, batch, noise):
    x, made = batch["x"], on.G(noise["z"]).detach()
    total = real(on.D(x)[:, 0]) + fake(on.D(made)[:, 0])
    for k in range(4):
        of_real, of_fake = on.D(x.rot90(k, (2, 3))), on.D(made.rot90(k, (2, 3)))
        total = total + 0.2 / 4 * (real(of_real[:, 1 + k]) + fake(of_fake[:, 1 + k]))
    return total


def dag_g(on, batch, noise):
    made = on.G(noise["z"])
    total = real(on.D(made)[:, 0])
    for k in range(4):
        total = total + 0.2 / 4 * real(on.D(made.rot90(k, (2, 3)))[:, 1 + k])
    return total


def gman_d(on, batch, noise, player):
    made = on.G(noise["z"][:, int(player[1:])]).detach()
    return real(on.nets[player](batch["x"])) + fake(on.nets[player](made))


def gman_g(on, batch, noise):
    made = on.G(noise["z"][:, 0])
    values = torch.stack([-fake(D(made)) for name, D in on.nets.items() if name != "G"])
    return values.softmax(0) @ values


def energy(on, x: Tensor) -> Tensor:
    return (on.D(x)[0] - x).square().flatten(1).mean(1)


def ebgan_d(on, batch, noise):
    made = on.G(noise["z"]).detach()
    return energy(on, batch["x"]).mean() + relu(0.2 - energy(on, made)).mean()


def ebgan_g(on, batch, noise):
    return energy(on, on.G(noise["z"])).mean()


def cegan_d(on, batch, noise):
    of_real, of_fake = -on.D(batch["x"]), -on.D(on.G(noise["z"]).detach())
    smooth = of_real.square().mean() + of_fake.square().mean()
    return of_real.mean() - of_fake.mean() + 0.01 * smooth


def cegan_g(on, batch, noise):
    made = on.G(noise["z"])
    x = made.detach().flatten(1)
    near = torch.cdist(x, x).topk(6, largest=False).indices[:, 1:]
    crowd = normalize(x[near].mean(1) - x, dim=1)
    return -on.D(made).mean() + (crowd * made.flatten(1)).sum(1).mean()


def bigan_d(on, batch, noise):
    x, z, team = batch["x"], noise["z"], on.G
    codes, made = team["encoder"](x).detach(), team["generator"](z).detach()
    return (real(on.D(x, codes)) + fake(on.D(made, z))) / 2


def bigan_g(on, batch, noise):
    x, z, team = batch["x"], noise["z"], on.G
    return (fake(on.D(x, team["encoder"](x))) + real(on.D(team["generator"](z), z))) / 2


def drawn(team, x: Tensor, code: Tensor) -> Tensor:
    mean, log_std = team["encoder"](x).chunk(2, 1)
    return mean + log_std.exp() * code


def ali_d(on, batch, noise):
    x, z = batch["x"], noise["z"]
    codes, made = drawn(on.G, x, noise["code"]).detach(), on.G["generator"](z).detach()
    return real(on.D(x, codes)) + fake(on.D(made, z))


def ali_g(on, batch, noise):
    x, z = batch["x"], noise["z"]
    return fake(on.D(x, drawn(on.G, x, noise["code"]))) + real(
        on.D(on.G["generator"](z), z)
    )


def gaan_e(on, batch, noise):
    x, z = batch["x"], noise["z"]
    codes, made = on.E(x), on.G(z)
    of_x, of_rebuilt, of_made = (on.D(each)[1] for each in (x, on.G(codes), made))
    gap = of_rebuilt.mean() - of_made.mean()
    gap = gap - math.sqrt(z.shape[1] / of_x.shape[1]) * (codes.mean() - z.mean())
    return mse_loss(of_rebuilt, of_x) + gap.square()


def gaan_d(on, batch, noise):
    x, made = batch["x"], on.G(noise["z"]).detach()
    rebuilt = on.G(on.E(x)).detach()
    norm = slope(lambda x: on.D(x)[0], between(x, made, noise["mix"])).sqrt()
    of_real = 0.95 * real(on.D(x)[0]) + 0.05 * real(on.D(rebuilt)[0])
    return of_real + (norm - 1).square().mean() + fake(on.D(made)[0])


def gaan_g(on, batch, noise):
    of_real, of_made = (on.D(x)[0].sigmoid() for x in (batch["x"], on.G(noise["z"])))
    return (of_real.mean() - of_made.mean()).abs() + gaan_e(on, batch, noise)


def semi_supervised_gan_d(on, batch, noise):
    of_real, of_fake = on.D(batch["x"])[0], on.D(on.G(noise["z"]).detach())[0]
    game = real(of_real.logsumexp(1)) + fake(of_fake.logsumexp(1))
    return cross_entropy(of_real, batch["y"]) + game / 2


def semi_supervised_gan_g(on, batch, noise):
    of_real, of_fake = on.D(batch["x"])[1], on.D(on.G(noise["z"]))[1]
    return mse_loss(of_fake.mean(0), of_real.mean(0))


def contrast(places: Tensor, whole: Tensor) -> Tensor:
    scores = torch.einsum("ir,jpr->ijp", whole, places)
    own = scores.diagonal().mT
    same = torch.eye(len(whole), dtype=torch.bool)[:, :, None]
    others = scores.masked_fill(same, -math.inf).flatten(1).logsumexp(1)[:, None]
    return (torch.logaddexp(own, others) - own).mean()


def infomax_gan_d(on, batch, noise):
    of_real, places, whole = on.D(batch["x"])
    of_fake = on.D(on.G(noise["z"]).detach())[0]
    return hinge_d(of_real, of_fake) + 0.2 * contrast(places, whole)


def infomax_gan_g(on, batch, noise):
    logits, places, whole = on.D(on.G(noise["z"]))
    return -logits.mean() + 0.2 * contrast(places, whole)


def cogan_d(on, batch, noise):
    x, y, made = batch["x"], batch["y"], on.G(noise["z"])
    total = 0.0
    for domain in (0, 1):
        own, samples = x[y == domain], made[domain].detach()
        total = total + real(on.D(own, torch.full((len(own),), domain)))
        total = total + fake(on.D(samples, torch.full((len(samples),), domain)))
    return total


def cogan_g(on, batch, noise):
    made = on.G(noise["z"])
    domains = (torch.full((len(each),), domain) for domain, each in enumerate(made))
    return sum(real(on.D(x, y)) for x, y in zip(made, domains, strict=True))


def unrolled_g(on, batch, noise):
    rule = on.optimizers["D"]
    lr, (beta1, beta2), eps = (rule.param_groups[0][key] for key in ("lr", "betas", "eps"))
    future = dict(on.D.named_parameters())
    memory = {name: rule.state[param] for name, param in future.items()}
    means = {name: old.get("exp_avg", 0.0) for name, old in memory.items()}
    squares = {name: old.get("exp_avg_sq", 0.0) for name, old in memory.items()}
    count = max(int(old.get("step", 0)) for old in memory.values())

    def loss_d() -> Tensor:
        score = lambda x: functional_call(on.D, future, (x,))
        return real(score(batch["x"])) + fake(score(on.G(noise["z"])))

    for step in range(count + 1, count + 6):
        grads = autograd.grad(loss_d(), list(future.values()), create_graph=True)
        for (name, param), grad in zip(list(future.items()), grads, strict=True):
            means[name] = beta1 * means[name] + (1 - beta1) * grad
            squares[name] = beta2 * squares[name] + (1 - beta2) * grad.square()
            root = (squares[name].clamp_min(1e-38) / (1 - beta2**step)).sqrt() + eps
            future[name] = param - lr / (1 - beta1**step) * means[name] / root
    return -loss_d()


def lqgan_d(on, batch, noise):
    length = sum(param.square().sum() for param in on.D.parameters())
    gap = on.D(on.G(noise["z"]).detach()).mean() - on.D(batch["x"]).mean()
    return gap + length / 2


def mad_gan_d(on, batch, noise):
    penalty = slope(lambda x: on.D(x).mean(1), batch["x"]).mean() / 2
    return gan_d(on, batch, noise) + penalty


LOSSES: Mapping[str, Mapping[str, Callable[..., Tensor]]] = {
    "acgan": {"D": acgan_d, "G": acgan_g},
    "ali": {"D": ali_d, "G": ali_g},
    "amgan": {"D": amgan_d, "G": amgan_g},
    "bigan": {"D": bigan_d, "G": bigan_g},
    "cegan": {"D": cegan_d, "G": cegan_g},
    "cgan": {"D": cgan_d, "G": cgan_g},
    "cogan": {"D": cogan_d, "G": cogan_g},
    "dag": {"D": dag_d, "G": dag_g},
    "ebgan": {"D": ebgan_d, "G": ebgan_g},
    "gaan": {"E": gaan_e, "D": gaan_d, "G": gaan_g},
    "gan": {"D": gan_d, "G": gan_g},
    "gman": {"D": gman_d, "G": gman_g},
    "infogan": {"D": infogan_d, "G": infogan_g},
    "infomax_gan": {"D": infomax_gan_d, "G": infomax_gan_g},
    "lqgan": {"D": lqgan_d, "G": wgan_gp_g},
    "mad_gan": {"D": mad_gan_d, "G": gan_g},
    "msgan": {"D": msgan_d, "G": msgan_g},
    "sagan": {"D": sagan_d, "G": sagan_g},
    "semi_supervised_gan": {"D": semi_supervised_gan_d, "G": semi_supervised_gan_g},
    "ssgan": {"D": ssgan_d, "G": ssgan_g},
    "stylegan2": {"D": stylegan2_d, "G": gan_g},
    "unrolled": {"D": gan_d, "G": unrolled_g},
    "wgan_gp": {"D": wgan_gp_d, "G": wgan_gp_g},
}

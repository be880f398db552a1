"""Losses of the games against formulas written out by hand, one identity per game."""

import math

import cases
import pytest
import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits as cross_entropy,
    cross_entropy as class_entropy,
)

from counterplay import augment, games, optim
from counterplay.errors import GameError
from counterplay.game import Batch


class Given(nn.Module):
    """A network of one parameter: what it is told to give, times that."""

    def __init__(self, function):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.function = function

    def forward(self, *inputs):
        return _scaled(self.function(*inputs), self.scale)


def _scaled(value, scale):
    return tuple(v * scale for v in value) if isinstance(value, tuple) else value * scale


def float64(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def first_move(case):
    """What the losses of the first move read."""
    n = 6
    data = case.data.select(range(n))
    params = case.game.view(case.game.initial())
    noise = case.game.draw(n, torch.Generator().manual_seed(1), params)
    batch = Batch(torch.arange(n), data.tensors)
    return params, batch, noise, torch.ones(n, dtype=torch.float64)


def applied(case, player, *inputs, part=None):
    module = case.game.modules[player]
    return (module[part] if part else module)(*inputs)


def test_wgan_gp_is_the_gan_with_its_loss_and_penalty():
    case = cases.make("wgan_gp")
    G, D = (case.game.modules[player] for player in "GD")
    same = games.load("gan")(
        G, D, latent_dim=2, loss="wasserstein", n_critic=5, gradient_penalty=10.0
    )
    inputs = first_move(case)
    for player in "GD":
        torch.testing.assert_close(
            case.game.losses[player](*inputs), same.losses[player](*inputs)
        )


def test_a_paired_gan_compares_each_instance_with_its_sample():
    case = cases.make("gan", relativistic="paired")
    params, batch, noise, _ = first_move(case)
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0, 0.5], dtype=torch.float64)
    more = applied(case, "D", batch["x"]) - applied(
        case, "D", applied(case, "G", noise["z"])
    )
    for player, sign in {"D": -1, "G": 1}.items():
        expected = (weights[:, None] * (1 + (sign * more).exp()).log()).sum() / 6
        found = case.game.losses[player](params, batch, noise, weights)
        torch.testing.assert_close(found, expected)
    assert case.game.readers == ("D", "G")
    assert not case.game.couples_instances


def test_a_gan_to_the_average_couples_instances():
    assert cases.make("gan", relativistic="average").game.couples_instances
    assert cases.make("gan").game.readers == ("D",)


def test_an_augmented_gan_shows_instances_and_samples_changed():
    kinds = ("colour", "shift", "cut")
    case = cases.make("gan", augment=kinds)
    params, batch, noise, ones = first_move(case)
    change = augment.at_random(kinds)
    fake = change(applied(case, "G", noise["z"]), noise["fake"])
    real = applied(case, "D", change(batch["x"], noise["real"]))
    made = applied(case, "D", fake)
    expected = -real.sigmoid().log().mean() - (1 - made.sigmoid()).log().mean()
    torch.testing.assert_close(case.game.losses["D"](params, batch, noise, ones), expected)
    torch.testing.assert_close(
        case.game.losses["G"](params, batch, noise, ones), -made.sigmoid().log().mean()
    )


def test_a_minibatch_gan_judges_instances_beside_instances_and_samples_beside_samples():
    case = cases.make("minibatch_gan", real_target=0.9)
    params, batch, noise, ones = first_move(case)
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0, 0.5], dtype=torch.float64)
    fake = applied(case, "G", noise["z"])
    real, made = applied(case, "D", batch["x"], weights), applied(case, "D", fake, ones)
    smooth = -0.9 * real.sigmoid().log() - 0.1 * (1 - real.sigmoid()).log()
    expected = (weights * smooth).mean() - (1 - made.sigmoid()).log().mean()
    found = case.game.losses["D"](params, batch, noise, weights)
    torch.testing.assert_close(found, expected)
    found = case.game.losses["G"](params, batch, noise, weights)
    torch.testing.assert_close(found, -made.sigmoid().log().mean())


def test_bigan_turns_the_labels_of_both_pairs():
    case = cases.make("bigan")
    params, batch, noise, ones = first_move(case)
    x, z = batch["x"], noise["z"]
    code = applied(case, "G", x, part="encoder")
    fake = applied(case, "G", z, part="generator")
    real, made = applied(case, "D", x, code)[:, None], applied(case, "D", fake, z)[:, None]
    for player, truth in {"D": 1.0, "G": 0.0}.items():
        expected = (
            cross_entropy(real, torch.full_like(real, truth))
            + cross_entropy(made, torch.full_like(made, 1 - truth))
        ) / 2
        found = case.game.losses[player](params, batch, noise, ones)
        torch.testing.assert_close(found, expected)


def test_ali_without_spread_is_bigan_twice():
    case = cases.make("ali")
    params, batch, noise, ones = first_move(case)
    x, z = batch["x"], noise["z"]
    code = applied(case, "G", x, part="encoder")[:, :2]  # the means
    noise = {**noise, "code": torch.zeros_like(noise["code"])}
    real = applied(case, "D", x, code)
    made = applied(case, "D", applied(case, "G", z, part="generator"), z)
    expected = cross_entropy(real, torch.ones_like(real)) + cross_entropy(
        made, torch.zeros_like(made)
    )
    torch.testing.assert_close(case.game.losses["D"](params, batch, noise, ones), expected)


def test_cgan_and_acgan_tell_the_networks_the_label():
    for name in ("cgan", "acgan"):
        case = cases.make(name)
        params, batch, noise, _ = first_move(case)
        fake = applied(case, "G", noise["z"], noise["y"])
        if name == "cgan":
            logits = applied(case, "D", fake, noise["y"])
            expected = cross_entropy(logits, torch.ones_like(logits))
        else:
            given = applied(case, "D", fake)
            expected = cross_entropy(given[:, 0], torch.ones(6).double())
            expected = expected + class_entropy(given[:, 1:], noise["y"])
        found = case.game.losses["G"](params, batch, noise, None)
        torch.testing.assert_close(found, expected)


def test_infogan_draws_codes_and_is_rewarded_for_their_recovery():
    case = cases.make("infogan", latent_dim=6, n_categories=3, n_continuous=2)
    params, batch, noise, _ = first_move(case)
    z = noise["z"]
    assert torch.equal(z[:, :3].sum(1), torch.ones(6).double())
    assert (z[:, 3:5].abs() <= 1).all()
    given = applied(case, "D", applied(case, "G", z))
    expected = (
        cross_entropy(given[:, 0], torch.ones(6).double())
        + class_entropy(given[:, 1:4], z[:, :3].argmax(1))
        + 0.1 * (z[:, 3:5] - given[:, 4:]).square().sum(1).mean() / 2
    )
    found = case.game.losses["G"](params, batch, noise, None)
    torch.testing.assert_close(found, expected)


def logits_game(logits, **options):
    """AM-GAN on given logits of its samples."""
    G, D = Given(lambda z: z), Given(lambda x: logits[: len(x)])
    game = games.load("amgan")(G, D, n_classes=3, latent_dim=4, **options)
    params = game.initial().view()
    noise = {"z": torch.zeros(len(logits), 4, dtype=torch.float64)}
    return game.losses["G"](params, None, noise, None)


def test_amgan_pushes_to_the_strongest_real_class_only():
    logits = torch.tensor([[1.0, 2.0, 0.5, 5.0]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(logits_game(logits), logits)
    p = logits.detach().softmax(1)[0]  # the class of fakes, the largest, is not chosen
    torch.testing.assert_close(slope[0], p - torch.eye(4, dtype=torch.float64)[1])


def test_amgan_is_labelgan_and_the_class_given_that_it_is_real():
    logits = float64(5, 4)
    p = logits.softmax(1)
    real = p[:, :3].sum(1)
    of_class = -(p[:, :3].max(1).values / real).log().mean()
    torch.testing.assert_close(
        logits_game(logits), logits_game(logits, objective="label") + of_class
    )


def values_of_gman(harshness):
    scores = [torch.full((4,), s, dtype=torch.float64) for s in (-1.0, 0.5, 2.0)]
    Ds = [Given(lambda x, s=s: s) for s in scores]
    game = games.load("gman")(
        Given(lambda z: z), Ds, n_discriminators=3, harshness=harshness
    )
    noise = {"z": torch.zeros(4, 3, 32, dtype=torch.float64)}
    found = game.losses["G"](game.initial().view(), None, noise, None)
    values = torch.stack([-torch.nn.functional.softplus(s[0]) for s in scores])
    return float(found), values


def test_gman_goes_from_the_mean_to_the_harshest():
    for harshness, expected in {0.0: "mean", 1e4: "max", math.inf: "max"}.items():
        found, values = values_of_gman(harshness)
        assert found == pytest.approx(float(getattr(values, expected)()), rel=1e-9)


def ebgan_on(codes, errors, **options):
    """EBGAN on given codes and reconstruction errors of its samples."""
    D = Given(lambda x: (x + errors[: len(x), None].sqrt(), codes[: len(x)]))
    game = games.load("ebgan")(Given(lambda z: 0 * z), D, latent_dim=3, **options)
    noise = {"z": torch.ones(len(codes), 3, dtype=torch.float64)}
    return game, game.initial().view(), noise


@pytest.mark.parametrize(("codes", "alike"), [("orthogonal", 0.0), ("same", 1.0)])
def test_ebgan_pulls_codes_apart(codes, alike):
    codes = torch.eye(4).double() if codes == "orthogonal" else torch.ones(4, 4).double()
    game, params, noise = ebgan_on(codes, torch.zeros(4).double(), pulling_away=1.0)
    assert float(game.losses["G"](params, None, noise, None)) == pytest.approx(alike)


def test_ebgans_margin_is_that_of_each_sample():
    errors = torch.tensor([0.0, 0.0, 0.0, 4.0], dtype=torch.float64)
    game, params, noise = ebgan_on(torch.eye(4).double(), errors, margin=1.0)
    noise = {"z": noise["z"][:2]}  # two instances with no error, two samples of 0 and 4
    batch = Batch(torch.arange(2), {"x": torch.zeros(2, 3, dtype=torch.float64)})
    found = game.losses["D"](params, batch, noise, torch.ones(2, dtype=torch.float64))
    assert float(found) == pytest.approx((1 + 0) / 2)  # of the mean it would be 0


def test_an_unrolled_gan_without_foresight_is_a_minimax_gan():
    case = cases.make("unrolled", n_foreseen=0)
    G, D = (case.game.modules[player] for player in "GD")
    plain = games.load("gan")(G, D, latent_dim=2, loss="minimax")
    inputs = first_move(case)
    weights = list(case.game.initial().params["G"].values())
    slopes = []
    for game in (case.game, plain):
        params = inputs[0] | {
            "G": {k: v.clone().requires_grad_() for k, v in inputs[0]["G"].items()}
        }
        loss = game.losses["G"](params, *inputs[1:])
        slopes.append(torch.autograd.grad(loss, list(params["G"].values())))
    assert len(weights) == len(slopes[0])
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


def test_an_unrolled_gan_foresees_the_discriminators_own_move():
    case = cases.make("unrolled", n_foreseen=1)
    params, batch, noise, ones = first_move(case)
    D = case.game.initial().params["D"]
    leaves = {name: value.clone().requires_grad_() for name, value in D.items()}
    loss = case.game.losses["D"](params | {"D": leaves}, batch, noise, ones)
    grads = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    rule = optim.adam(1e-3, betas=(0.5, 0.999), eps_root=1e-8)
    moved, _ = rule.update(grads, rule.init(D), D, 0, 0)
    expected = -case.game.losses["D"](params | {"D": moved}, batch, noise, ones)
    torch.testing.assert_close(case.game.losses["G"](params, batch, noise, ones), expected)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("gan", {"r2": -1.0}, r"penalties at least 0 \(0 is off\), got .* r1=0\.0, r2=-1\.0"),
        ("gan", {"relativistic": "paired", "real_share": 0.2}, r"no relativistic form"),
        ("gan", {"augment": ("blur",)}, r"no change 'blur'"),
        ("wgan_gp", {"n_critic": 0}, r"n_critic=0 and penalty=10\.0"),
        ("gman", {"harshness": -1.0}, r"n_discriminators=5 networks .* got 5 and -1\.0"),
        ("ebgan", {"margin": 0.0}, r"`margin` must be above 0 .* margin=0\.0"),
        ("acgan", {"class_weight": -1.0}, r"`class_weight` must be at least 0, got -1\.0"),
        ("infogan", {"latent_dim": 3}, r"latent_dim=3 numbers must hold n_categories=10"),
        ("amgan", {"objective": "best"}, r"one of \['am', 'label'.* got 'best'"),
        ("amgan", {"predefined": True, "latent_dim": 1}, r"its 2 indicators, .*latent_dim=1"),
        ("ssgan", {"n_tasks": 3}, r"`n_tasks` must be 4, .* got 3"),
        ("msgan", {"weight_g": -1.0}, r"`n_tasks` must be 5, .* got 5, 1, -1\.0"),
        ("dag", {"n_changes": 5}, r"\['rotation'\] have 4 changes, .* got 5"),
        ("semi_supervised_gan", {"labelled_weight": -1.0}, r"at least 2, got -1\.0, 1\.0"),
        ("cegan", {"n_neighbours": 0}, r"`n_neighbours` must be at least 1, .* got 0"),
        ("gaan", {"as_real": 1.0}, r"`as_real` in \[0, 1\), .* got 'features', 1\.0"),
        ("unrolled", {"n_foreseen": -1}, r"`n_foreseen` must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_impossible_options_are_refused(name, options, text):
    with pytest.raises(GameError, match=text):
        cases.make(name, **options)


def test_ssgan_classes_the_turns_of_instances_and_of_samples():
    case = cases.make("ssgan")
    params, batch, noise, ones = first_move(case)
    x, k = batch["x"], noise["turns"]
    fake = applied(case, "G", noise["z"])
    turn = lambda x: torch.stack(
        [turned_point(p, int(i)) for p, i in zip(x, k, strict=True)]
    )
    real, made = applied(case, "D", x)[:, 0], applied(case, "D", fake)[:, 0]
    expected_d = (
        (1 - real).relu().mean()
        + (1 + made).relu().mean()
        + class_entropy(applied(case, "D", turn(x))[:, 1:], k)
    )
    expected_g = -made.mean() + 0.2 * class_entropy(
        applied(case, "D", turn(fake))[:, 1:], k
    )
    for player, expected in {"D": expected_d, "G": expected_g}.items():
        found = case.game.losses[player](params, batch, noise, ones)
        torch.testing.assert_close(found, expected)


def turned_point(point, quarters):
    angle = quarters * math.pi / 2
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return torch.tensor(turn, dtype=torch.float64) @ point


def test_msgan_asks_nothing_of_samples_that_are_classed_like_instances():
    case = cases.make("msgan")
    params, _, noise, ones = first_move(case)
    fake = applied(case, "G", noise["z"])
    batch = Batch(torch.arange(6), {"x": fake.detach()})  # the samples themselves
    found = case.game.losses["G"](params, batch, noise, ones)
    torch.testing.assert_close(found, -applied(case, "D", fake)[:, 0].mean())


def test_dag_without_weight_is_the_gan_and_its_term_reaches_the_generator():
    case = cases.make("dag", weight_g=0.0, weight_d=0.0)
    params, batch, noise, ones = first_move(case)
    real = applied(case, "D", batch["x"])[:, 0]
    made = applied(case, "D", applied(case, "G", noise["z"]))[:, 0]
    expected = cross_entropy(real, torch.ones(6).double()) + cross_entropy(
        made, torch.zeros(6).double()
    )
    torch.testing.assert_close(case.game.losses["D"](params, batch, noise, ones), expected)
    heads = cases.make("dag")
    gap = heads.game.losses["G"](params, batch, noise, ones) - case.game.losses["G"](
        params, batch, noise, ones
    )
    assert float(gap.detach()) != 0
    (slope,) = torch.autograd.grad(
        heads.game.losses["G"](
            params | {"G": {k: v.requires_grad_() for k, v in params["G"].items()}},
            batch, noise, ones,
        ) - case.game.losses["G"](params, batch, noise, ones),
        params["G"]["0.weight"],
    )  # fmt: skip
    assert slope.any()


def test_a_semi_supervised_classifier_has_an_implicit_class_of_fakes():
    case = cases.make("semi_supervised_gan", labelled_weight=3.0)
    params, batch, noise, ones = first_move(case)
    y = torch.tensor([0, -1, 1, -1, -1, 0])
    batch = Batch(batch.index, {"x": batch["x"], "y": y})
    real, features = applied(case, "D", batch["x"])
    fake, of_fake = applied(case, "D", applied(case, "G", noise["z"]))
    with_fake = [
        torch.cat([logits, torch.zeros(6, 1).double()], 1).softmax(1)
        for logits in (real, fake)
    ]
    expected = (
        3.0 * class_entropy(real[y >= 0], y[y >= 0]) * 3 / 6
        - (1 - with_fake[0][:, -1]).log().mean() / 2
        - with_fake[1][:, -1].log().mean() / 2
    )
    torch.testing.assert_close(case.game.losses["D"](params, batch, noise, ones), expected)
    expected = (features.mean(0) - of_fake.mean(0)).square().mean()
    torch.testing.assert_close(case.game.losses["G"](params, batch, noise, ones), expected)


def test_cegan_pushes_a_sample_away_from_its_neighbours():
    G, D = Given(lambda z: z), Given(lambda x: 0 * x[:, 0])
    game = games.load("cegan")(G, D, latent_dim=2, entropy=1.0, n_neighbours=1)
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]], dtype=torch.float64)
    z.requires_grad_()
    loss = game.losses["G"](game.initial().view(), None, {"z": z}, None)
    (slope,) = torch.autograd.grad(loss, z)
    expected = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]]).double() / 3
    torch.testing.assert_close(slope, expected)  # descending it moves against the crowd


def test_gaans_generator_is_at_rest_where_mean_scores_agree():
    case = cases.make("gaan", generator_reconstructs=False)
    params, _, noise, ones = first_move(case)
    fake = applied(case, "G", noise["z"])
    batch = Batch(torch.arange(6), {"x": fake.flip(0).detach()})
    assert float(case.game.losses["G"](params, batch, noise, ones).detach()) < 1e-15


def test_gaans_constraint_compares_distances_in_features_and_latents():
    case = cases.make("gaan", reconstruct=0.0, constraint=2.0)
    params, batch, noise, ones = first_move(case)
    codes = applied(case, "E", batch["x"])
    rebuilt = applied(case, "D", applied(case, "G", codes))[1]
    fake = applied(case, "D", applied(case, "G", noise["z"]))[1]
    assert rebuilt.shape == (6, 4)
    f, g = (rebuilt - fake).mean(), (codes - noise["z"]).mean()
    expected = 2.0 * (f - math.sqrt(2 / 4) * g).square()
    torch.testing.assert_close(case.game.losses["E"](params, batch, noise, ones), expected)

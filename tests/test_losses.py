"""The loss families and the weighted mean."""

import math
from typing import get_args

import pytest
import torch

from counterplay.errors import GameError
from counterplay.losses import (
    adversarial,
    Family,
    feature_matching,
    per_instance,
    relativistic,
    scores,
    wmean,
)


families = get_args(Family)


def sp(u):
    return math.log1p(math.exp(u))


def straight(t, h):
    """`h(e^t)`, and beyond logits of 4 its tangent there, by finite differences."""
    near = min(max(t, -4.0), 4.0)
    slope = (h(math.exp(near + 1e-6)) - h(math.exp(near - 1e-6))) / 2e-6
    return h(math.exp(near)) + slope * (t - near)


# On logit t: D's loss on a real instance, D's on a fake, G's on a fake.
formulas = {
    "minimax": (lambda t: sp(-t), sp, lambda t: -sp(t)),
    "non_saturating": (lambda t: sp(-t), sp, lambda t: sp(-t)),
    "least_squares": (
        lambda t: (t - 1) ** 2 / 2,
        lambda t: t**2 / 2,
        lambda t: (t - 1) ** 2 / 2,
    ),
    "hinge": (lambda t: max(0, 1 - t), lambda t: max(0, 1 + t), lambda t: -t),
    "wasserstein": (lambda t: -t, lambda t: t, lambda t: -t),
    "kl": (lambda t: sp(-t), sp, lambda t: straight(t, lambda r: -r)),
    "reverse_kl": (lambda t: sp(-t), sp, lambda t: -t),
    "pearson": (lambda t: sp(-t), sp, lambda t: straight(t, lambda r: -(r**2))),
    "neyman": (lambda t: sp(-t), sp, lambda t: straight(t, lambda r: 2 / r)),
    "squared_hellinger": (lambda t: sp(-t), sp, lambda t: straight(t, lambda r: -(r**0.5))),
}


def functions(name):
    family = adversarial(name)
    return family.real, family.fake, family.generator


@pytest.mark.parametrize("name", families)
def test_a_family_is_its_formula(name):
    points = [-30.0, -2.0, -0.3, 0.0, 0.7, 3.0, 30.0]
    logits = torch.tensor(points, dtype=torch.float64)
    for ours, formula in zip(functions(name), formulas[name], strict=True):
        expected = torch.tensor([formula(t) for t in points], dtype=torch.float64)
        torch.testing.assert_close(ours(logits), expected)


@pytest.mark.parametrize("name", families)
def test_high_logits_mean_real(name):
    logits = torch.tensor([0.5], dtype=torch.float64)
    real, fake, generator = (
        torch.func.grad(lambda t, f=f: f(t).sum()) for f in functions(name)
    )
    assert real(logits) < 0 < fake(logits)
    assert generator(logits) < 0


@pytest.mark.parametrize("name", [name for name in families if name != "hinge"])
def test_a_smooth_family_has_two_exact_derivatives(name):
    logits = torch.tensor([-3.0, -0.2, 1.1, 19.9999, 20.0001], dtype=torch.float64)
    for function in functions(name):
        assert torch.autograd.gradcheck(function, logits.clone().requires_grad_())
        assert torch.autograd.gradgradcheck(function, logits.clone().requires_grad_())


@pytest.mark.parametrize("name", families)
def test_huge_logits_stay_finite(name):
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    for function in functions(name):
        value = function(logits)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:DeprecationWarning"
)  # PyTorch's own
@pytest.mark.parametrize("name", families)
def test_a_family_works_under_every_transform(name):
    logits = torch.linspace(-2.1, 2.2, 6, dtype=torch.float64).reshape(2, 3)
    for function in functions(name):
        gradient = torch.func.grad(lambda t, f=function: f(t).sum())
        mapped = torch.func.vmap(gradient)(logits)
        torch.testing.assert_close(mapped, gradient(logits))
        _, tangent = torch.func.jvp(gradient, (logits,), (torch.ones_like(logits),))
        assert tangent.isfinite().all()


def test_the_best_discriminator_of_two_normals_is_their_log_ratio():
    # Real N(0, 1), fake N(1, 1): log p / q = 1/2 - x. Expectations by quadrature.
    x = torch.linspace(-8, 9, 4001, dtype=torch.float64)
    p, q = (torch.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (0, 1))
    family = adversarial("non_saturating")

    def loss(line):
        logits = line[0] + line[1] * x
        return torch.trapezoid(p * family.real(logits) + q * family.fake(logits), x)

    line = torch.tensor([0.5, -1.0], dtype=torch.float64)
    torch.testing.assert_close(torch.func.grad(loss)(line), torch.zeros_like(line))
    assert torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, line)).min() > 0


def test_the_denominator_does_not_change_with_the_weights():
    values = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    assert wmean(values, torch.ones(4)) == values.mean()
    assert wmean(values, torch.tensor([1.0, 0.0, 1.0, 1.0])) == (1 + 100 + 1000) / 4
    assert (
        wmean(values, torch.tensor([1.0, 2.0, 1.0, 1.0])) == (1 + 2 * 10 + 100 + 1000) / 4
    )


def test_scores_come_from_one_call_on_both():
    calls = []

    def score(x):
        calls.append(len(x))
        return x.sum(1, keepdim=True)

    real, fake = scores(score, torch.ones(3, 2), torch.zeros(5, 2))
    assert calls == [8]
    assert real.tolist() == [2.0] * 3
    assert fake.tolist() == [0.0] * 5


def test_an_unknown_family_is_refused_with_the_choices():
    with pytest.raises(
        GameError, match=r"no loss 'bce'; there are \['minimax', .*'wasserstein'"
    ):
        adversarial("bce")


def test_values_that_would_broadcast_over_weights_are_refused():
    text = r"values of shape \(4, 1\) for weights of shape \(4,\).*mix the instances"
    with pytest.raises(GameError, match=text):
        wmean(torch.ones(4, 1), torch.ones(4))


def test_a_mean_over_no_instances_is_refused():
    with pytest.raises(GameError, match=r"averages over no instances.*in `readers`"):
        wmean(torch.ones(0), torch.ones(0))


@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 3, 3), ()])
def test_several_logits_for_one_instance_are_refused(shape):
    with pytest.raises(GameError, match=r"returned shape .* one number per instance"):
        per_instance(torch.ones(shape))


def test_samples_of_another_shape_than_the_instances_are_refused():
    text = r"samples have shape \(1, 2, 2\), but the instances have \(4,\)"
    with pytest.raises(GameError, match=text):
        scores(lambda x: x, torch.ones(3, 4), torch.ones(3, 1, 2, 2))


F = {  # f of the divergence E_q f(p / q) that a generator is to reduce
    "kl": lambda r: r * r.log(),
    "reverse_kl": lambda r: -r.log(),
    "pearson": lambda r: (r - 1).square(),
    "neyman": lambda r: (1 - r).square() / r,
    "squared_hellinger": lambda r: (r.sqrt() - 1).square(),
}


def normal_logpdf(x, mean):
    return -(x - mean).square() / 2 - math.log(2 * math.pi) / 2


@pytest.mark.parametrize("name", F)
def test_with_the_true_ratio_a_generator_descends_its_divergence(name):
    # q = N(m, 1) against p = N(0, 1); the derivative by m of the divergence, by quadrature,
    # against the mean slope of the loss on samples x = m + z with the ratio held.
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    m = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    ratio = (normal_logpdf(x, torch.zeros(())) - normal_logpdf(x, m)).exp()
    divergence = torch.trapezoid(normal_logpdf(x, m).exp() * F[name](ratio), x)
    (expected,) = torch.autograd.grad(divergence, m)
    samples = (0.3 + x).requires_grad_()
    logits = normal_logpdf(samples, torch.zeros(())) - normal_logpdf(samples, 0.3)
    values = adversarial(name).generator(logits)
    (slopes,) = torch.autograd.grad(values.sum(), samples)
    found = torch.trapezoid(normal_logpdf(x, torch.zeros(())).exp() * slopes, x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def best_logits(**options):
    """What a discriminator says in the end where instances are three times as likely."""
    p, q = 0.75, 0.25
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    family = adversarial("minimax", **options)
    for _ in range(4_000):
        loss = p * family.real(logit) + q * family.fake(logit)
        (slope,) = torch.autograd.grad(loss, logit)
        logit = (logit - 0.5 * slope).detach().requires_grad_()
    return float(logit.detach().sigmoid())


def test_smoothing_lowers_what_the_best_discriminator_says_of_instances():
    assert best_logits(real_target=0.9) == pytest.approx(0.9 * 0.75, abs=1e-9)


def test_a_share_weighs_instances_against_fakes():
    expected = 0.2 * 0.75 / (0.2 * 0.75 + 0.8 * 0.25)
    assert best_logits(real_share=0.2) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("options", [{"real_target": 0.0}, {"real_share": 1.0}])
def test_a_share_or_a_target_out_of_range_is_refused(options):
    (text,) = (f"{name}={value}" for name, value in options.items())
    with pytest.raises(GameError, match=text):
        adversarial("minimax", **options)


RELATIVE = ["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]
OF_MORE = {  # what D loses where an instance has a logit higher by t
    "minimax": lambda t: sp(-t),
    "non_saturating": lambda t: sp(-t),
    "least_squares": lambda t: (t - 1) ** 2 / 2,
    "hinge": lambda t: max(0, 1 - t),
    "wasserstein": lambda t: -t,
}
each_relative = pytest.mark.parametrize("name", RELATIVE)
each_relation = pytest.mark.parametrize("relation", ["paired", "average"])
REAL = torch.tensor([0.7, -1.2, 2.5, 0.1], dtype=torch.float64)
FAKE = torch.tensor([0.3, 1.1, -0.6, -2.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 0.0, 0.5, 2.0], dtype=torch.float64)


def by_hand(name, relation, real, fake, weights):
    """Both losses, one instance at a time."""
    f, n = OF_MORE[name], len(real)
    g = (lambda t: -f(-t)) if name == "minimax" else f
    if relation == "paired":
        rows = list(zip(weights, real, fake, strict=True))
        return sum(w * f(r - q) for w, r, q in rows) / n, sum(
            w * g(q - r) for w, r, q in rows
        ) / n
    of_real = sum(w * r for w, r in zip(weights, real, strict=True)) / sum(weights)
    of_fake = sum(fake) / n
    terms = list(zip(weights, real, strict=True))
    d = sum(w * f(r - of_fake) for w, r in terms) + sum(f(of_real - q) for q in fake)
    g = sum(w * g(of_fake - r) for w, r in terms) + sum(g(q - of_real) for q in fake)
    return d / n, g / n


@each_relative
@each_relation
def test_a_relativistic_loss_is_its_formula(name, relation):
    found = relativistic(adversarial(name), relation)
    expected = by_hand(name, relation, REAL.tolist(), FAKE.tolist(), WEIGHTS.tolist())
    assert float(found.discriminator(REAL, FAKE, WEIGHTS)) == pytest.approx(expected[0])
    assert float(found.generator(REAL, FAKE, WEIGHTS)) == pytest.approx(expected[1])


@each_relative
@each_relation
def test_a_relativistic_loss_knows_no_zero_and_no_instance_without_weight(name, relation):
    found = relativistic(adversarial(name), relation)
    for loss in (found.discriminator, found.generator):
        value = loss(REAL, FAKE, WEIGHTS)
        torch.testing.assert_close(loss(REAL + 3, FAKE + 3, WEIGHTS), value)
        slope = torch.func.grad(loss)(REAL, FAKE, WEIGHTS)
        assert slope[1] == 0
        assert (slope[[0, 2, 3]] != 0).any()
    assert found.couples_instances == (relation == "average")


@each_relation
def test_a_relativistic_generator_makes_instances_look_less_real(relation):
    ones = torch.ones(4, dtype=torch.float64)
    for name in RELATIVE:
        found = relativistic(adversarial(name), relation)
        of_d, of_g = (
            torch.func.grad(loss, argnums=(0, 1))(REAL, FAKE, ones)
            for loss in (found.discriminator, found.generator)
        )
        assert of_d[0].sum() < 0 < of_d[1].sum()
        assert of_g[1].sum() < 0 < of_g[0].sum()


def test_a_batch_without_weight_has_no_mean_but_a_finite_loss():
    found = relativistic(adversarial("non_saturating"), "average")
    assert found.discriminator(REAL, FAKE, torch.zeros(4).double()).isfinite()


@pytest.mark.parametrize(
    ("family", "relation"),
    [
        (adversarial("pearson"), "paired"),
        (adversarial("hinge", real_target=0.9), "paired"),
        (adversarial("hinge"), "squared"),
    ],
)
def test_a_loss_without_a_relativistic_form_is_refused(family, relation):
    text = rf"{family.name!r} has no relativistic form '{relation}': .*'hinge'.*at 0\.5"
    with pytest.raises(GameError, match=text):
        relativistic(family, relation)


@pytest.mark.parametrize("name", families)
def test_a_discriminators_loss_adds_both_means(name):
    family = adversarial(name)
    expected = (WEIGHTS * family.real(REAL)).sum() / 4 + family.fake(FAKE).sum() / 4
    torch.testing.assert_close(family.discriminator(REAL, FAKE, WEIGHTS), expected)


def test_features_match_when_their_means_do():
    real = torch.tensor([[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    fake = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    weights = torch.tensor([1.0, 2.0, 0.0])  # means 7 / 3 and 8 / 3 against 1 and 1
    expected = ((7 / 3 - 1) ** 2 + (8 / 3 - 1) ** 2) / 2
    assert float(feature_matching(real, fake, weights)) == pytest.approx(expected)
    assert feature_matching(real, real, torch.ones(3)) == 0

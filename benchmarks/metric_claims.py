"""Do class-based metrics do what their papers claim?

Four tables, each the mean of three seeds:

1. Class-aware Frechet distance (Liu et al. 2018, arXiv 1803.07474): ten Gaussians in 16
   dimensions with exact posteriors, where one Gaussian of the same mean and covariance has
   Frechet distance 0.
2. Inception score follows diversity, AM score quality too (Zhou et al. 2018, arXiv
   1703.02000): both, and the terms they are made of, as digits get noisy or classes go
   missing, under a classifier of these digits and under one that knows other digits only.
3. Sets that the inception score cannot tell apart: real digits; noise that was optimised
   until the classifier sees the logits of real digits; one digit per class, repeated; and
   proportions turned around against skewed data.
4. AM score: real < noisy < a single class.

Run: python benchmarks/metric_claims.py
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from counterplay import data, features
from counterplay.game import Columns
from counterplay.metrics import _softmax, Classified
from counterplay.metrics.am_score import am_score, am_score_parts
from counterplay.metrics.class_aware import class_aware_frechet, class_proportions_kl
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.inception_score import inception_score, log_inception_score
from counterplay.metrics.mode_score import mode_score, mode_score_penalised


SEEDS = range(3)
SIGMAS = (0.1, 0.2, 0.4, 0.8, 1.6)


def main() -> None:
    torch.set_num_threads(1)
    print("## Ten Gaussians in 16 dimensions, 5,000 rows\n")
    print_table(gaussian_rows)
    for own in (True, False):
        which = "these" if own else "other"
        print(f"\n## Digits, under a classifier of {which} digits\n")
        print_table(lambda seed, own=own: ladder_rows(seed, own=own))
    print("\n## Sets of digits with inception scores that are alike\n")
    print_table(deceiving_rows)
    print("\n## AM score of digits\n")
    print_table(order_rows)


def print_table(
    rows_of: Callable[[int], Iterator[tuple[str, dict[str, Tensor]]]],
) -> None:
    """A Markdown table of means over seeds, of rows that come as name and columns."""
    with torch.no_grad():
        tables = [dict(rows_of(seed)) for seed in SEEDS]
    columns = next(iter(tables[0].values()))
    print(f"| set | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for name in tables[0]:
        means = [
            sum(float(table[name][c]) for table in tables) / len(tables) for c in columns
        ]
        print(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in means)} |", flush=True)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gaussian_rows(seed: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    centres = 3 * normal(10, 16, seed=100 + seed).double()
    drawn = torch.Generator().manual_seed(seed)
    classes = torch.randint(10, (2, 5_000), generator=drawn)
    x = centres[classes] + normal(2, 5_000, 16, seed=seed).double()
    real, again = x
    sets = {
        "the same mixture": again,
        "one Gaussian, same mean and covariance": with_moments_of(real, 10 + seed),
        "the mixture without 3 classes": again[classes[1] >= 3],
    }
    classified = lambda x: Classified(x, -torch.cdist(x, centres).square() / 2)
    for name, fake in sets.items():
        yield name, distances(classified(real), classified(fake))


def with_moments_of(real: Tensor, seed: int) -> Tensor:
    """Rows of one Gaussian, turned into exactly the mean and covariance of others."""
    white = normal(*real.shape, seed=seed).double()
    ours, theirs = (torch.linalg.cholesky(torch.cov(x.mT)) for x in (white, real))
    whitened = torch.linalg.solve_triangular(ours, (white - white.mean(0)).mT, upper=False)
    return (theirs @ whitened).mT + real.mean(0)


def distances(real: Classified, fake: Classified) -> dict[str, Tensor]:
    return {
        "Frechet": frechet_distance(real.features, fake.features),
        "class-aware Frechet": class_aware_frechet(real, fake),
        "KL of proportions": class_proportions_kl(real.logits, fake.logits),
    }


def ladder_rows(seed: int, *, own: bool) -> Iterator[tuple[str, dict[str, Tensor]]]:
    splits = data.digits(seed=seed)
    if own:
        train, valid, test = splits.train, splits.valid, splits.test
    else:
        train = of_classes(splits.train, range(5))
        valid, test = (
            of_classes(part, range(5, 10)) for part in (splits.valid, splits.test)
        )
    classify = features.classifier(train, seed=seed)
    noise = normal(*test["x"].shape, seed=seed)
    sets = {"real": test["x"]}
    sets |= {f"noise {sigma}": test["x"] + sigma * noise for sigma in SIGMAS}
    classes = test["y"].unique().tolist()
    for n in range(1, len(classes) - 1, 2 if own else 1):
        sets[f"{n} of {len(classes)} classes missing"] = of_classes(test, classes[n:])["x"]
    known = classify.logits(valid["x"])
    for name, x in sets.items():
        yield name, terms(known, classify.logits(x))


def of_classes(columns: Columns, classes) -> Columns:
    chosen = torch.isin(columns["y"], torch.as_tensor(list(classes)))
    return columns.select(chosen.nonzero().squeeze(1))


def terms(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    log_p = _softmax.log_probabilities("fake", fake)
    divergence, doubt = am_score_parts(real, fake)
    return {
        "H(mean p)": _softmax.entropy(_softmax.log_proportions(log_p)),
        "mean H(p)": doubt,
        "log inception score": log_inception_score(fake),
        "KL(mean q, mean p)": divergence,
        "AM score": divergence + doubt,
    }


def deceiving_rows(seed: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    splits = data.digits(seed=seed)
    classify = features.classifier(splits.train, seed=seed)
    valid, test = splits.valid, splits.test
    logits = classify.logits(test["x"])
    surest = logits.softmax(1).argmax(0)
    sets = {
        "real": test["x"],
        "noise optimised to real logits": dreamt(classify, logits, seed),
        "surest digit of each class, repeated": test["x"][surest].repeat(36, 1, 1, 1),
    }
    for name, x in sets.items():
        yield name, scores(classify, valid["x"], x)
    skewed = lambda part, most: torch.cat([part["x"], *[of_classes(part, most)["x"]] * 3])
    few, many = range(5), range(5, 10)
    real = skewed(valid, many)
    yield "skewed as its data", scores(classify, real, skewed(test, many))
    yield "skewed against its data", scores(classify, real, skewed(test, few))


def dreamt(classify, logits: Tensor, seed: int) -> Tensor:
    """Images from noise that the classifier cannot tell from real ones by its logits."""
    start = normal(len(logits), *classify.shape, seed=seed)
    with torch.enable_grad():
        inner = start.requires_grad_()
        adam = torch.optim.Adam([inner], lr=0.05)
        for _ in range(400):
            adam.zero_grad()
            (classify.logits(inner.tanh()) - logits).square().mean().backward()
            adam.step()
    return inner.detach().tanh()


def scores(classify, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    ours, theirs = (Classified(classify(x), classify.logits(x)) for x in (real, fake))
    return {
        "inception score": inception_score(theirs.logits),
        "mode score": mode_score(ours.logits, theirs.logits),
        "penalised": mode_score_penalised(ours.logits, theirs.logits),
        "AM score": am_score(ours.logits, theirs.logits),
        **distances(ours, theirs),
        "Frechet of pixels": frechet_distance(real.flatten(1), fake.flatten(1)),
    }


def order_rows(seed: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    splits = data.digits(seed=seed)
    classify = features.classifier(splits.train, seed=seed)
    x, y = splits.test["x"], splits.test["y"]
    real = classify.logits(splits.valid["x"])
    sets = {
        "real": x,
        "noise 0.3": x + 0.3 * normal(*x.shape, seed=seed),
        "only threes": x[y == 3],
    }
    for name, fake in sets.items():
        yield name, {"AM score": am_score(real, classify.logits(fake))}


if __name__ == "__main__":
    main()

"""The comparisons of `metric_peers.py`; runs inside the environment that it makes."""

import contextlib
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import piq
import prdc
import torch
import torch_fidelity.metric_fid
import torch_fidelity.metric_isc
import torch_fidelity.metric_kid
import torch_fidelity.metric_prc
from cleanfid import fid as cleanfid
from piq.isc import inception_score as piq_inception_score
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import nn, Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from counterplay.metrics._neighbours import Neighbourhoods
from counterplay.metrics.density_coverage import coverage, density
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.inception_score import inception_score
from counterplay.metrics.kernel import kernel_distance
from counterplay.metrics.precision_recall import precision, recall


Metric = Callable[[Tensor, Tensor], Any]  # of real and fake rows: one value or a few


class Peer(NamedTuple):
    name: str
    metric: Metric
    remark: str = ""  # what explains a difference
    slow: bool = False  # one round


class Case(NamedTuple):
    title: str
    ours: Metric
    peers: list[Peer]
    sizes: list[tuple[int, int]]  # rows on either side, columns
    rows: Callable[[int, int, int], Tensor]


class Same(nn.Module):
    """The feature map of peers that insist on one."""

    def __init__(self, num_features: int = 1) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def features(n: int, d: int, seed: int) -> Tensor:
    """Like those of a network: not negative, correlated, with falling variances."""
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    mix *= torch.arange(1, d + 1, dtype=torch.float64)[:, None] ** -0.5
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, d, generator=random, dtype=torch.float64) @ mix
    return (rows * (1 + 0.1 * seed) + 0.1).relu()


def logits(n: int, k: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, k, generator=random, dtype=torch.float64)


def frechet_torchmetrics(real: Tensor, fake: Tensor) -> Tensor:
    metric = FrechetInceptionDistance(feature=Same(real.shape[1]))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()


def frechet_torch_fidelity(real: Tensor, fake: Tensor) -> float:
    of = torch_fidelity.metric_fid
    sides = [of.fid_features_to_statistics(rows) for rows in (real, fake)]
    return of.fid_statistics_to_metric(*sides, verbose=False)[of.KEY_METRIC_FID]


def frechet_pytorch_fid(real: Tensor, fake: Tensor) -> float:
    return calculate_frechet_distance(*moments(real), *moments(fake))


def frechet_clean_fid(real: Tensor, fake: Tensor) -> float:
    return cleanfid.frechet_distance(*moments(real), *moments(fake))


def frechet_piq(real: Tensor, fake: Tensor) -> Tensor:
    return piq.FID().compute_metric(real, fake)


def moments(rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return rows.numpy().mean(0), np.cov(rows.numpy(), rowvar=False)


def frechet_without_squares(real: Tensor, fake: Tensor) -> float:
    """No library: triangular factors and their singular values, where no digit is lost."""
    means, factors = [], []
    for rows in (real.numpy(), fake.numpy()):
        means.append(rows.mean(0))
        factors.append(np.linalg.qr(rows - means[-1], "r") / np.sqrt(len(rows) - 1))
    root = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.square(factor).sum() for factor in factors)
    return float(np.square(means[0] - means[1]).sum() + traces - 2 * root)


def kernel_torchmetrics(real: Tensor, fake: Tensor) -> Tensor:
    metric = KernelInceptionDistance(feature=Same(), subsets=1, subset_size=len(real))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()[0]


def kernel_torch_fidelity(real: Tensor, fake: Tensor) -> float:
    of = torch_fidelity.metric_kid
    found = of.kid_features_to_metric(
        real, fake, kid_subsets=1, kid_subset_size=len(real), verbose=False
    )
    return found[of.KEY_METRIC_KID_MEAN]


def kernel_clean_fid(real: Tensor, fake: Tensor) -> float:
    return cleanfid.kernel_distance(
        real.numpy(), fake.numpy(), num_subsets=1, max_subset_size=len(real)
    )


def kernel_piq(real: Tensor, fake: Tensor) -> Tensor:
    return piq.KID().compute_metric(real, fake)


def inception_torchmetrics(real: Tensor, fake: Tensor) -> Tensor:
    del real
    metric = InceptionScore(feature=Same(), splits=1)
    metric.update(fake)
    return metric.compute()[0]


def inception_torch_fidelity(real: Tensor, fake: Tensor) -> float:
    del real
    of = torch_fidelity.metric_isc
    found = of.isc_features_to_metric(fake, splits=10, shuffle=False)
    return found[of.KEY_METRIC_ISC_MEAN]


def inception_piq(real: Tensor, fake: Tensor) -> Tensor:
    del real
    return piq_inception_score(fake, num_splits=10)[0]


def four_shares(real: Tensor, fake: Tensor) -> list[Tensor]:
    reference = Neighbourhoods(real)
    return [share(reference, fake, k=5) for share in (precision, recall, density, coverage)]


def shares_prdc(real: Tensor, fake: Tensor) -> list[float]:
    found = prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    return [found[name] for name in ("precision", "recall", "density", "coverage")]


def two_shares(k: int) -> Metric:
    def shares(real: Tensor, fake: Tensor) -> list[Tensor]:
        reference = Neighbourhoods(real)
        return [share(reference, fake, k=k) for share in (precision, recall)]

    return shares


def shares_torch_fidelity(real: Tensor, fake: Tensor) -> list[float]:
    of = torch_fidelity.metric_prc
    found = of.prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    return [found[of.KEY_METRIC_PRECISION], found[of.KEY_METRIC_RECALL]]


def shares_piq(real: Tensor, fake: Tensor) -> list[Tensor]:
    return list(piq.PR(nearest_k=5).compute_metric(real, fake))


SINGULAR = "roots of rounding errors, where the product is singular, are added"
ONE_ROUND = dict(slow=True)
NO_SQUARES = Peer("none: NumPy, nothing squared", frechet_without_squares, **ONE_ROUND)
TORCHMETRICS = Peer("torchmetrics", frechet_torchmetrics)
TORCH_FIDELITY = Peer("torch-fidelity", frechet_torch_fidelity)
PYTORCH_FID = Peer("pytorch-fid", frechet_pytorch_fid, **ONE_ROUND)

CASES = [
    Case(
        "Frechet",
        frechet_distance,
        [
            TORCHMETRICS,
            TORCH_FIDELITY,
            PYTORCH_FID,
            Peer("clean-fid", frechet_clean_fid),
            Peer(
                "piq", frechet_piq, "stops its iteration for the root at a residual of 1e-5"
            ),
            NO_SQUARES,
        ],
        [(2_000, 256)],
        features,
    ),
    Case(
        "Frechet",
        frechet_distance,
        [
            TORCHMETRICS._replace(remark=SINGULAR),
            TORCH_FIDELITY._replace(remark=SINGULAR),
            PYTORCH_FID._replace(remark=SINGULAR),
            NO_SQUARES,
        ],
        [(500, 2_048)],
        features,
    ),
    Case(
        "Frechet",
        frechet_distance,
        [TORCHMETRICS, TORCH_FIDELITY, PYTORCH_FID, NO_SQUARES],
        [(10_000, 2_048)],
        features,
    ),
    Case(
        "KID, polynomial, all rows",
        kernel_distance,
        [
            Peer("torchmetrics", kernel_torchmetrics),
            Peer("torch-fidelity", kernel_torch_fidelity),
            Peer("clean-fid", kernel_clean_fid),
            Peer("piq", kernel_piq),
        ],
        [(1_000, 2_048), (5_000, 256)],
        features,
    ),
    Case(
        "inception score, 1 split",
        lambda real, fake: inception_score(fake),
        [Peer("torchmetrics", inception_torchmetrics)],
        [(5_000, 1_000)],
        logits,
    ),
    Case(
        "inception score, 10 splits",
        lambda real, fake: inception_score(fake, n_splits=10),
        [
            Peer("torch-fidelity", inception_torch_fidelity),
            Peer("piq", inception_piq),
        ],
        [(5_000, 1_000)],
        logits,
    ),
    Case(
        "precision, recall, density, coverage, k = 5",
        four_shares,
        [Peer("prdc", shares_prdc)],
        [(5_000, 64)],
        features,
    ),
    Case(
        "precision, recall, k = 5",
        two_shares(5),
        [Peer("piq", shares_piq, "recall adds pairs as far as the *real* radius")],
        [(5_000, 64)],
        features,
    ),
    Case(
        "precision, recall, k = 3",
        two_shares(3),
        [Peer("torch-fidelity", shares_torch_fidelity)],
        [(5_000, 64)],
        features,
    ),
]


def as_numbers(value: Any) -> np.ndarray:
    values = value if isinstance(value, list) else [value]
    return np.array(
        [float(one.detach() if isinstance(one, Tensor) else one) for one in values]
    )


def timed(metric: Metric, real: Tensor, fake: Tensor) -> tuple[np.ndarray, float]:
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):  # some print what they do
        value = metric(real, fake)
    return as_numbers(value), time.process_time() - start


def gradient(metric: Metric, rows: Callable[[int, int, int], Tensor]) -> str:
    """Whether a metric has a gradient by the fake rows, with more and with fewer than d."""
    answers = []
    for n, d in ((60, 10), (20, 40)):
        fake = rows(n, d, 1).requires_grad_()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                value = metric(rows(n, d, 0), fake)
            value = value[0] if isinstance(value, list) else value
            torch.as_tensor(value).backward()
        except RuntimeError:  # PyTorch's, for what is detached or goes through NumPy
            answers.append("no")
        else:
            finite = fake.grad is not None and bool(torch.isfinite(fake.grad).all())
            answers.append("yes" if finite else "NaN")
    more, fewer = answers
    return more if more == fewer else f"{more}; n < d: {fewer}"


def compared(case: Case, n: int, d: int, rounds: int) -> None:
    real, fake = case.rows(n, d, 0), case.rows(n, d, 1)
    timed(case.ours, real, fake)  # warms up
    for peer in case.peers:
        if not peer.slow:
            timed(peer.metric, real, fake)
        times = []
        for _ in range(1 if peer.slow else rounds):
            ours, own = timed(case.ours, real, fake)
            theirs, other = timed(peer.metric, real, fake)
            times.append((own, other))
        own, other = (statistics.median(side) for side in zip(*times, strict=True))
        difference = float((np.abs(ours - theirs) / np.abs(ours).clip(1e-300)).max())
        cells = [
            case.title,
            f"{n:,} x {d:,}",
            peer.name,
            ", ".join(f"{one:.9g}" for one in ours),
            ", ".join(f"{one:.9g}" for one in theirs),
            f"{difference:.1e}",
            gradient(case.ours, case.rows),
            gradient(peer.metric, case.rows),
            f"{own:.3g} / {other:.3g}",
            f"{own / other:.2f}",
            peer.remark if difference > 1e-6 else "",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    titles = (
        "metric | rows x columns | peer | ours | theirs | relative difference | gradient, "
        "ours | gradient, theirs | CPU s, ours / theirs | ratio | why it differs"
    )
    print(f"| {titles} |\n|{'---|' * (titles.count('|') + 1)}")
    for case in CASES:
        for n, d in case.sizes:
            compared(case, n, d, int(sys.argv[1]))


if __name__ == "__main__":
    main()

"""Which instances and samples look most alike, and which instances are the same bytes."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.report.pictures import TINY


Near = list[tuple[int, float]]  # row and distance, the nearest first


def nearest(
    rows: Float[Tensor, "n ..."],
    others: Float[Tensor, "m ..."],
    kind: str,
    *,
    k: int,
    own: Sequence[int] = (),
) -> list[Near]:
    """The `k` of `others` that each row is nearest to.

    The distance is the root of the mean squared difference of values: of pixels, after
    pictures were shrunk to 32 pixels, and of standardised columns for rows of a table.

    Args:
        rows: Whose neighbours are asked for.
        others: Who may be a neighbour.
        kind: `Columns.kind` of both.
        k: How many.
        own: Per row, where it stands among `others` itself; it is not its own neighbour.

    Returns:
        Per row, the places of its neighbours among `others` and their distances.
    """
    everyone = _flat(torch.cat([rows.cpu(), others.cpu()]), kind)
    left, right = everyone[: len(rows)], everyone[len(rows) :]
    distances = torch.cdist(left, right) / left.shape[1] ** 0.5
    if len(own):
        distances[torch.arange(len(rows)), torch.as_tensor(own)] = torch.inf
    found = distances.topk(min(k, len(others) - bool(len(own))), largest=False)
    return [
        list(zip(places, values, strict=True))
        for places, values in zip(
            found.indices.tolist(), found.values.tolist(), strict=True
        )
    ]


def copies(x: Tensor) -> dict[int, tuple[int, ...]]:
    """For each row that occurs more than once, the other rows with the same bytes."""
    groups: dict[bytes, list[int]] = {}
    for row, values in enumerate(x.cpu()):
        content = values.contiguous().numpy().tobytes()
        groups.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(row)
    return {
        row: tuple(other for other in group if other != row)
        for group in groups.values()
        if len(group) > 1
        for row in group
    }


def _flat(x: Tensor, kind: str) -> Tensor:
    x = x.float()
    if kind == "image":
        if max(x.shape[-2:]) > TINY:
            x = torch.nn.functional.adaptive_avg_pool2d(x, (TINY, TINY))
        return x.flatten(1)
    x = x.flatten(1)
    return (x - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-9)

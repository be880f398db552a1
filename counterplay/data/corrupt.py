"""Planted instances: harm that is known, to see whether influence finds it."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from counterplay import _rng
from counterplay.errors import ConfigError, DataError
from counterplay.game import Columns


KINDS = ("noise", "foreign", "duplicate", "inverted")


def corrupt(
    columns: Columns,
    *,
    kind: str,
    fraction: float,
    seed: int = 0,
    foreign: Columns | None = None,
    foreign_class: int | None = None,
    n_prototypes: int = 1,
) -> tuple[Columns, Bool[Tensor, " n"]]:
    """Replace the `"x"` of some instances by something that does not belong there.

    The other columns stay, so a planted instance has a wrong label on top.

    - `"noise"`: uniform noise; for images between the darkest and the brightest pixel, else
      in the bounding box, enlarged twice.
    - `"foreign"`: instances of another set, or of a class that is otherwise removed.
    - `"duplicate"`: copies of a few instances, as if a prototype had been stored often.
    - `"inverted"`: for images the negative, else the reflection in the upper corner of the
      bounding box, which lies outside of it.

    Args:
        columns: Usually `splits.train`.
        kind: One of the above.
        fraction: Share of the resulting instances that is planted.
        seed: Determines which instances, and what replaces them.
        foreign: For `"foreign"`: where to take instances from.
        foreign_class: For `"foreign"`: the label in `columns["y"]` to take instances from
            instead. Remove it from the held-out parts too, with `without_class`.
        n_prototypes: For `"duplicate"`: how many instances are copied.

    Returns:
        The instances, and which of them are planted. Ids stay; those of foreign instances
        and duplicates get the id of their source as a suffix, after `#`.

    Raises:
        ConfigError: If there is no such kind, or its options do not fit.
        DataError: If there are too few instances.

    Example:
        >>> clean = Columns({"x": torch.randn(100, 2)}, tuple(map(str, range(100))))
        >>> train, planted = corrupt(clean, kind="noise", fraction=0.05)
        >>> planted.sum()
        tensor(5)
    """
    if kind not in KINDS:
        raise ConfigError(f"There is no corruption {kind!r}; there are {list(KINDS)}.")
    if kind == "foreign":
        columns, foreign = _foreigners(columns, foreign, foreign_class)
    elif foreign is not None or foreign_class is not None:
        raise ConfigError(
            f"`foreign` and `foreign_class` belong to 'foreign', not {kind!r}."
        )
    draws = _rng.generator(seed, "corrupt", kind)
    chosen, others = _choose(len(columns), fraction, draws)
    x = columns["x"]
    if kind == "noise":
        return _plant(columns, chosen, _noise(columns, len(chosen), draws))
    if kind == "inverted":
        edge = 0 if columns.kind == "image" else x.amax(0)
        return _plant(columns, chosen, 2 * edge - x[chosen])
    if foreign is not None:
        pool, n_sources = foreign, len(chosen)
    else:
        pool, n_sources = columns.select(others), n_prototypes
    sources = _sources(pool, n_sources, len(chosen), draws)
    return _plant(columns, chosen, sources["x"].to(x), sources.ids)


def without_class(columns: Columns, label: int) -> Columns:
    """The instances whose `"y"` is not `label`.

    Raises:
        DataError: If no instance is left.
    """
    kept = (columns["y"] != label).nonzero().squeeze(1)
    if not len(kept):
        raise DataError(f"Every instance has the label {label}; without it none is left.")
    return columns.select(kept)


def _foreigners(
    columns: Columns, foreign: Columns | None, foreign_class: int | None
) -> tuple[Columns, Columns]:
    # The hosts, and the set to take instances from.
    if (foreign is None) == (foreign_class is None):
        raise ConfigError("'foreign' needs either `foreign` or `foreign_class`.")
    if foreign_class is not None:
        members = (columns["y"] == foreign_class).nonzero().squeeze(1)
        if not len(members):
            raise DataError(
                f"No instance has the label {foreign_class}; there are "
                f"{columns['y'].unique().tolist()}."
            )
        return without_class(columns, foreign_class), columns.select(members)
    assert foreign is not None
    if foreign["x"].shape[1:] != columns["x"].shape[1:]:
        raise DataError(
            f"Foreign instances have shape {tuple(foreign['x'].shape[1:])}, the others "
            f"{tuple(columns['x'].shape[1:])}. Resize or convert them first."
        )
    return columns, foreign


def _choose(
    n: int, fraction: float, draws: torch.Generator
) -> tuple[Int[Tensor, " planted"], Int[Tensor, " rest"]]:
    n_planted = round(fraction * n)
    if not 1 <= n_planted < n:
        raise DataError(
            f"`fraction` {fraction!r} of {n} instances plants {n_planted}; at least one "
            "must be planted and one must stay. Change `fraction`."
        )
    order = torch.randperm(n, generator=draws)
    return order[:n_planted].sort().values, order[n_planted:]


def _noise(columns: Columns, n: int, draws: torch.Generator) -> Tensor:
    x = columns["x"]
    if columns.kind == "image":
        low, high = x.min(), x.max()
    else:
        low, high = x.amin(0), x.amax(0)
        low, high = low - (high - low) / 2, high + (high - low) / 2
    uniform = torch.rand((n, *x.shape[1:]), generator=draws, dtype=x.dtype).to(x.device)
    return low + (high - low) * uniform


def _sources(pool: Columns, n_sources: int, n: int, draws: torch.Generator) -> Columns:
    # `n` instances of the pool, of which `n_sources` differ.
    if not 1 <= n_sources <= len(pool):
        raise DataError(
            f"{n_sources} different instances are needed to plant {n}, but there are "
            f"{len(pool)} to take from. Lower `fraction` or `n_prototypes`."
        )
    drawn = torch.randperm(len(pool), generator=draws)[:n_sources]
    return pool.select(drawn[torch.arange(n) % n_sources])


def _plant(
    columns: Columns,
    chosen: Int[Tensor, " planted"],
    x: Tensor,
    sources: tuple[str, ...] | None = None,
) -> tuple[Columns, Bool[Tensor, " n"]]:
    mask = torch.zeros(len(columns), dtype=torch.bool)
    mask[chosen] = True
    planted = columns["x"].clone()
    planted[chosen] = x
    ids = list(columns.ids)
    if sources is not None:
        for row, source in zip(chosen.tolist(), sources, strict=True):
            ids[row] = f"{ids[row]}#{source}"
    return replace(columns, tensors={**columns.tensors, "x": planted}, ids=tuple(ids)), mask

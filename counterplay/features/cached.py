"""Features of reference sets, kept on disk."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from counterplay._tensor_files import read_tensors, write_tensors
from counterplay.errors import DataError
from counterplay.features._map import identified
from counterplay.game import Columns
from counterplay.typing import FeatureMap


CHUNK = 256  # instances that the map reads at once; how `metrics.of_samples` reads them


@dataclass(frozen=True)
class Cached:
    """A feature map that remembers its rows for some instances; see `cached`.

    Attributes:
        map: What computes rows that are not remembered.
        folder: Where they are kept.
        references: The instances whose rows are kept.
    """

    map: FeatureMap
    folder: Path
    references: tuple[Tensor, ...] = field(repr=False)
    _rows: dict[tuple[str, int], Tensor] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """That of the map."""
        return self.map.name

    @property
    def fingerprint(self) -> str:
        """That of the map."""
        return self.map.fingerprint

    @property
    def n_features(self) -> int | None:
        """Number of columns, if the map knows it."""
        return getattr(self.map, "n_features", None)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Ids of the instances that the map was trained on."""
        return getattr(self.map, "trained_on", ())

    @property
    def logits(self) -> Callable[[Tensor], Tensor] | None:
        """The logits of instances, if the map has any."""
        logits = getattr(self.map, "logits", None)
        return None if logits is None else lambda x: self._found("logits", logits, x)

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per instance; differentiable in `x` if the map is."""
        return self._found("features", self.map, x)

    def path(self, kind: str, reference: int) -> Path:
        """The file of the features or the logits of one of the references."""
        data = identified(*(digest.hex() for digest in self._digests[reference]))
        key = identified(data, self.name, self.fingerprint, kind, torch.__version__)
        return self.folder / f"{key}.safetensors"

    @cached_property
    def _digests(self) -> list[list[bytes]]:
        return [list(_digests_of(reference)) for reference in self.references]

    @cached_property
    def _places(self) -> dict[bytes, tuple[int, int]]:
        """Which row of which reference an instance is."""
        return {
            digest: (reference, row)
            for reference, digests in enumerate(self._digests)
            for row, digest in enumerate(digests)
        }

    def _found(self, kind: str, rows: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return rows(x)
        places = []
        for digest in _digests_of(x):
            if digest not in self._places:  # generated, as the first instance shows
                return rows(x)
            places.append(self._places[digest])
        kept = {i: self._kept(kind, rows, i) for i in {i for i, _ in places}}
        return torch.stack([kept[i][row] for i, row in places]).to(x.device)

    def _kept(self, kind: str, rows: Callable[[Tensor], Tensor], reference: int) -> Tensor:
        if (kind, reference) not in self._rows:
            path, x = self.path(kind, reference), self.references[reference]
            found = _read(path, len(x))
            if found is None:
                with torch.no_grad():
                    found = torch.cat([rows(part).cpu() for part in x.split(CHUNK)])
                facts = {"map": self.name, "kind": kind, "hash": _hash(found)}
                write_tensors(path, "features.cached", facts, {"rows": found})
            self._rows[kind, reference] = found
        return self._rows[kind, reference]


def cached(
    map: FeatureMap, folder: str | os.PathLike[str], *references: Columns | Tensor
) -> Cached:
    """Keep the features of real instances on disk, and compute all others.

    Each reference has a file for its features and one for its logits, under a hash of its
    pixels, the map's weights, its name with the preprocessing, and PyTorch's version, so
    whatever changes the features leads to another file. Files are written whole or not at
    all; a damaged one is computed again. What was generated, and whatever a gradient is
    asked of, goes to the map and leaves no file.

    Args:
        map: What computes features; it needs a `fingerprint`.
        folder: Where to keep them; made at the first writing.
        references: The real instances, in any number of sets.

    Returns:
        The map with a memory.

    Raises:
        DataError: If there is nothing to keep, or the map has no fingerprint.
    """
    if not references:
        raise DataError(
            "There is nothing whose features could be kept. Give the reference sets too: "
            "`features.cached(map, folder, data.valid, data.test)`."
        )
    if not getattr(map, "fingerprint", ""):
        raise DataError(
            f"Feature map {map.name!r} has no `fingerprint`, so features of other weights "
            "could be taken for its own. Give it one, or wrap its network by "
            "`features.from_module`."
        )
    tensors = tuple(r["x"] if isinstance(r, Columns) else r for r in references)
    return Cached(map, Path(folder), tensors)


def _digests_of(x: Tensor) -> Iterator[bytes]:
    """Hash instances one by one, each with its shape and dtype.

    Yields:
        The hash of the next instance.
    """
    head = f"{x.dtype}{tuple(x.shape[1:])}".encode()
    for row in x.detach():
        yield hashlib.blake2b(head + _bytes(row), digest_size=16).digest()


def _hash(rows: Tensor) -> str:
    return hashlib.blake2b(_bytes(rows), digest_size=12).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _read(path: Path, n: int) -> Tensor | None:
    """The rows of a file, or None if it is missing or damaged."""
    try:
        _, facts, tensors = read_tensors(path)
        rows = tensors["rows"]
        intact = len(rows) == n and facts["hash"] == _hash(rows)
    except (KeyError, TypeError, ValueError):
        return None
    return rows if intact else None

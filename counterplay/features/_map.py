"""What feature maps share: names, checks, hashes, and packages that may be missing."""

import hashlib
import importlib
import re
from typing import Any

import torch
from torch import Tensor

from counterplay.errors import DataError, MetricError, MissingExtraError


def check_name(name: str) -> None:
    """Refuse a name that would not fit into the name of a result.

    Raises:
        DataError: If it is not made of letters, digits and underscores.
    """
    if not re.fullmatch(r"\w+", name):
        raise DataError(
            f"A feature map cannot be called {name!r}: its name becomes part of the names "
            "of results and files. Use letters, digits and underscores."
        )


def check_rows(
    name: str, features: Tensor, x: Tensor, n_features: int | None = None
) -> Tensor:
    """The features of `x`, once they are known to be as many as promised, and finite.

    Features of instances that are not finite themselves are passed on: whoever made those
    has the better error.

    Raises:
        DataError: If there are other than `n_features` columns.
        MetricError: If finite instances have features that are not.
    """
    if n_features not in {None, features.shape[1]}:
        raise DataError(
            f"Feature map {name!r} has `n_features`={n_features}, but gives "
            f"{features.shape[1]} for instances of shape {tuple(x.shape[1:])}. Correct "
            "`n_features`, or give instances of the shape the network was made for."
        )
    finite = torch.isfinite(features).all(1)
    if not finite.all() and torch.isfinite(x).all():
        raise MetricError(
            f"Feature map {name!r} gives NaN or infinity for {int((~finite).sum())} of "
            f"{len(x)} instances, the first is row {int((~finite).nonzero()[0])}, whose "
            f"values are finite and reach from {float(x.min()):.4g} to "
            f"{float(x.max()):.4g}. Check its weights, and the range it expects."
        )
    return features


def identified(*parts: str) -> str:
    """A hash of several parts of a description."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def optional(module: str, member: str, *, extra: str, what: str) -> Any:
    """A class or function of a package that a user may lack.

    Raises:
        MissingExtraError: If the package cannot be imported, for whatever reason.
    """
    try:
        return getattr(importlib.import_module(module), member)
    # A torchvision that was built for another PyTorch fails with RuntimeError.
    except (ImportError, RuntimeError) as error:
        absence = missing(error, module.partition(".")[0], extra=extra, what=what)
        raise absence from error


def missing(error: Exception, package: str, *, extra: str, what: str) -> MissingExtraError:
    """The error of a feature map whose package cannot be imported."""
    return MissingExtraError(
        f"`features.{what}` needs the package {package}, which cannot be imported here: "
        f"{first_line(_deepest(error))} Install it with `pip install "
        f'"counterplay[{extra}]"`; where torchvision is named, it is missing or was built '
        f"for another PyTorch than the installed {torch.__version__}."
    )


def first_line(error: BaseException) -> str:
    """What another package's error says first, as a sentence."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ") + "."


def _deepest(error: BaseException) -> BaseException:
    """What went wrong first; packages that import on demand wrap it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error

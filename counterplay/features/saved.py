"""Feature maps from the files that their `save` writes."""

import os
from pathlib import Path

from counterplay._tensor_files import read_tensors
from counterplay.errors import DataError
from counterplay.features._map import first_line
from counterplay.features.autoencoder import Autoencoder
from counterplay.features.classifier import Classifier


_KINDS = {map.kind(): map for map in (Classifier, Autoencoder)}


def saved(path: str | os.PathLike[str]) -> Classifier | Autoencoder:
    """Read a trained feature map that was saved, as `counterplay features` does.

    Args:
        path: The file.

    Returns:
        The map, under the name it was trained with.

    Raises:
        DataError: If the file is missing, holds something else, or has been changed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"There is no file {str(path)!r} to read a feature map from. Write one by "
            "`counterplay features`, or by the `save` of a trained map."
        )
    try:
        kind, facts, tensors = read_tensors(path)
        return _KINDS[kind].from_parts(facts, tensors)
    except (DataError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{str(path)!r} holds no usable feature map: {first_line(error)} Write "
            "one by `counterplay features`, or by the `save` of a trained map."
        ) from error

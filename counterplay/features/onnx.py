"""Features of a network in an ONNX file: values, without a gradient."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterplay.errors import DataError, MetricError
from counterplay.features._map import check_name, check_rows, first_line, optional


_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
}
# Large weights stand in files beside, named by the value of "location" in the protobuf.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


@dataclass(frozen=True)
class OnnxFeatures:
    """One output of an ONNX network.

    Attributes:
        name: What it is called in the names of results.
        n_features: Number of columns, if it was given.
        fingerprint: Hash of the file, and of the files that hold its weights.
        output: Name of the output.
        session: What runs the network.
    """

    name: str
    n_features: int | None
    fingerprint: str
    output: str
    session: Any = field(repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per instance.

        Raises:
            MetricError: If a gradient is asked for.
            DataError: If the network does not take the instances, or gives no rows.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise MetricError(
                f"Feature map {self.name!r} is an ONNX network, which gives values only: "
                "it cannot be traced or differentiated. Export the network to TorchScript "
                "and use `features.torchscript`, or report its metric without tracing it."
            )
        (put,) = self.session.get_inputs()
        given = x.detach().to("cpu", _DTYPES[put.type]).numpy()
        try:
            (found,) = self.session.run([self.output], {put.name: given})
        except Exception as error:  # onnxruntime's have no base of their own
            raise DataError(
                f"Feature map {self.name!r} takes {put.name!r} of shape {put.shape}, but "
                f"is given {tuple(x.shape)}: {first_line(error)} Give instances of that "
                "shape, or export the network with a free first axis."
            ) from error
        if found.shape[:1] != x.shape[:1]:
            raise DataError(
                f"Output {self.output!r} of feature map {self.name!r} has shape "
                f"{found.shape} for {len(x)} instances. It must have one row per instance; "
                "choose another by `output`."
            )
        rows = torch.from_numpy(found).flatten(1).to(x.device)
        return check_rows(self.name, rows, x, self.n_features)


def onnx(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    n_features: int | None = None,
    output: str | None = None,
) -> OnnxFeatures:
    """Use the network in an ONNX file, for values that are not traced.

    It reads instances as they are; see `features.preprocessed` for range and size.

    Args:
        path: The file; needs the extra `onnx`.
        name: What the map is called in the names of results; by default the file's name.
        n_features: Number of columns, checked at every call if given.
        output: Name of the output that gives the features; the first if not given.

    Returns:
        The map.

    Raises:
        DataError: If there is no such file, it does not hold a network of one input, or it
            has no such output.
    """
    path = Path(path)
    check_name(name := name or path.stem)
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} to read a feature network from.")
    session = _session(path)
    inputs, outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    if len(inputs) != 1 or inputs[0].type not in _DTYPES:
        raise DataError(
            f"The network in {str(path)!r} reads {[(i.name, i.type) for i in inputs]}, "
            "but a feature map reads instances alone, as one of "
            f"{sorted(_DTYPES)}. Export the part of it that does."
        )
    if output is not None and output not in outputs:
        raise DataError(
            f"The network in {str(path)!r} has no output {output!r}; it has {outputs}."
        )
    return OnnxFeatures(name, n_features, _fingerprint(path), output or outputs[0], session)


def _session(path: Path) -> Any:
    need = partial(optional, "onnxruntime", extra="onnx", what="onnx")
    make, options = need("InferenceSession"), need("SessionOptions")()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return make(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no base of their own
        raise DataError(
            f"{str(path)!r} does not hold an ONNX network that runs here: "
            f"{first_line(error)} Write it with `torch.onnx.export`."
        ) from error


def _fingerprint(path: Path) -> str:
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=12)
    names = {
        content[match.end() : match.end() + match[1][0]]
        for match in _LOCATION.finditer(content)
    }
    for name in sorted(names):
        beside = path.parent / os.fsdecode(name)
        if beside.is_file():
            digest.update(beside.read_bytes())
    return digest.hexdigest()

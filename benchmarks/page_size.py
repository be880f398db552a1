"""How large is the report page of 1,000 instances? At most 5 MiB is the aim.

Influences on two metrics of 3,000 made-up instances in 20 stretches, with names as long as
paths, and 256 samples, of which neighbours are found. Smooth images are like photographs,
noise is the worst that there is.

Run: python benchmarks/page_size.py
"""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from counterplay._influence import Influence
from counterplay.game import Columns
from counterplay.report import build


N, N_SHOWN, N_STRETCHES = 3_000, 1_000, 20


def images(channels: int, side: int, noise: float, generator: torch.Generator) -> Tensor:
    coarse = torch.rand(N, channels, side // 4, side // 4, generator=generator)
    smooth = 2 * interpolate(coarse, size=(side, side), mode="bilinear") - 1
    grain = torch.randn(smooth.shape, generator=generator)
    return (smooth + noise * grain).clamp(-1, 1)


def kinds(generator: torch.Generator) -> dict[str, tuple[Tensor, str]]:
    normal = lambda *shape: torch.randn(N, *shape, generator=generator)
    return {
        "28 x 28, smooth": (images(1, 28, 0.05, generator), "image"),
        "28 x 28, noise": (images(1, 28, 1.0, generator), "image"),
        "64 x 64 in colour, smooth": (images(3, 64, 0.1, generator), "image"),
        "64 x 64 in colour, noise": (images(3, 64, 1.0, generator), "image"),
        "rows of 20 columns": (normal(20), "row"),
        "windows of 60 x 5": (normal(60, 5).cumsum(1), "window"),
        "points of the plane": (normal(2), "point"),
    }


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    ids = tuple(f"a/folder/of/files/{i:05d}.png" for i in range(N))
    for name, (x, kind) in kinds(generator).items():
        data = Columns({"x": x, "y": torch.arange(N) % 10}, ids, kind=kind)
        with tempfile.TemporaryDirectory() as folder:
            for number in range(2):
                parts = torch.randn(N_STRETCHES, N, generator=generator)
                found = Influence(
                    f"valid_frechet_classifier_{number}", False, 3.0,
                    parts.double().sum(0), torch.ones(N, dtype=torch.float64), ids,
                    "Unroll(last=None)", by_stretch=parts,
                    stretches=tuple(range(0, 100 * N_STRETCHES + 1, 100)),
                )  # fmt: skip
                found.save(Path(folder) / f"influence_{number}.npz")
            begin = time.process_time()
            page = build(folder, data=data, samples=x[:256].flip(-1), n_instances=N_SHOWN)
            seconds = time.process_time() - begin
            size = page.stat().st_size / 2**20
            print(f"{name}: {size:.2f} MiB, {seconds:.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main()

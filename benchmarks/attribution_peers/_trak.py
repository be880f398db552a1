"""TRAK; runs in the environment that holds traker."""

# pyright: reportMissingImports=false

import tempfile

import torch
from _exchange import answer, Problem
from torch import nn, Tensor
from torch.func import functional_call
from trak import TRAKer
from trak.modelout_functions import AbstractModelOutput
from trak.projectors import BasicProjector, ProjectionType


PROJECTED = 256  # TRAK 0.3.2 fails on a CPU at 100 and below
BATCH = 100


class Margin(AbstractModelOutput):
    """The logit of the right class, which TRAK predicts for classifiers."""

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def get_output(module: nn.Module, params, buffers, x: Tensor, y: Tensor) -> Tensor:
        logit = functional_call(module, (params, buffers), (x[None],)).squeeze()
        return (2 * y - 1) * logit

    def get_out_to_loss_grad(self, module, params, buffers, batch) -> Tensor:
        x, y = batch
        logits = functional_call(module, (params, buffers), (x,)).flatten()
        return torch.sigmoid(-(2 * y - 1) * logits)[:, None].detach()


def trak(problem: Problem) -> Tensor:
    module, n_params = problem.module, sum(p.numel() for p in problem.module.parameters())
    dtype = problem.x.dtype
    projector = BasicProjector(
        grad_dim=n_params,
        proj_dim=PROJECTED,
        seed=0,
        proj_type=ProjectionType.rademacher,
        device="cpu",
        dtype=dtype,
        block_size=128,
    )
    rows = torch.split(torch.arange(len(problem.x)), BATCH)
    tests = torch.split(torch.arange(len(problem.test_x)), BATCH)
    with tempfile.TemporaryDirectory() as folder:
        traker = TRAKer(
            model=module,
            task=Margin(),
            train_set_size=len(problem.x),
            save_dir=folder,
            device="cpu",
            projector=projector,
            proj_dim=PROJECTED,
            use_half_precision=False,
            logging_level=40,
        )
        for number, params in enumerate(problem.checkpoints):
            traker.load_checkpoint(params, model_id=number)
            for index in rows:
                batch = (problem.x[index], problem.y[index])
                traker.featurize(batch, num_samples=len(index))
        traker.finalize_features()
        for number, params in enumerate(problem.checkpoints):
            traker.start_scoring_checkpoint(
                "scores", params, number, num_targets=len(problem.test_x)
            )
            for index in tests:
                batch = (problem.test_x[index], problem.test_y[index])
                traker.score(batch, num_samples=len(index))
        agreement = torch.from_numpy(traker.finalize_scores("scores").copy())
    return problem.harm(agreement)


if __name__ == "__main__":
    answer({"trak": trak})

"""captum's TracInCP; runs in the environment that holds captum."""

# pyright: reportMissingImports=false

import tempfile
from pathlib import Path

import torch
from _exchange import answer, Problem
from captum.influence import TracInCP
from torch import nn, Tensor
from torch.utils.data import TensorDataset


def tracin(problem: Problem) -> Tensor:
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for i, params in enumerate(problem.checkpoints):
            paths.append(str(Path(name) / f"{i}.pt"))
            torch.save({"params": params, "rate": problem.rates[i]}, paths[-1])

        def load(module: nn.Module, path: str) -> float:
            kept = torch.load(path)
            module.load_state_dict(kept["params"])
            return kept["rate"]

        tracer = TracInCP(
            problem.module,
            TensorDataset(*problem.instances),
            paths,
            checkpoints_load_func=load,
            loss_fn=nn.BCEWithLogitsLoss(reduction="sum"),
            batch_size=200,
            sample_wise_grads_per_batch=True,
        )
        agreement = tracer.influence((problem.test_x, problem.test_y))
    return problem.harm(agreement.T)


if __name__ == "__main__":
    answer({"tracin": tracin})

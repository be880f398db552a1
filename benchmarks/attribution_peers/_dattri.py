"""dattri's attributors, on D and on both players; runs in the environment of dattri."""

# pyright: reportMissingImports=false

import torch
from _exchange import answer, Problem
from dattri.algorithm.influence_function import IFAttributorCG, IFAttributorExplicit
from dattri.algorithm.tracin import TracInAttributor
from dattri.task import AttributionTask
from torch import nn, Tensor
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.utils.data import DataLoader, TensorDataset


DAMPING = 1e-2
CG_STEPS = 50
NUMBERS, ROWS = 16_000_000, 1_200  # most of per-row gradients, and of rows, at once


def attributed(attributor, scored: TensorDataset, rows: TensorDataset | None) -> Tensor:
    """Harm of the scored rows; the test set is one row, the mean of a loss over it.

    Influence functions get their Hessian from all `rows`. They solve anew for every batch
    of scored rows, so a batch is as large as the memory allows.
    """
    n_params = sum(p.numel() for p in attributor.task.get_model().parameters())
    batch = max(1, min(ROWS, NUMBERS // n_params))
    train = DataLoader(scored, batch_size=min(batch, len(scored)), shuffle=False)
    test = DataLoader(TensorDataset(torch.zeros(1, 1)), batch_size=1, shuffle=False)
    if rows is not None:
        attributor.cache(DataLoader(rows, batch_size=len(rows), shuffle=False))
    with torch.no_grad():  # or the graph of every step of conjugate gradients is kept
        return -attributor.attribute(train, test)[:, 0]


def task_of(problem: Problem, checkpoints: list[dict[str, Tensor]]) -> AttributionTask:
    module = problem.module

    def loss(params, row) -> Tensor:
        x, y = row
        x = x.reshape(-1, *problem.x.shape[1:])  # one row, or all of them
        logits = functional_call(module, params, (x,)).flatten()
        return binary_cross_entropy_with_logits(logits, y.flatten())

    def target(params, row) -> Tensor:
        del row
        logits = functional_call(module, params, (problem.test_x,)).flatten()
        return binary_cross_entropy_with_logits(logits, problem.test_y)

    return AttributionTask(loss, module, checkpoints, target_func=target)


def on_reader(attributor, problem: Problem) -> Tensor:
    rows = TensorDataset(problem.x, problem.y)
    return attributed(attributor, TensorDataset(*problem.instances), rows)


def explicit(problem: Problem) -> Tensor:
    task = task_of(problem, problem.checkpoints[-1:])
    return on_reader(IFAttributorExplicit(task, regularization=DAMPING), problem)


def cg(problem: Problem) -> Tensor:
    task = task_of(problem, problem.checkpoints[-1:])
    attributor = IFAttributorCG(task, max_iter=CG_STEPS, regularization=DAMPING)
    return on_reader(attributor, problem)


def tracin(problem: Problem) -> Tensor:
    attributor = TracInAttributor(
        task_of(problem, problem.checkpoints),
        weight_list=torch.tensor(problem.rates),
        normalized_grad=False,
    )
    return attributed(attributor, TensorDataset(*problem.instances), None)


class Both(nn.Module):
    """Generator and discriminator as one module."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module):
        super().__init__()
        self.G, self.D = generator, discriminator

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.D(x).flatten(), self.D(self.G(z)).flatten()


def joint_task(problem: Problem) -> AttributionTask:
    """The discriminator's loss by both players, with the metric as target.

    The target is linear with the metric's exact gradient at the final parameters, which is
    all that influence functions take of it.
    """
    joint = problem.joint
    assert joint is not None
    both = Both(joint.generator, problem.final)
    params = {f"G.{name}": value for name, value in joint.params.items()}
    params |= {f"D.{name}": value for name, value in problem.checkpoints[-1].items()}

    def loss(params, row) -> Tensor:
        x = row[0].reshape(-1, *problem.x.shape[1:])
        real, fake = functional_call(both, params, (x, joint.z))  # samples are everyone's
        return softplus(-real).mean() + softplus(fake).mean()

    def target(params, row) -> Tensor:
        del row
        return torch.stack(
            [(params[f"G.{name}"] * g).sum() for name, g in joint.badness.items()]
        ).sum()

    return AttributionTask(loss, both, [params], target_func=target)


def on_both(attributor, problem: Problem) -> Tensor:
    rows = TensorDataset(problem.instances[0])
    return attributed(attributor, rows, rows)


def joint_explicit(problem: Problem) -> Tensor:
    task = joint_task(problem)
    return on_both(IFAttributorExplicit(task, regularization=DAMPING), problem)


def joint_cg(problem: Problem) -> Tensor:
    task = joint_task(problem)
    attributor = IFAttributorCG(task, max_iter=CG_STEPS, regularization=DAMPING)
    return on_both(attributor, problem)


if __name__ == "__main__":
    answer(
        {
            function.__name__: function
            for function in (
                explicit,
                cg,
                tracin,
                joint_explicit,
                joint_cg,
            )
        }
    )

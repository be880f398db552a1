"""pyDVL's influence functions; runs in the environment that holds pyDVL."""

# pyright: reportMissingImports=false

from _exchange import answer, Problem
from pydvl.influence.torch import DirectInfluence, NystroemSketchInfluence
from torch import nn, Tensor
from torch.utils.data import DataLoader, TensorDataset


DAMPING = 1e-2
RANK = 100  # of the sketch of a Hessian that is too large to be solved with


def agreement_by(model, problem: Problem) -> Tensor:
    rows = TensorDataset(problem.x, problem.y)
    fitted = model.fit(DataLoader(rows, batch_size=len(rows)))
    found = fitted.influences(problem.test_x, problem.test_y, *problem.instances)
    return problem.harm(found.T)


def direct(problem: Problem) -> Tensor:
    loss = nn.BCEWithLogitsLoss()
    return agreement_by(
        DirectInfluence(problem.final, loss, regularization=DAMPING), problem
    )


def nystroem(problem: Problem) -> Tensor:
    model = NystroemSketchInfluence(
        problem.final, nn.BCEWithLogitsLoss(), regularization=DAMPING, rank=RANK
    )
    return agreement_by(model, problem)


if __name__ == "__main__":
    answer({"direct": direct, "nystroem": nystroem})

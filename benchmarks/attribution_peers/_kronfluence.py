"""kronfluence's EK-FAC; runs in the environment that holds kronfluence."""

# pyright: reportMissingImports=false

import copy
import tempfile

import torch
from _exchange import answer, Problem
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import nn, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset


class RealOrFake(Task):
    """The classifier's loss, for training and for test rows."""

    def compute_train_loss(self, batch, model: nn.Module, sample: bool = False) -> Tensor:
        x, y = batch
        logits = model(x)
        if sample:
            with torch.no_grad():
                y = torch.bernoulli(torch.sigmoid(logits.detach()))
        return binary_cross_entropy_with_logits(logits, y, reduction="sum")

    def compute_measurement(self, batch, model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)


def ekfac(problem: Problem) -> Tensor:
    task, dtype = RealOrFake(), problem.x.dtype
    module = prepare_model(copy.deepcopy(problem.final), task)
    train = TensorDataset(problem.x, problem.y)
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "peers", module, task, cpu=True, output_dir=folder, disable_tqdm=True
        )
        factors = FactorArguments(
            strategy="ekfac",
            activation_covariance_dtype=dtype,
            gradient_covariance_dtype=dtype,
            per_sample_gradient_dtype=dtype,
            lambda_dtype=dtype,
        )
        analyzer.fit_all_factors(
            "factors",
            train,
            per_device_batch_size=200,
            factor_args=factors,
            overwrite_output_dir=True,
        )
        analyzer.compute_pairwise_scores(
            "scores",
            "factors",
            query_dataset=TensorDataset(problem.test_x, problem.test_y),
            train_dataset=TensorDataset(*problem.instances),
            per_device_query_batch_size=len(problem.test_x),
            per_device_train_batch_size=200,
            score_args=ScoreArguments(
                aggregate_query_gradients=True,
                score_dtype=dtype,
                per_sample_gradient_dtype=dtype,
                precondition_dtype=dtype,
            ),
            overwrite_output_dir=True,
        )
        agreement = analyzer.load_pairwise_scores("scores")["all_modules"]
    return problem.harm(agreement.T)


if __name__ == "__main__":
    answer({"ekfac": ekfac})

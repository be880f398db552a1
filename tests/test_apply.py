"""Networks as functions of every player's tensors, alone or as part of a team."""

import torch
from torch import nn

from counterplay._apply import apply_of


def test_a_part_of_a_team_reads_and_writes_its_own_tensors():
    team = nn.ModuleDict({"one": nn.BatchNorm1d(2), "other": nn.Linear(2, 3)})
    tensors = dict(team.state_dict())
    for name, value in team.named_parameters():
        tensors[name] = value.detach() + 1  # what counts is what is given
    x = torch.randn(5, 2)
    params = {"G": dict(tensors)}
    found = apply_of("G", team["other"], part="other")(params, x)
    expected = x @ tensors["other.weight"].T + tensors["other.bias"]
    torch.testing.assert_close(found, expected)
    apply_of("G", team["one"], part="one")(params, x)
    assert not torch.equal(params["G"]["one.running_mean"], tensors["one.running_mean"])
    assert torch.equal(params["G"]["other.weight"], tensors["other.weight"])


class Two(nn.Module):
    """Gives two tensors."""

    def forward(self, x):
        return x.bfloat16(), x


def test_each_of_several_outputs_comes_back_in_float32():
    found = apply_of("D", Two())({"D": {}}, torch.ones(2))
    assert [each.dtype for each in found] == [torch.float32] * 2

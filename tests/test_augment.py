"""Changes of images: a group where there is one, and never a break in the gradient."""

import pytest
import torch

from counterplay import augment
from counterplay.errors import GameError


def images(n=4, side=8):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 2, side, side, generator=generator, dtype=torch.float64)


def test_four_quarter_turns_are_none_and_turns_add_up():
    points = torch.randn(5, 2, dtype=torch.float64)
    for x in (images(), points):
        assert torch.equal(augment.turned(augment.turned(x, 1), 3), x)
        assert torch.equal(augment.turned(augment.turned(x, 1), 1), augment.turned(x, 2))


def test_points_and_images_turn_the_same_way():
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 1, 2] = 1  # to the right of the middle
    up = augment.turned(image, 1)[0, 0]
    assert up[0, 1] == 1
    assert augment.turned(torch.tensor([[1.0, 0.0]]), 1).tolist() == [[0.0, 1.0]]


def test_each_row_may_turn_by_itself():
    x, quarters = images(), torch.tensor([3, 0, 1, 2])
    expected = torch.cat(
        [augment.turned(x[i : i + 1], int(k)) for i, k in enumerate(quarters)]
    )
    assert torch.equal(augment.turned(x, quarters), expected)


def test_rows_that_cannot_be_turned_are_refused():
    with pytest.raises(GameError, match=r"shape \(3,\) cannot be turned"):
        augment.turned(torch.zeros(2, 3), 1)


def test_a_shift_moves_pixels_and_leaves_zeros():
    x = images(3)
    by = torch.tensor([[0.5, 0.5], [0.99, 0.5], [0.5, 0.0]])
    found = augment.shifted(x, by, most=0.25)  # up to 2 pixels
    assert torch.equal(found[0], x[0])
    assert torch.equal(found[1][:, 2:], x[1][:, :-2])
    assert not found[1][:, :2].any()
    assert torch.equal(found[2][:, :, :-2], x[2][:, :, 2:])


def test_a_cut_covers_its_share():
    found = augment.cut_out(images(1), torch.tensor([[0.5, 0.5]]), share=0.5)
    assert int((found == 0).sum()) == 2 * 4 * 4


def test_colours_stay_at_a_half():
    x = images()
    by = torch.full((4, 3), 0.5, dtype=torch.float64)
    torch.testing.assert_close(augment.recoloured(x, by), x)
    grey = by.clone()
    grey[:, 1] = 0  # no saturation
    found = augment.recoloured(x, grey)
    torch.testing.assert_close(found[:, 0], found[:, 1])


@pytest.mark.parametrize("name", ["rotation", "fliprot", "cropping"])
def test_a_policy_begins_with_no_change_and_lets_gradients_through(name):
    x = images().requires_grad_()
    first, *others = augment.policy(name)
    assert torch.equal(first(x), x)
    for change in others:
        changed = change(x)
        assert changed.shape == x.shape
        assert not torch.equal(changed, x)
        (slope,) = torch.autograd.grad(changed.sum(), x)
        assert slope.any()


def test_an_unknown_policy_is_refused():
    with pytest.raises(GameError, match=r"no policy 'mixup'; there are \['rotation'"):
        augment.policy("mixup")


def test_changes_at_random_are_done_in_order_by_an_images_own_numbers():
    x = images()
    numbers = torch.rand(4, augment.N_NUMBERS, dtype=torch.float64)
    found = augment.at_random(["cut", "colour", "shift"])(x, numbers)
    expected = augment.cut_out(x, numbers[:, 5:])
    expected = augment.recoloured(expected, numbers[:, :3])
    assert torch.equal(found, augment.shifted(expected, numbers[:, 3:5]))
    alone = augment.at_random(["cut", "colour", "shift"])(x[2:3], numbers[2:3])
    assert torch.equal(alone[0], found[2])


def test_changes_at_random_let_gradients_through():
    x = images().requires_grad_()
    numbers = torch.rand(4, augment.N_NUMBERS, dtype=torch.float64)
    change = augment.at_random(["colour", "shift", "cut"])
    assert torch.autograd.gradcheck(lambda x: change(x, numbers), x)


def test_no_changes_leave_anything_as_it_is():
    x = torch.randn(3, 2)
    assert augment.at_random(())(x, None) is x


def test_unknown_changes_and_rows_that_are_no_images_are_refused():
    with pytest.raises(GameError, match=r"no change 'blur'; there are \['colour', 'shift'"):
        augment.at_random(["shift", "blur"])
    with pytest.raises(GameError, match=r"shape \(2,\) are no images .* by \['shift'\]"):
        augment.at_random(["shift"])(torch.zeros(3, 2), torch.zeros(3, 7))

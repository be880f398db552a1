import torch

from counterplay.nets.linear_quadratic import linear_generator, quadratic_discriminator


def test_the_discriminator_is_the_quadratic_form():
    D = quadratic_discriminator(3, constant=True)
    torch.nn.init.constant_(D.constant, 0.7)
    x = torch.randn(5, 3)
    for row, value in zip(x, D(x), strict=True):
        torch.testing.assert_close(value, row @ D.matrix @ row + D.linear @ row + 0.7)


def test_the_constant_is_left_out_by_default():
    assert set(dict(quadratic_discriminator(3).named_parameters())) == {"matrix", "linear"}
    assert quadratic_discriminator(2)(torch.zeros(4, 2)).tolist() == [0, 0, 0, 0]


def test_the_generator_is_affine():
    G = linear_generator(4, 2)
    z = torch.randn(5, 4)
    torch.testing.assert_close(G(z), z @ G.weight.T + G.bias)
    assert linear_generator(4, 2, bias=False).bias is None

import pytest
import torch

from counterplay._mode import ByHand, computing, Mode, mode, transformed


def test_nothing_is_taken_for_granted_outside_of_a_mode():
    assert mode() == Mode(by_hand=False, channels_last=False, constant_buffers=False)


def test_modes_nest():
    with computing(Mode(by_hand=True)):
        with computing(Mode(channels_last=True)):
            assert mode() == Mode(channels_last=True)
        assert mode() == Mode(by_hand=True)


def test_a_mode_ends_with_its_block_even_by_an_error():
    def fail():
        with computing(Mode(by_hand=True)):
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        fail()
    assert mode() == Mode()


def test_inside_of_a_transform_nothing_is_certain():
    seen = []

    def look(x):
        seen.append((transformed(), mode()))
        return x.square()

    with computing(Mode(by_hand=True)):
        torch.func.grad(look)(torch.ones(()))
        look(torch.ones(()))
    assert seen == [(True, Mode()), (False, Mode(by_hand=True))]


def test_inside_of_a_transform_functions_are_differentiated_by_torch():
    class Wrong(ByHand):
        @staticmethod
        def forward(x):
            return x.square()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, *grads):
            return 0 * grads[0]

    x = torch.tensor(3.0, requires_grad=True)
    assert torch.func.grad(Wrong.of)(x.detach()) == 6
    assert torch.autograd.grad(Wrong.of(x), x) == (0,)


def test_a_function_by_hand_is_called_without_reading_its_signature(monkeypatch):
    class Double(ByHand):
        @staticmethod
        def forward(x, factor):
            return factor * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, *grads):
            return ctx.factor * grads[0], None

    def refuse(*args, **options):
        raise AssertionError("read")

    monkeypatch.setattr("torch.autograd.function.inspect.signature", refuse)
    x = torch.tensor(3.0, requires_grad=True)
    value = Double.of(x, 2.0)
    assert (value.item(), torch.autograd.grad(value, x)) == (6, (2,))

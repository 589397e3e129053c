"""The image path's quick forms equal the plain ones: GroupNorm for GPUs, ReLU after the max-pool."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from steve1.vpt import group_norm
from steve1.vpt.impala_cnn import DownStack, ImpalaCNN

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def normed(x, weight, bias, groups):
    return group_norm.group_norm(x, groups, weight, bias, 1e-5)


@pytest.fixture
def as_on_gpus(monkeypatch):
    monkeypatch.setattr(group_norm, "for_gpus", lambda x: True)


@pytest.mark.parametrize("groups", [1, 3])
def test_its_gradients_are_those_of_finite_differences(as_on_gpus, groups):
    x, weight, bias = (torch.randn(shape).double().requires_grad_() for shape in ((2, 6, 3, 4), 6, 6))
    assert torch.autograd.gradcheck(lambda *values: normed(*values, groups), (x, weight, bias))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_group_norm_rounded_once_and_keeps_the_layout(as_on_gpus, dtype, layout):
    torch.manual_seed(0)
    x = (40 + 3 * torch.randn(3, 8, 9, 8)).to(dtype).contiguous(memory_format=layout).requires_grad_()
    weight, bias = torch.randn(8, requires_grad=True), torch.randn(8, requires_grad=True)
    grad = torch.randn(3, 8, 9, 8).to(dtype)
    ours = normed(x, weight, bias, 2)
    wide = F.group_norm(x.double(), 2, weight.double(), bias.double(), 1e-5)
    assert ours.dtype == dtype
    assert ours.is_contiguous(memory_format=layout)
    # An ulp of bf16, where float32's last digits put the value on the other side of a half.
    near = {"rtol": 2**-7, "atol": 2**-9} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(ours, wide.to(dtype), **near)
    theirs = torch.autograd.grad(wide, (x, weight, bias), grad.double())
    found = torch.autograd.grad(ours, (x, weight, bias), grad)
    assert [value.dtype for value in found] == [dtype, torch.float32, torch.float32]
    torch.testing.assert_close(found[0], theirs[0], **near)
    for mine, other in zip(found[1:], theirs[1:], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-3)


class Convolutions(TorchDispatchMode):
    """Notes the pictures that convolutions are given: their type, and whether they are channels-last."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            last = args[0].is_contiguous(memory_format=torch.channels_last)
            self.seen.append((args[0].dtype, last))
        return func(*args, **(kwargs or {}))


def test_every_convolution_gets_bf16_pictures_that_are_channels_last(as_on_gpus):
    cnn = ImpalaCNN((16, 16, 3), [4, 8], 5, False, 1, 1)
    with torch.autocast("cpu", torch.bfloat16), Convolutions() as counted:
        cnn(torch.rand(2, 3, 16, 16)).sum().backward()
    assert counted.seen == [(torch.bfloat16, True)] * 10


def plain_stack(stack, x):
    x = stack.n(F.max_pool2d(F.relu(stack.firstconv(x)), kernel_size=3, stride=2, padding=1))
    for block in stack.blocks:
        x = block(x)
    return x


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("steps", [None, 4])
def test_relu_after_the_pool_changes_no_bit(layout, steps):
    """With ties too: rounded to a few steps, most windows have several largest pixels."""
    torch.manual_seed(0)
    stack = DownStack(3, 4, 1, False, 1, 1)
    if steps:
        stack.firstconv.register_forward_hook(lambda module, args, out: (out * steps).round() / steps)
    x = torch.randn(2, 3, 17, 16).contiguous(memory_format=layout).requires_grad_()
    wanted = [x, *stack.parameters()]
    ours, plain = stack(x), plain_stack(stack, x)
    assert torch.equal(ours, plain)
    grad = torch.randn_like(ours)
    pairs = zip(
        torch.autograd.grad(ours, wanted, grad), torch.autograd.grad(plain, wanted, grad), strict=True
    )
    assert all(torch.equal(mine, other) for mine, other in pairs)

"""The op's manners: torch.library, autocast, compile, export, empty and non-contiguous inputs."""

import pytest
import torch
from functorch.compile import make_boxed_compiler
from pading_ops import ms_deform_attn
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd

from tests.ops.op_inputs import (
    Arguments,
    assert_matches_oracle,
    differentiable,
    make_arguments,
    results,
)

_SHAPES = [(4, 3), (2, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_opcheck(rng: torch.Generator, device: str, dtype: torch.dtype) -> None:
    arguments = make_arguments(rng, _SHAPES, dtype=dtype, device=device)
    grad_output = torch.randn(2, 5, 24, generator=rng).to(arguments[0])
    ops = torch.ops.pading_ops
    torch.library.opcheck(ops.ms_deform_attn.default, differentiable(arguments))
    torch.library.opcheck(ops.ms_deform_attn.default, arguments)
    torch.library.opcheck(ops.ms_deform_attn_backward.default, (grad_output, *arguments))


class _Module(torch.nn.Module):
    """The op among neighbours that a compiler may fuse, as in the pixel decoder."""

    def forward(
        self, value: Tensor, shapes: Tensor, starts: Tensor, x: Tensor, w: Tensor
    ) -> Tensor:
        return ms_deform_attn(value * 2, shapes, starts, x, w.softmax(-1)) + 1


def _eager_grads(arguments: Arguments, function) -> list[Tensor]:
    leaves = differentiable(arguments)
    output = function(*leaves)
    return [output.detach(), *torch.autograd.grad(output.sum(), (leaves[0], leaves[3], leaves[4]))]


@pytest.mark.slow
def test_compile_with_dynamic_batch_and_queries(rng: torch.Generator, device: str) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    # No code is generated: dynamo, the fakes and AOT autograd are under test.
    compiled = torch.compile(
        _Module(), fullgraph=True, backend=_through_aot_autograd(backend), dynamic=True
    )
    # The first sizes differ from every other: equal ones would be taken for one symbol.
    for B, Q in ((6, 5), (3, 7), (4, 2)):
        arguments = make_arguments(rng, _SHAPES, B=B, Q=Q, device=device)
        expected = _eager_grads(arguments, _Module())
        for ours, theirs in zip(_eager_grads(arguments, compiled), expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert len(graphs) == 2, "one forward and one backward graph serve every B and Q"


def _through_aot_autograd(compiler):
    boxed = make_boxed_compiler(compiler)
    return aot_autograd(fw_compiler=boxed, bw_compiler=boxed)


def test_export(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, _SHAPES, device=device)
    B, Q = torch.export.Dim("B", max=64), torch.export.Dim("Q", max=4096)
    dynamic = ({0: B}, None, None, {0: B, 1: Q}, {0: B, 1: Q})
    program = torch.export.export(_Module(), arguments, dynamic_shapes=dynamic)
    assert "pading_ops.ms_deform_attn" in str(program.graph)
    other = make_arguments(rng, _SHAPES, B=3, Q=11, device=device)
    torch.testing.assert_close(program.module()(*other), _Module()(*other))


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(rng: torch.Generator, device: str, low: torch.dtype) -> None:
    arguments = make_arguments(rng, _SHAPES, device=device)
    value, shapes, starts, locations, weights = differentiable(arguments)
    with torch.autocast(device, dtype=low):
        # As after a softmax or a linear layer that autocast ran in the lower precision.
        output = ms_deform_attn(value, shapes, starts, locations.to(low), weights.to(low))
    assert output.dtype == low
    output.float().sum().backward()
    for leaf in (value, locations, weights):
        assert leaf.grad.dtype == torch.float32
    exact = ms_deform_attn(
        value.to(low), shapes, starts, locations.to(low).float(), weights.to(low).float()
    )
    assert torch.equal(output, exact)


def test_autocast_leaves_float64_alone(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, _SHAPES, dtype=torch.float64, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert torch.equal(ms_deform_attn(*arguments), ms_deform_attn(*arguments))
        assert ms_deform_attn(*arguments).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("empty", ["B", "Q", "S", "M", "D", "P", "L"])
def test_empty(rng: torch.Generator, device: str, dtype: torch.dtype, empty: str) -> None:
    shapes = {"S": [(0, 3), (2, 0)], "L": []}.get(empty, _SHAPES)
    sizes = {empty: 0} if empty in "BQMDP" else {}
    arguments = make_arguments(rng, shapes, dtype=dtype, device=device, **sizes)
    B, Q, M = arguments[3].shape[:3]
    width = M * arguments[0].shape[3]
    grad_output = torch.ones(B, Q, width).to(arguments[0])
    output, *gradients = results(ms_deform_attn, arguments, grad_output)
    assert output.shape == (B, Q, width)
    assert (output == 0).all()
    for gradient, argument in zip(gradients, (arguments[0], *arguments[3:]), strict=True):
        assert gradient.shape == argument.shape
        assert (gradient == 0).all()


def test_non_contiguous(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, _SHAPES, D=32, device=device)

    def strided(t: Tensor) -> Tensor:
        return t.repeat_interleave(2, -1)[..., ::2] if t.dim() != 4 else t.mT.contiguous().mT

    scattered = tuple(strided(a) for a in arguments)
    assert not any(a.is_contiguous() for a in scattered)
    assert_matches_oracle(ms_deform_attn, scattered, rng)
    grad_output = torch.randn(5, 2, 96, generator=rng).to(device).transpose(0, 1)
    ours = results(ms_deform_attn, scattered, grad_output)
    expected = results(ms_deform_attn, arguments, grad_output.contiguous())
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_rows_that_start_between_vectors(rng: torch.Generator, device: str) -> None:
    """Contiguous, but with an address that is no multiple of a vector's size."""
    arguments = make_arguments(rng, _SHAPES, D=32, device=device)
    value = torch.cat([arguments[0].new_zeros(1), arguments[0].flatten()])[1:]
    shifted = (value.view_as(arguments[0]), *arguments[1:])
    assert shifted[0].is_contiguous() and shifted[0].data_ptr() % 16 == 4
    assert torch.equal(ms_deform_attn(*shifted), ms_deform_attn(*arguments))


def test_second_derivative_is_refused(rng: torch.Generator, device: str) -> None:
    leaves = differentiable(make_arguments(rng, _SHAPES, device=device))
    output = ms_deform_attn(*leaves)
    (gradient,) = torch.autograd.grad(output.sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.square().sum().backward()


def test_nothing_but_the_inputs_is_saved(rng: torch.Generator, device: str) -> None:
    leaves = differentiable(make_arguments(rng, _SHAPES, device=device))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ms_deform_attn(*leaves)
    assert {t.data_ptr() for t in saved} == {t.data_ptr() for t in leaves}


def test_deterministic_algorithms(rng: torch.Generator, device: str) -> None:
    arguments = make_arguments(rng, _SHAPES, device=device)
    grad_output = torch.ones(2, 5, 24, device=device)
    torch.use_deterministic_algorithms(True)
    try:
        if device == "cuda":
            with pytest.raises(RuntimeError, match="deterministic"):
                results(ms_deform_attn, arguments, grad_output)
        else:
            results(ms_deform_attn, arguments, grad_output)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_more_than_32_bits_of_elements(device: str) -> None:
    """Offsets beyond 2^31: a value of 2^31 + 2^26 elements, of which a few are looked at."""
    S, D = 2**15 + 2**10, 2**16
    needed = 2 * (2 * S * D)  # the value twice: some room for what else runs
    available = torch.cuda.mem_get_info()[0] if device == "cuda" else _available_memory()
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory")
    value = torch.zeros(1, S, 1, D, dtype=torch.bfloat16, device=device)
    value[0, -1] = 1
    shapes = torch.tensor([[S, 1]], device=device)
    starts = torch.tensor([0], device=device)
    locations = torch.tensor([0.5, 1 - 0.5 / S], device=device).view(1, 1, 1, 1, 1, 2)
    weights = torch.ones(1, 1, 1, 1, 1, device=device)
    output = ms_deform_attn(value, shapes, starts, locations, weights)
    assert (output == 1).all()


def _available_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_graph(rng: torch.Generator) -> None:
    arguments = make_arguments(rng, _SHAPES, device="cuda")
    expected = ms_deform_attn(*arguments)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # fails on any host synchronisation
        output = ms_deform_attn(*arguments)
    graph.replay()
    torch.testing.assert_close(output, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices here")
def test_second_cuda_device(rng: torch.Generator) -> None:
    arguments = make_arguments(rng, _SHAPES, device="cuda:1")
    assert_matches_oracle(ms_deform_attn, arguments, rng)

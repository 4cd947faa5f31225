import pading_ops
import pytest
import torch


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device the op is compiled for, where it can run here."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")
        key = torch._C._dispatch_has_kernel_for_dispatch_key
        if not key("pading_ops::ms_deform_attn", "CUDA"):
            pytest.skip("built without the CUDA kernels (BUILD_CUDA)")
    return request.param


@pytest.fixture(autouse=True)
def extension() -> None:
    """These tests are about the compiled op; without it there is one that tests the fallback."""
    if not pading_ops.HAS_EXTENSION:
        pytest.skip("pading_ops is built without its extension (BUILD_OPS=0)")

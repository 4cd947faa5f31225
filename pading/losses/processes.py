"""What losses of several processes have in common."""

import torch
from detectron2.utils import comm


def mean_over_processes(value: float, device: torch.device) -> float:
    """Mean of the processes' values."""
    if comm.get_world_size() == 1:
        return value
    total = torch.tensor(value, device=device)
    torch.distributed.all_reduce(total)
    return total.item() / comm.get_world_size()

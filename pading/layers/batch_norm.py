"""Batch normalisation over the images of all processes, on any device."""

import torch
from detectron2.utils import comm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose batch statistics are those of all processes together.

    What PyTorch's SyncBatchNorm gives on GPUs alone, with weights under the same names. In one
    process, and outside training, it is BatchNorm2d.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        if not self.training or comm.get_world_size() == 1:
            return super().forward(x)
        values = x.float()
        count = values.new_tensor(values.numel() / values.shape[1])
        count = all_reduce(count)
        mean = all_reduce(values.sum((0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = self.momentum or 0.0
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

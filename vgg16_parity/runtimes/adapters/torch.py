"""The network in PyTorch."""

from __future__ import annotations

import torch

import torch_impl
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import FrameworkModel, Values
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.checkpoint import open_checkpoint


def load_torch(job: Job) -> FrameworkModel:
    """``torch_impl.VGG`` with the job's weights."""
    flags = settings.configure_torch(LANES[job.lane], job.device)
    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    configuration = checkpoint.configuration
    with torch.device("meta"):
        model = torch_impl.VGG(configuration.name, classes=configuration.classes)
    torch_impl.load_checkpoint(model, checkpoint)
    precision: torch.dtype = getattr(torch, LANES[job.lane].precision)
    model = model.to(job.device, precision).eval()

    def logits(images: Values) -> Values:
        with torch.inference_mode():
            values = model(torch.tensor(images, dtype=precision, device=job.device))
        computed: Values = values.float().cpu().numpy()
        return computed

    device = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
    return FrameworkModel(torch_impl, model, logits, device, torch.get_num_threads(), flags)

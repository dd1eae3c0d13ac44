"""The network in PyTorch."""

from __future__ import annotations

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import FrameworkModel, Values
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import GradientJob, RunJob
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec.checkpoint import open_checkpoint


class TorchModel(FrameworkModel):
    """``torch_impl.VGG`` with the job's weights."""

    def __init__(self, job: RunJob | GradientJob, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        with stopwatch.stage("import"):
            import torch

            import torch_impl
        self.flags = settings.configure_torch(lane, job.device)
        with stopwatch.stage("load"):
            checkpoint = open_checkpoint(job.checkpoint, check_values=False)
            configuration = checkpoint.configuration
            with torch.device("meta"):
                model = torch_impl.VGG(configuration.name, classes=configuration.classes)
            torch_impl.load_checkpoint(model, checkpoint)
            model = model.to(job.device, getattr(torch, lane.precision)).eval()
        device = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
        super().__init__(torch_impl, model, device)
        self.threads = torch.get_num_threads()

    def logits(self, images: Values) -> Values:
        """As `Evaluator`."""
        import torch

        like = next(self.network.parameters())
        with torch.inference_mode():
            values = self.network(torch.tensor(images, dtype=like.dtype, device=like.device))
        logits: Values = values.float().cpu().numpy()
        return logits

"""The canonical checkpoint: one safetensors file that every runtime reads."""

from vgg16_spec.checkpoint.checkpoint import Checkpoint as Checkpoint
from vgg16_spec.checkpoint.file import FORMAT as FORMAT
from vgg16_spec.checkpoint.file import MANIFEST as MANIFEST
from vgg16_spec.checkpoint.file import open_checkpoint as open_checkpoint
from vgg16_spec.checkpoint.file import write_checkpoint as write_checkpoint
from vgg16_spec.checkpoint.metadata import Metadata as Metadata
from vgg16_spec.checkpoint.shapes import configuration_of as configuration_of
from vgg16_spec.checkpoint.tensors import FLOAT32 as FLOAT32
from vgg16_spec.checkpoint.tensors import FLOATS as FLOATS
from vgg16_spec.checkpoint.tensors import Tensor as Tensor
from vgg16_spec.files.digest import digest as digest

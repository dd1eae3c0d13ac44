"""The data sets that people keep images in: folders, lists, tar shards and Parquet files."""

from vgg16_parity.evaluate.datasets.items import Dataset as Dataset
from vgg16_parity.evaluate.datasets.items import Item as Item
from vgg16_parity.evaluate.datasets.items import Skipped as Skipped
from vgg16_parity.evaluate.datasets.opening import open_dataset as open_dataset

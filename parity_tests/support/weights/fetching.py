"""A published file to fetch, and a process that fetches it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from vgg16_weights.published.pretrained import Digest, Published

CONTENT = np.random.default_rng(7).bytes(400_000)
RECORD = Published(
    name="keras-imagenet",
    file="weights.h5",
    url="https://weights.invalid/weights.h5",
    digest=Digest("sha256", hashlib.sha256(CONTENT).hexdigest()),
    size=len(CONTENT),
    file_format="keras-h5",
    recipe="caffe",
)
# As a person would call it from a script, with any record.
SCRIPT = """
import json, sys
from vgg16_spec.errors import BadInput
from vgg16_weights.published.fetch import fetch, is_cached
from vgg16_weights.published.pretrained import Digest, Published
facts = json.loads(sys.argv[1])
record = Published(**facts | {"digest": Digest(**facts["digest"])})
try:
    print(fetch(record).resolve())
except BadInput as error:
    sys.exit(str(error))
assert is_cached(record)
"""


def start(record: Published, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(asdict(record))],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

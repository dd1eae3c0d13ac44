"""What fewer bits cost: a record beside the graph, measured on the graph as it was written."""

from __future__ import annotations

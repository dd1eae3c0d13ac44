"""``vgg16 weights list`` and ``fetch``: the sets of weights that have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from vgg16_parity.cli.console import print_json, print_table, receiving
from vgg16_spec.errors import BadInput

_COLUMNS = ("weights", "network", "recipe", "licence", "cached", "MB", "top-1 %", "top-5 %")


def list_published(as_json: bool) -> int:
    """Every published set of weights, and which of them are in the cache."""
    from vgg16_weights.fetch import is_cached, location
    from vgg16_weights.pretrained import PUBLISHED

    records = PUBLISHED.values()
    if as_json:
        facts = [
            asdict(record) | {"path": str(location(record)), "cached": is_cached(record)}
            for record in records
        ]
        print_json({"weights": facts})
        return 0
    rows = [
        (
            record.name,
            record.configuration + (" features" if record.features_only else ""),
            record.recipe,
            record.licence,
            "yes" if is_cached(record) else "no",
            f"{record.size / 1e6:.0f}",
            "" if record.top1 is None else f"{record.top1:g}",
            "" if record.top5 is None else f"{record.top5:g}",
        )
        for record in records
    ]
    print_table(_COLUMNS, rows, text_columns=5)
    for record in records:
        if record.features_only:
            print(f"{record.name}: features only, because {record.features_only}.")
    return 0


def fetch_published(names: Sequence[str], everything: bool, as_json: bool) -> int:
    """The files of published sets of weights, fetched where they are not in the cache."""
    from vgg16_weights.fetch import fetch
    from vgg16_weights.pretrained import PUBLISHED, published

    if not (names or everything):
        raise BadInput("weights fetch", "no name is given", f"{', '.join(PUBLISHED)}, or --all")
    if names and everything:
        raise BadInput("weights fetch", "names are given besides --all", "one of the two")
    # All of them, before the first is fetched.
    records = [published(name) for name in (PUBLISHED if everything else dict.fromkeys(names))]
    paths: dict[str, str] = {}
    for record in records:
        with receiving(f"fetch {record.name}") as progress:
            paths[record.name] = str(fetch(record, progress))
        if not as_json:
            print(paths[record.name])
    if as_json:
        print_json({"files": paths})
    return 0

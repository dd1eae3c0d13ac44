"""``python -m differences [NAME ...] [--write]``: run experiments and show what they find."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import differences
from differences.harness import pages
from differences.harness.catalogue import NAMES, module, run
from differences.harness.experiment import shown
from vgg16_spec.errors import BadInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Run experiments; the exit status is 1 if a claim is not supported, 2 for invalid input."""
    parser = argparse.ArgumentParser(
        prog="python -m differences",
        description=differences.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--write", action="store_true", help="write the figures into the pages")
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen.names or NAMES, chosen.write)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2


def _run(names: Sequence[str], write: bool) -> int:
    supported = True
    modules = {name: module(name) for name in names}  # a wrong name is refused before the first run
    for name, experiment in modules.items():
        finding = run(name)
        print(f"{name}: {experiment.TITLE}")
        for what, value in finding.figures.items():
            print(f"  {what}: {shown(value)}")
        for table in finding.tables:
            print(f"  {table.title}")
            for row, values in table.rows.items():
                pairs = zip(table.columns[1:], values, strict=True)
                print(f"    {row}: {'; '.join(f'{name} {shown(each)}' for name, each in pairs)}")
        for claim, holds in finding.claims.items():
            print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {claim}")
        supported = supported and not finding.disproved
        if write:
            pages.write(name, finding)
    if write:
        pages.write_index()
    return 0 if supported else 1


if __name__ == "__main__":
    raise SystemExit(main())

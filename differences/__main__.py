"""``python -m differences [NAME ...] [--write]``: run experiments and show what they find."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from differences.harness import pages
from differences.harness.catalogue import NAMES, module, run
from vgg16_spec.errors import BadInput


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a claim was not borne out, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m differences", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--write", action="store_true", help="into the pages, with their plots")
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen.names or NAMES, chosen.write)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2


def _run(names: Sequence[str], write: bool) -> int:
    held = True
    for name in names:
        title = module(name).TITLE
        finding = run(name)
        print(f"{name}: {title}")
        for figure in finding.figures:
            print(f"  {figure.name}: {figure.text}")
        for claim in finding.claims:
            print(f"  {'holds' if claim.holds else 'DOES NOT HOLD'}: {claim.sentence}")
        held = held and all(claim.holds for claim in finding.claims)
        if write:
            pages.write(name, finding)
    if write:
        pages.write_index()
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())

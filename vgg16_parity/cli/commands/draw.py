"""What ``vgg16 draw`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path

from vgg16_parity.cli.console import print_json, working


def draw(out: Path, configuration: str, kind: str, as_json: bool) -> int:
    """A picture of a configuration."""
    from vgg16_parity.drawing import check, draw

    _, wanted = check(out, configuration, kind)
    if wanted == "keras":
        from vgg16_parity.cli.commands.summary import quiet_keras

        quiet_keras()
    with working(f"draw {wanted}"):
        draw(out, configuration, kind=wanted)
    size = out.stat().st_size
    if as_json:
        print_json(
            {"file": str(out), "kind": wanted, "configuration": configuration, "bytes": size}
        )
    else:
        print(f"{out}  {size:,} bytes")
    return 0

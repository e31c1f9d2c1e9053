"""talkinghead compile."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def compile_command(
    device: Annotated[str, typer.Option(help="What to compile for: tensorrt.")] = "tensorrt",
    force: Annotated[bool, typer.Option("--force", help="Build plans anew that are there.")] = False,
) -> None:
    """Build the networks' plans for this machine's GPU ahead of their use, and keep them."""
    from rich.console import Console

    from talkinghead.runtime.compile import compile_networks

    with Console(file=sys.stderr).status("compiling") as shown:
        for made in compile_networks(
            device, force, lambda name, phase, done, total: shown.update(f"{name}: {phase} {done}/{total}")
        ):
            print(f"{made.network}: {f'built in {made.seconds:.1f} s' if made.built else 'ready'}", flush=True)

"""talkinghead bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_Name = Literal["latency", "throughput", "quality"]


def bench_command(
    name: Annotated[_Name | None, typer.Argument(metavar="latency|throughput|quality")] = None,
    photo: Annotated[Path | None, typer.Option(readable=False, help="Portrait. Default: the example of a checkout.")] = None,
    audio: Annotated[Path | None, typer.Option(readable=False, help="Voice. Default: the example of a checkout.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of motion and random inputs.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few rounds, to see that it runs.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", readable=False, metavar="FILE", help="Write figures too.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.json B.json", help="Show two runs side by side instead.")
    ] = None,
) -> None:
    """Measure this machine: latency by stage, throughput by sessions, quality against float32."""
    if (name is None) == (compare is None):
        raise typer.BadParameter("give latency, throughput or quality, or --compare A.json B.json.", param_hint="NAME")
    from talkinghead.bench.report import Report, compared

    if compare is not None:
        print(compared(*(Report.load(path) for path in compare)))
        return
    from rich.console import Console

    from talkinghead.bench.run import run_bench

    assert name is not None
    with Console(stderr=True).status(f"measuring {name}") as shown:
        report = run_bench(
            name, device, photo=photo, audio=audio, seed=seed, quick=quick, say=lambda step: shown.update(f"{name}: {step}")
        )
    print(report.table())
    if json_file is not None:
        report.save(json_file)

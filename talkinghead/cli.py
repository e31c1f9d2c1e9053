"""The command line: options in, one call, words out. An expected failure is one line on standard error and exit 1."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from talkinghead.errors import TalkingHeadError

if TYPE_CHECKING:
    from talkinghead.motion.controls import Controls
    from talkinghead.offline.dub import DubResult, Progress

_FAILED, _INTERRUPTED, _TERMINATED = 1, 130, 143


class _Commands(TyperGroup):
    """Turns expected failures of any command into one line on standard error and the exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except TalkingHeadError as error:
            _say(str(error))
            raise typer.Exit(_FAILED) from None
        except KeyboardInterrupt:
            _say("interrupted; nothing was written")
            raise typer.Exit(_INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    help="One portrait photo and a voice become a lifelike talking face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the console script."""
    app()


@app.command()
def dub(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", readable=False, help="Portrait: any picture file.")],
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", readable=False, help="Voice: any sound or video file.")],
    output: Annotated[Path, typer.Option("--output", "-o", readable=False, help="Video: .mp4, .mov or .mkv.")],
    seed: Annotated[int, typer.Option(help="Another seed, another performance.")] = 0,
    gaze: Annotated[str, typer.Option(metavar="X,Y", help="Where to look: degrees right, degrees up.")] = "0,0",
    distance: Annotated[float, typer.Option(min=0.5, max=2.0, help="Distance of the head; 1 is the photo's.")] = 1.0,
    emotion: Annotated[str, typer.Option(metavar="NAME[:STRENGTH]", help="Colour of the expression.")] = "neutral",
    pose_scale: Annotated[float, typer.Option(min=0.0, max=3.0, help="Amount of head motion; 0 is none.")] = 1.0,
    full: Annotated[bool, typer.Option("--full/--crop", help="The whole photo, or a square round the face.")] = True,
    size: Annotated[int, typer.Option(min=128, max=1024, help="Side of the --crop square, even, px.")] = 512,
    fps: Annotated[int, typer.Option(min=1, max=60, help="Pictures a second.")] = 40,
    device: Annotated[str, typer.Option(help="cpu, cuda or tensorrt.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
) -> None:
    """Make the face in PHOTO speak AUDIO and write the video."""
    controls = _controls(gaze, distance, emotion, pose_scale)
    if size % 2:
        raise typer.BadParameter(f"{size} is odd: give an even number of px.", param_hint="--size")
    from talkinghead.offline.dub import dub as run

    with _progress_bar(quiet) as progress:
        result = run(
            photo,
            audio,
            output,
            seed=seed,
            controls=controls,
            full=full,
            size=size,
            fps=fps,
            device=device,
            progress=progress,
        )
    if not quiet:
        _tell(result, as_json)
    if as_json:
        print(json.dumps(asdict(result), ensure_ascii=False), flush=True)


@app.command()
def doctor() -> None:
    """Show what is installed and what is missing; exit 1 when something needed is."""
    from talkinghead.doctor import examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'} {finding.name:{width}}  {finding.value}")
    fixes = [f"{finding.name}: {finding.fix}" for finding in findings if not finding.good]
    if fixes:
        raise TalkingHeadError(f"{len(fixes)} of {len(findings)} checks failed; first: {fixes[0]}")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def train(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME [OPTIONS]...")]) -> None:
    """Run the training recipe NAME (e.g. face) with its own options; NAME --help lists them."""
    from talkinghead import training

    folder = Path(next(iter(training.__path__)))
    if not (name.isidentifier() and (folder / f"{name}.py").is_file()):
        names = ", ".join(sorted(path.stem for path in folder.glob("[a-z]*.py")))
        raise typer.BadParameter(f"no recipe {name!r}; there are: {names}.", param_hint="NAME")
    if find_spec("torch") is None:
        raise TalkingHeadError('training needs torch, which is not installed: pip install "talkinghead[train]"')
    recipe = import_module(f"talkinghead.training.{name}")
    if not hasattr(recipe, "main"):
        raise typer.BadParameter(f"{name} is a part of the recipes, not a recipe of its own.", param_hint="NAME")
    raise typer.Exit(recipe.main(ctx.args) or 0)


def _controls(gaze: str, distance: float, emotion: str, pose_scale: float) -> Controls:
    from talkinghead.motion.controls import Controls

    name, _, strength = emotion.partition(":")
    try:
        right, up = (float(part) for part in gaze.split(","))
    except ValueError:
        raise typer.BadParameter(f"{gaze!r} is not two numbers such as 5,-2.", param_hint="--gaze") from None
    try:
        return Controls(
            gaze=(right, up),
            distance=distance,
            pose_scale=pose_scale,
            emotion=name,
            emotion_strength=float(strength or 1.0),
        )
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


@contextmanager
def _progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A bar with the time left on standard error; None where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("drawing", total=None)

        def update(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def _tell(result: DubResult, as_json: bool) -> None:
    for note in result.notes:
        _say(f"note: {note}")
    if not as_json:
        print(
            f"{result.output}: {result.seconds:.1f} s, {result.width}×{result.height} at {result.fps} pictures/s, "
            f"made at {result.realtime_factor:.2f}× real time"
        )


def _say(message: str) -> None:
    """One line on standard error, also where a file name holds a line break."""
    line = " ".join(message.split())
    print(f"talkinghead: {line}", file=sys.stderr, flush=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C does, so that no half file stays behind."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()

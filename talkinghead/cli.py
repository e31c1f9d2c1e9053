"""The command line: options in, one call, words out. An expected failure is one line on standard error and exit 1."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from talkinghead.commands import options
from talkinghead.commands.bench import bench_command
from talkinghead.commands.check import check
from talkinghead.commands.compile import compile_command
from talkinghead.commands.dub import dub
from talkinghead.commands.verify import verify
from talkinghead.console import say, terminable
from talkinghead.errors import TalkingHeadError

_FAILED, _INTERRUPTED = 1, 130

class _Commands(TyperGroup):
    """Turns expected failures of any command into one line on standard error and the exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with terminable():
                return super().invoke(ctx)
        except TalkingHeadError as error:
            say(str(error))
            raise typer.Exit(_FAILED) from None
        except KeyboardInterrupt:
            say("interrupted; the output was not written")
            raise typer.Exit(_INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    help="One portrait photo and a voice become a lifelike talking face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.command()(dub)
app.command()(check)
app.command()(verify)
app.command("bench")(bench_command)
app.command("compile")(compile_command)


def main() -> None:
    """Entry point of the console script."""
    app()


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any that is free.")] = 8040,
    portrait: Annotated[Path | None, typer.Option(metavar="PHOTO", readable=False, help="Whoever calls meets this face.")] = None,
    ice_server: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT; may be repeated.")
    ] = None,
    max_sessions: Annotated[int | None, typer.Option(min=1, help="Calls at a time. Default: measured at the start.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A site whose pages may use this server; may be repeated.")
    ] = None,
    codec: Annotated[Literal["h264", "vp8"] | None, typer.Option(help="Default: H.264 where the caller knows it.")] = None,
    bitrate: Annotated[int, typer.Option(min=100, max=20_000, metavar="KBPS", help="Of the picture.")] = 2500,
    device: options.DeviceName = "cpu",
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", readable=False, help="PEM certificate: serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", readable=False, help="PEM key of the certificate.")] = None,
    consent_log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", readable=False, help="Keep who agreed to each photo sent, a file a call.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every refused request too.")] = False,
) -> None:
    """Serve calls: a page for browsers, and an HTTP interface with WHIP and WHEP. Ctrl-C ends it."""
    if not all(find_spec(name) for name in ("aiortc", "aiohttp", "prometheus_client")):
        raise TalkingHeadError('calls need the live extra: pip install "talkinghead[live]"')
    from talkinghead.live.ice import IceConfig
    from talkinghead.live.server import ServeOptions
    from talkinghead.live.server import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("talkinghead").setLevel(logging.DEBUG if verbose else logging.INFO)
    ice = IceConfig.parse(ice_server or (), loopback=host in ("127.0.0.1", "localhost", "::1"))
    origins, rate = tuple(allow_origin or ()), 1000 * bitrate
    serving = ServeOptions(host, port, portrait, ice, max_sessions, origins, device, codec, rate, tls_cert, tls_key)
    run(replace(serving, consent_log=consent_log))


@app.command()
def live(
    photo: Annotated[Path | None, typer.Argument(metavar="PHOTO", readable=False, help="Portrait: any picture file.")] = None,
    microphone: Annotated[
        str, typer.Option("--input", metavar="DEV", help="Microphone: number or part of the name.")
    ] = "default",
    loudspeaker: Annotated[
        str | None, typer.Option("--output", metavar="DEV", help="Sound out, with the picture. Without: none.")
    ] = None,
    window: Annotated[bool | None, typer.Option("--window/--no-window", help="Default: unless --camera is given.")] = None,
    camera: Annotated[bool, typer.Option("--camera", help="Be this machine's virtual camera.")] = False,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="Show microphones and loudspeakers, and end.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End by itself.")] = None,
    seed: options.Seed = 0,
    gaze: options.Gaze = "0,0",
    distance: options.Distance = 1.0,
    emotion: options.Emotion = "neutral",
    pose_scale: options.PoseScale = 1.0,
    device: options.DeviceName = "cpu",
) -> None:
    """Let the face in PHOTO speak what the microphone hears, in a window or as a camera for other programs.

    No sound goes out unless --output names a device ("default" for the default
    one), for the microphone would hear it again: use headphones. In a video call
    your own microphone is some 0.2 s ahead of the picture; to keep both together,
    give a loopback sound device as --output and choose it as the call's microphone.
    """
    if list_devices:
        from talkinghead.live.devices import sound_system, table

        print("\n".join(table(sound_system())))
        return
    if photo is None:
        raise typer.BadParameter("which photo?", param_hint="PHOTO")
    controls = options.parse_controls(gaze, distance, emotion, pose_scale)
    from talkinghead.live.local import LocalOptions, talk

    shown = not camera if window is None else window
    chosen = LocalOptions(microphone, loudspeaker, shown, camera, seed, controls, seconds, device)
    print(talk(photo, chosen, say).line())


@app.command()
def doctor() -> None:
    """Show what is installed and what is missing (--: only some jobs need it); exit 1 when something needed is."""
    from talkinghead.doctor import examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(finding.line(width))
    fixes = [f"{finding.name}: {finding.fix}" for finding in findings if finding.failed]
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


if __name__ == "__main__":
    main()

"""talkinghead dub: one video, or a list of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from talkinghead.commands import options
from talkinghead.commands.consent import require, sift
from talkinghead.console import progress_bar, say
from talkinghead.errors import BatchError

if TYPE_CHECKING:
    from talkinghead.offline.batch import BatchResult
    from talkinghead.offline.dub import DubResult
    from talkinghead.offline.provenance import Marks

_Photo = Annotated[Path | None, typer.Argument(metavar="PHOTO", readable=False, help="Portrait: any picture file.")]
_Audio = Annotated[Path | None, typer.Argument(metavar="AUDIO", readable=False, help="Voice: any sound or video file.")]
_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", readable=False, help="Video: .mp4, .mov, .mkv or .webm; with --manifest a folder."),
]
_Text = Annotated[str | None, typer.Option(metavar="WORDS", help="Speak this instead of AUDIO.")]
_Voice = Annotated[str, typer.Option(metavar="LANG", help="Of --text: a language such as en, de or pt-br.")]
_Aspect = Annotated[Literal["9:16", "1:1", "16:9"] | None, typer.Option(help="Cut the photo to this shape, round the head.")]
_Alpha = Annotated[bool, typer.Option("--alpha", help="No background: -o X.webm, or a folder for PNG pictures.")]
_Subtitles = Annotated[Path | None, typer.Option(metavar="FILE", readable=False, help="Default: those in AUDIO's file.")]
_Listen = Annotated[
    Path | None, typer.Option(metavar="AUDIO", readable=False, help="The other party of a dialogue: the face listens to it.")
]
_Manifest = Annotated[
    Path | None,
    typer.Option(metavar="CSV", readable=False, help="Many videos: columns photo, audio, output and any option."),
]
_Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Of --manifest, a core each. Default: all cores.")]
_Watermark = Annotated[bool, typer.Option("--watermark/--no-watermark", help="Mark the pictures, invisibly, as made here.")]
_SignedManifest = Annotated[bool, typer.Option("--c2pa/--no-c2pa", help="Say in a signed manifest that it is synthetic.")]
_Certificate = Annotated[Path | None, typer.Option(metavar="PEM", readable=False, help="Sign with this chain, not a new one.")]
_Key = Annotated[Path | None, typer.Option(metavar="PEM", readable=False, help="Key of --certificate.")]
_Consent = Annotated[
    Path | None, typer.Option(metavar="FILE", readable=False, help="JSON records of who agreed; then they are required.")
]
_Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Of a long video that is stopped, keep whole minutes and go on there.")
]
_Ray = Annotated[str | None, typer.Option(metavar="auto|ADDRESS", help="Of --manifest: workers on a Ray cluster.")]


def dub(
    photo: _Photo = None,
    audio: _Audio = None,
    output: _Output = None,
    text: _Text = None,
    voice: _Voice = "en",
    listen: _Listen = None,
    subtitles: _Subtitles = None,
    manifest: _Manifest = None,
    workers: _Workers = None,
    ray: _Ray = None,
    seed: options.Seed = 0,
    gaze: options.Gaze = "0,0",
    distance: options.Distance = 1.0,
    emotion: options.Emotion = "neutral",
    pose_scale: options.PoseScale = 1.0,
    full: Annotated[bool, typer.Option("--full/--crop", help="The whole photo, or a square round the face.")] = True,
    size: Annotated[int, typer.Option(min=128, max=1024, help="Side of the --crop square, even, px.")] = 512,
    aspect: _Aspect = None,
    alpha: _Alpha = False,
    fps: Annotated[int, typer.Option(min=1, max=60, help="Pictures a second.")] = 40,
    device: options.DeviceName = "cpu",
    watermark: _Watermark = True,
    c2pa: _SignedManifest = True,
    certificate: _Certificate = None,
    certificate_key: _Key = None,
    consent: _Consent = None,
    resume: _Resume = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
) -> None:
    """Make the face in PHOTO speak AUDIO and write the video; or many, from a list.

    A list is a CSV file; what a row does not say is as it is without options. Finished videos are not made again: a
    stopped batch goes on where it was.
    """
    from talkinghead.offline.provenance import Marks

    marks = Marks(watermark, c2pa, str(certificate or ""), str(certificate_key or ""))
    if manifest is not None:
        if photo is not None:
            raise typer.BadParameter("the list names the photos: give no PHOTO.", param_hint="--manifest")
        _many(manifest, output, workers, ray, device, marks, consent, as_json, quiet)
        return
    controls = options.parse_controls(gaze, distance, emotion, pose_scale)
    if photo is None or output is None or (audio is None) == (text is None):
        raise typer.BadParameter("give PHOTO, AUDIO (or --text) and --output, or --manifest.")
    if aspect is not None and not full:
        raise typer.BadParameter("cuts the whole photo and does not go with --crop.", param_hint="--aspect")
    if size % 2:
        raise typer.BadParameter(f"{size} is odd: give an even number of px.", param_hint="--size")
    from talkinghead.offline.dub import dub as run
    from talkinghead.speech.text import Text

    remarks = require(photo, output, consent)
    with progress_bar(quiet) as progress:
        result = run(
            photo,
            Text(text or "", voice) if audio is None else audio,
            output,
            seed=seed,
            controls=controls,
            full=full,
            size=size,
            fps=fps,
            aspect=aspect,
            device=device,
            progress=progress,
            subtitles=subtitles,
            marks=marks,
            alpha=alpha,
            resume=resume,
            other=listen,
        )
    result = replace(result, notes=(*result.notes, *remarks))
    if not quiet:
        _tell(result, as_json)
    if as_json:
        print(json.dumps(asdict(result), ensure_ascii=False), flush=True)


def _tell(result: DubResult, as_json: bool) -> None:
    for note in result.notes:
        say(f"note: {note}")
    if not as_json:
        print(
            f"{result.output}: {result.seconds:.1f} s, {result.width}×{result.height} at {result.fps} pictures/s, "
            f"made at {result.realtime_factor:.2f}× real time"
        )


def _many(
    manifest: Path,
    folder: Path | None,
    workers: int | None,
    ray: str | None,
    device: str,
    marks: Marks,
    consent: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from talkinghead.cores import usable_cores
    from talkinghead.offline.batch import run_batch
    from talkinghead.offline.jobs import read_manifest
    from talkinghead.offline.pool import LocalPool, Pool
    from talkinghead.offline.ray_pool import RayPool

    jobs, refusals = read_manifest(manifest, folder)
    total = len(jobs) + len(refusals)
    jobs, unasked, remarks = sift(jobs, folder or manifest.absolute().parent, consent)
    pool: Pool = LocalPool(workers or len(usable_cores())) if ray is None else RayPool(ray, workers)
    try:
        with progress_bar(quiet, "videos") as progress:
            refusals += unasked
            result = run_batch(jobs, pool, refusals=refusals, device=device, marks=marks, progress=progress, tell=say)
    finally:
        pool.close()
    result.notes.update(dict.fromkeys(remarks, len(jobs)))
    _tell_many(result, as_json, quiet)
    if result.failures:
        raise BatchError(f"{len(result.failures)} of {total} videos failed, reasons above: repair the rows and run again")


def _tell_many(result: BatchResult, as_json: bool, quiet: bool) -> None:
    if not quiet:
        for note, count in result.notes.items():
            say(f"note on {count} video{'s' if count > 1 else ''}: {note}")
        if not as_json:
            print(
                f"{result.done} made, {result.skipped} there already, {len(result.failures)} failed; {result.video_s:.1f} s of "
                f"video in {result.wall_s:.1f} s by {result.workers} worker{'s' if result.workers > 1 else ''}"
            )
    if as_json:
        print(json.dumps(result.as_json(), ensure_ascii=False), flush=True)

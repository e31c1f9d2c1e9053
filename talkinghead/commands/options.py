"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from talkinghead.motion.controls import Controls

Seed = Annotated[int, typer.Option(help="Another seed, another performance.")]
Gaze = Annotated[str, typer.Option(metavar="X,Y", help="Where to look: degrees right, degrees up.")]
Distance = Annotated[float, typer.Option(min=0.5, max=2.0, help="Distance of the head; 1 is the photo's.")]
Emotion = Annotated[str, typer.Option(metavar="NAME[:STRENGTH]", help="Colour of the expression.")]
PoseScale = Annotated[float, typer.Option(min=0.0, max=3.0, help="Amount of head motion; 0 is none.")]
DeviceName = Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")]


def parse_controls(gaze: str, distance: float, emotion: str, pose_scale: float) -> Controls:
    """The controls of these options; bad usage where they cannot be."""
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

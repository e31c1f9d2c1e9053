"""talkinghead check: does this photo suit?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def check(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", readable=False, help="Portrait: any picture file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print scores and advice as one JSON object.")] = False,
) -> None:
    """Look PHOTO over and say what to change. Exit 0 for every photo that can be used, 1 where no face is found."""
    from talkinghead.motion.latent import LatentModel
    from talkinghead.portrait.portrait import FaceReader
    from talkinghead.runtime.weights import model_path

    found = FaceReader(LatentModel.load(model_path("latent", "latent.npz"))).read(photo).checkup
    assert found is not None
    if as_json:
        print(json.dumps({"photo": str(photo), **found.as_json()}, ensure_ascii=False), flush=True)
        return
    width = max(len(finding.name) for finding in found.findings)
    for finding in found.findings:
        print(f"{finding.name:<{width}}  {finding.score:4.2f}  {finding.value:g} {finding.unit}")
    print("\n".join(found.advice) or "Nothing to change: this photo suits.", flush=True)

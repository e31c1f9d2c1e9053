"""talkinghead verify: where does this file come from?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from talkinghead.errors import ProvenanceError


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="A video or picture.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Tell whether talkinghead made FILE: by its C2PA manifest, and by the watermark in its pictures. Exit 1: no sign of it."""
    from talkinghead.offline.verify import verify as run

    verdict = run(file)
    print(json.dumps(verdict.as_json(), ensure_ascii=False) if as_json else "\n".join(verdict.lines()), flush=True)
    if not verdict.marked:
        raise ProvenanceError(f"no mark of talkinghead was found in {file} (which proves nothing: marks can be removed)")

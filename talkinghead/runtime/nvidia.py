"""What `nvidia-smi` tells of the GPUs."""

from __future__ import annotations

import shutil
import subprocess

from talkinghead.errors import EngineError

_TIMEOUT_S = 20.0


def ask_gpus(*fields: str) -> list[tuple[str, ...]]:
    """Fields, e.g. name or power.draw (``nvidia-smi --help-query-gpu``), of each GPU; none without the program. EngineError when
    it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"nvidia-smi does not answer ({type(error).__name__}): install the driver again") from error
    cards = [tuple(part.strip() for part in line.split(",")) for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not cards:
        said = " ".join((done.stdout + done.stderr).split())[:200]
        raise EngineError(f"nvidia-smi fails, {said}: install the driver again")
    return cards

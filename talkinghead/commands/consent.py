"""The question of consent, as the commands ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from talkinghead.console import ask, somebody_answers
from talkinghead.errors import ConsentError

if TYPE_CHECKING:
    from talkinghead.offline.jobs import Job, Refusal


def require(photo: Path, output: Path, file: Path | None) -> tuple[str, ...]:
    """Consent for one video: from a file, from the record beside the output, or asked for on a terminal.

    Where nobody can be asked and no file is given the work goes on, with the remark that is returned. ConsentError where a
    file is given that holds no record, and where the answer is no.
    """
    from talkinghead.offline.consent import ask_consent, missing

    folder = output.absolute().parent
    if not missing([photo], folder, file):
        return ()
    if file is not None:
        raise ConsentError(f"{file} holds no consent for {photo}: ask the person and add a record, or use another photo")
    if somebody_answers() and folder.is_dir():
        ask_consent(photo, folder, ask)
        return ()
    return (f"no record says that the person in {photo.name} agrees: run once on a terminal, or give --consent FILE",)


def sift(jobs: list[Job], folder: Path, file: Path | None) -> tuple[list[Job], list[Refusal], tuple[str, ...]]:
    """The jobs of a batch that may be made, those without a consent in ``file``, and a remark where none was given."""
    from talkinghead.offline.consent import missing
    from talkinghead.offline.jobs import Refusal

    without = set(missing({job.photo: None for job in jobs}, folder, file))
    if file is None:
        note = f"no record says that the people in {len(without)} of the portraits agree: give --consent FILE"
        return jobs, [], (note,) if without else ()
    refused = [Refusal(job.row, job.output, f"{file} holds no consent for {job.photo}") for job in jobs if job.photo in without]
    return [job for job in jobs if job.photo not in without], refused, ()

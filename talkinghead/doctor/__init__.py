"""What this installation has and what it lacks, looked at for real."""

from __future__ import annotations

from talkinghead.doctor.base import base_findings
from talkinghead.doctor.calls import call_findings
from talkinghead.doctor.finding import Finding
from talkinghead.doctor.machine import machine_findings

__all__ = ["Finding", "examine"]


def examine() -> list[Finding]:
    """Look at what is needed, then at what calls, microphone and voice need; nothing is changed, no connection is made."""
    return [*base_findings(), *call_findings(), *machine_findings()]

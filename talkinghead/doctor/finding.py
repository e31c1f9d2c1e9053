"""One line of the report."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Finding:
    """`name` is `value`; `fix` says what to do where it is not good.

    optional: only some jobs need it, so that its absence is no failure.
    """

    name: str
    value: str
    good: bool = True
    fix: str = ""
    optional: bool = False

    @property
    def failed(self) -> bool:
        """Something that every installation needs, or that is installed, does not work."""
        return not (self.good or self.optional)

    def line(self, width: int) -> str:
        """The finding as text, its name filled up to `width`."""
        mark = "BAD" if self.failed else "ok " if self.good else "-- "
        fix = f" ({self.fix})" if self.fix and not self.good else ""
        return f"{mark} {self.name:{width}}  {self.value}{fix}"


def installed(package: str) -> str | None:
    """The version of an installed package, None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

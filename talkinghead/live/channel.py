"""The data channel between a client and its session, on our side."""

from __future__ import annotations

from typing import Any

from aiortc import RTCDataChannel

from talkinghead.live.control import LABEL, Control, state_message, stats_message

_FULL_BYTES = 64 * 1024


class Channel:
    """Waits for the client to open its channel; what is said before is lost, as is what a client that does not read is told."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._channel: RTCDataChannel | None = None
        self._told: tuple[str, int] | None = None

    def opened(self, channel: RTCDataChannel) -> None:
        """The client made a data channel; only the first one named "control" is of use."""
        if channel.label != LABEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._asked)

    def state(self, state: str, generation: int) -> None:
        """Tells the client when this changes."""
        if (state, generation) != self._told and self._say(state_message(state, generation)):
            self._told = state, generation

    def stats(self, *figures: Any) -> None:
        """Tells the client how the last second was, see `stats_message`."""
        self._say(stats_message(*figures))

    def _asked(self, message: str | bytes) -> None:
        reply = self._control.receive(message)
        if reply is not None:
            self._say(reply)

    def _say(self, message: str) -> bool:
        channel = self._channel
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > _FULL_BYTES:
            return False
        channel.send(message)
        return True

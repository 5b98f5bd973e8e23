"""Moves channel data from one leg to the other as it is read: opened under one key, sealed under the next, one write.

Only packets that the relay need not look at go this way, and only while both legs use a `cipher` that permits it and
neither changes keys; a packet keeps its padding, so its plain text need not be touched. Every other packet, and every
one that is not in order, goes to asyncssh, one at a time and in its place, and from there to the relay: the same
meaning, at several times the cost.
"""

import asyncio

from gateway.ssh import limits
from gateway.ssh.cipher import BLOCK, HEADER
from gateway.ssh.internals.bypass import Bypass
from gateway.ssh.internals.leg import Leg, PacketSink

DATA = frozenset((93, 94, 95))
"""CHANNEL_WINDOW_ADJUST, CHANNEL_DATA and CHANNEL_EXTENDED_DATA (RFC 4254 section 9)."""

_LEAST_PADDING = 4  # RFC 4253 section 6
_LEAST_PAYLOAD = 9  # a type, a channel number, and a length or a window (RFC 4254 section 5.2)
_TAG_MAX = 64  # of hmac-sha2-512
_ROOM = limits.PACKET_MAX + HEADER + _TAG_MAX
# The loop has one thread and every read is dealt with before the next, so all pumps of a process read into one space,
# in front of which there is room for the beginning of a packet that an earlier read left.
_SPACE = memoryview(bytearray(_ROOM + limits.READ_SIZE))
_READ = _SPACE[_ROOM:]


class Pump(asyncio.BufferedProtocol):
    """Reads one leg's socket from the moment that both legs are joined."""

    def __init__(self, source: Leg, target: Leg, sink: PacketSink) -> None:
        self._source = source
        self._target = target
        self._sink = sink
        self._inlet, self._outlet = Bypass(source), Bypass(target)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _READ

    def buffer_updated(self, count: int) -> None:
        self._source.cork()
        self._target.cork()
        try:
            self._receive(_ROOM + count)
        finally:
            self._target.uncork()
            self._source.uncork()

    def eof_received(self) -> None:
        self._source.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._source.connection_lost(exc)

    def pause_writing(self) -> None:
        self._source.pause_writing()

    def resume_writing(self) -> None:
        self._source.resume_writing()

    def _receive(self, end: int) -> None:
        source, inlet = self._source, self._inlet
        if not source.is_open:
            return
        source.note_alive()
        rest = inlet.take_unparsed()
        if len(rest) > _ROOM:  # piled up during a key exchange
            self._leave_to_asyncssh(rest + bytes(_SPACE[_ROOM:end]))
            return
        start = _ROOM - len(rest)
        _SPACE[start:_ROOM] = rest
        while inlet.is_at_packet:
            start = self._relay_data(start, end)
            stop = _end_of_packet(start, end, inlet.tag)
            if stop > end:
                break
            source.data_received(bytes(_SPACE[start:stop]))
            start = stop
        if inlet.is_at_packet and _end_of_packet(start, end, inlet.tag) - start <= _ROOM:
            inlet.keep_unparsed(bytes(_SPACE[start:end]))
        elif source.is_open:
            self._leave_to_asyncssh(bytes(_SPACE[start:end]))

    def _leave_to_asyncssh(self, data: bytes) -> None:
        """In pieces, as it copies all that is left for each packet."""
        for start in range(0, len(data), limits.PARSE_SIZE):
            self._source.data_received(data[start : start + limits.PARSE_SIZE])

    def _relay_data(self, start: int, end: int) -> int:
        """Moves all packets from `start` on that may go this way; where the first begins that may not."""
        opener, sealer = self._inlet.opener, self._outlet.sealer
        if opener is None or sealer is None:
            return start
        extra = sealer.tag - opener.tag
        sealed = memoryview(bytearray(end - start + max(0, extra) * ((end - start) // BLOCK)))
        filled, packets, payload = 0, 0, 0
        while (stop := _end_of_packet(start, end, opener.tag)) <= end:
            size = stop - start - HEADER - opener.tag
            if size % BLOCK or not 0 < size <= limits.PACKET_MAX:
                break
            plain = opener.open(_SPACE[start:stop])
            if plain is None:
                break
            padding = plain[0]
            if plain[1] not in DATA or not _LEAST_PADDING <= padding < size - _LEAST_PAYLOAD:
                break
            opener.advance()
            begin, filled = filled, filled + stop - start + extra
            sealer.seal(plain, sealed[begin:filled])
            packets += 1
            payload += size - padding - 1
            start = stop
        if packets:
            self._inlet.note_opened(packets)
            self._outlet.send_sealed(sealed[:filled], packets)
            self._sink.data_relayed(self._source, payload, packets)
        return start


def _end_of_packet(start: int, end: int, tag: int) -> int:
    """Where the packet ends that begins at `start`, which is beyond `end` if it is not all there."""
    if end - start < HEADER:
        return end + 1
    return start + HEADER + int.from_bytes(_SPACE[start : start + HEADER], "big") + tag

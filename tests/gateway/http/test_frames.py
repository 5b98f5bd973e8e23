"""The gateway knows where a WebSocket frame ends, however the bytes are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.http.frames import FrameTrack


def frame(size: int, opcode: Opcode = Opcode.BINARY, *, mask: bool = False, fin: bool = True) -> bytes:
    return Frame(opcode, b"x" * size, fin).serialize(mask=mask)


FRAMES = [
    frame(0),
    frame(1),
    frame(125),
    frame(126),
    frame(65535),
    frame(65536),
    frame(7, Opcode.TEXT, fin=False),
    frame(7, Opcode.PING),
    frame(300, mask=True),
]


@pytest.mark.parametrize("data", FRAMES, ids=range(len(FRAMES)))
def test_only_a_whole_frame_leaves_room_for_another(data: bytes) -> None:
    """Before its first byte and after its last, and nowhere between."""
    for cut in {*range(1, min(len(data), 20)), len(data) - 1}:
        if cut and cut < len(data):
            track = FrameTrack()
            track.feed(data[:cut])
            assert not track.is_between
            track.feed(data[cut:])
            assert track.is_between


@settings(deadline=None, derandomize=True)  # how long an example takes says something about the machine only
@given(st.lists(st.sampled_from(FRAMES), max_size=6), st.lists(st.integers(1, 70_000), min_size=1))
def test_any_cut_of_any_frames_ends_between_two(frames: list[bytes], sizes: list[int]) -> None:
    """The pieces in which bytes arrive mean nothing."""
    data, track, position, turn = b"".join(frames), FrameTrack(), 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        track.feed(data[position : position + size])
        position, turn = position + size, turn + 1

    assert track.is_between


def test_nothing_follows_a_close_frame() -> None:
    """A workspace that said goodbye has had the last word (RFC 6455, section 5.5.1)."""
    track = FrameTrack()
    track.feed(frame(2, Opcode.CLOSE))

    assert not track.is_between

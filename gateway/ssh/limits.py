"""What one SSH connection may cost, each number with its reason, and the budgets of login tries and key exchanges.

Numbers an operator may want to turn are in `config.settings.SshSettings`; the ones here follow from the protocol.
"""

import time
from collections.abc import Callable

LOGIN_BYTES = 256 * 1024
"""From a peer before it is authenticated: a login with 32 key offers needs 40 KiB, a flood gets no further."""

PACKET_MAX = 256 * 1024
"""Longest packet without its length and tag, as for OpenSSH and asyncssh; data comes in packets of up to 32 KiB."""

READ_SIZE = 256 * 1024
"""From a socket at once: larger reads cost no less per byte, and keep the other connections waiting."""

PARSE_SIZE = 16 * 1024
"""Given to asyncssh at once: it copies what is left for every packet, so small pieces are cheap where packets are."""

WRITE_HIGH = 1024 * 1024
"""Unsent bytes on one leg at which the other leg is no longer read: half a channel window of OpenSSH (2 MiB)."""

WRITE_LOW = WRITE_HIGH // 4
"""Unsent bytes at which it is read again: late enough not to flap, early enough that the socket never runs dry."""

BACKLOG_MAX = 32 * 1024 * 1024
"""Unsent bytes no honest peer reaches: what may be in flight when a rekey starts (kernel buffers) fits three times."""

SSHD_START = 1.0
"""Seconds from one refused connection to the second and last try: sshd is the first thing a workspace starts."""

WAKE_LINE = 4.0
"""Seconds between the lines for somebody who waits for a start: silence for longer looks like a hang."""

WAKE_LOOK = 3.0
"""Between looks at a start that nobody reports; the routes themselves tell at once."""

WAKE_DIAL = 0.5
"""From the first refused connection to the second while a workspace starts; each further pause takes twice as long, up
to `WAKE_LOOK`."""

WAKE_SSHD = 20.0
"""For which a workspace that runs may refuse connections before it counts as one without an sshd."""

REKEY_DEADLINE = 60.0
"""For one key exchange after login; the other leg stands still meanwhile."""

REKEY_BYTES = 4 * 1024**3
"""The gateway starts a key exchange only where the peer did not; OpenSSH does so after 1 to 4 GiB (RFC 4253, 9)."""

IDLE_REKEYS = 16
"""Key exchanges a peer may ask for with less than `IDLE_REKEY_BYTES` of data since the last that counted as worth it:
each costs a signature and two key agreements, which a hostile client gets for a packet of 1 KiB."""

IDLE_REKEY_BYTES = 4096

IDLE_REKEY_SECONDS = 1.0
"""Apart, key exchanges are no storm, as those of a client that changes keys by the clock."""

REKEY_SECONDS = 6 * 3600
"""Keys of a mostly idle session, such as an editor's, change a few times a day."""

LINGER = 30.0
"""For a peer to take the last bytes after our DISCONNECT, before the connection is cut."""

CLOSE_GRACE = 2.0
"""For the connections that remain when the gateway stops: they have been told, nothing more can be done for them."""

PENDING_REPLIES = 1024
"""Unanswered global requests of one leg; a client with hundreds of -R forwards sends them all at once."""

PROOFS_MAX = 8
"""Requests to prove host keys in one connection: OpenSSH makes one, and each costs a signature per key."""

PARTING_TEXT = 512
"""Characters of a peer's DISCONNECT text that are passed on; longer is no message for a person."""

TOKEN_LENGTH = 4096
"""Longest token: GitLab's are under 300 characters, those that are JWTs under 2000."""

VERDICTS_MAX = 10_000
"""Verdicts that are remembered, about 500 B each: every user of a large instance within a minute."""

TOKEN_QUESTIONS = 20
"""To GitLab at once, about the tokens of those who log in: a flood of logins leaves most connections to GitLab to the
people in browsers."""

OWNER_QUESTIONS = 8
"""To GitLab at once, about owners whose keys somebody offers, who need not have any right at all."""

OWNERS_MAX = 10_000
"""Owners that are remembered for their keys, 1 kB each with ten keys: every workspace of a large instance."""

POD_KEYS_MAX = 100_000
"""Host keys of workspaces that are remembered, about 300 B each; with more the longest unused is seen afresh."""

NOTES_MAX = 600
"""Audit lines of one connection within `NOTES_WINDOW`: a browser behind `ssh -D` opens ten channels a second."""

NOTES_WINDOW = 60.0

NOTED_TEXT = 256
"""Bytes of a name, an address or a path in a log line; a name of the DNS has 253."""

NOTED_PROGRAM = 64
"""Bytes of the name of a program in a log line."""

BANS_MAX = 100_000
"""Addresses whose failures are remembered, about 400 B each; with more the longest unseen are forgotten."""

UNAVAILABLE_MEMORY = 2.0
"""Seconds for which a GitLab that did not answer is not asked the same again by everybody who waited."""


class RekeyBudget:
    """Tells a client that protects much data from one that has the gateway compute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._size = 0
        self._idle = 0

    def take(self, size: int) -> bool:
        """For a key exchange that begins when `size` bytes were relayed in all; False when it is one too many."""
        now = self._clock()
        is_idle = size - self._size < IDLE_REKEY_BYTES and now - self._last < IDLE_REKEY_SECONDS
        self._idle = self._idle + 1 if is_idle else 0
        self._last, self._size = now, size
        return self._idle <= IDLE_REKEYS


class TryBudget:
    """Token checks one connection may still cause, whatever method asks for them (RFC 4252 section 4)."""

    def __init__(self, tries: int) -> None:
        self._left = tries

    def __repr__(self) -> str:
        return f"TryBudget(left={self._left})"

    @property
    def is_spent(self) -> bool:
        return self._left == 0

    def take(self) -> bool:
        """Uses up one try, before it starts, so that an abandoned one counts as well; False when none was left."""
        if self.is_spent:
            return False
        self._left -= 1
        return True

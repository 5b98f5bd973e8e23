"""Who claims one kind of name, the oldest first."""

from bisect import insort

from routing.model import Claim

CLAIMANTS_MAX = 100  # remembered of one name: a thousand Services that claim the same host must not slow every change


class Claimants:
    """Claims by name. Most names have one claimant."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[Claim, ...]] = {}

    def __repr__(self) -> str:
        return f"<Claimants names={len(self._claims)}>"

    def of(self, name: str) -> tuple[Claim, ...]:
        """Everybody who claims it; the older come first, and of two equally old ones the smaller uid."""
        return self._claims.get(name, ())

    def get_oldest(self, name: str) -> Claim | None:
        claimants = self._claims.get(name)
        return claimants[0] if claimants else None

    def add(self, name: str, claim: Claim) -> None:
        """Of more than `CLAIMANTS_MAX` the youngest are forgotten until they change."""
        held = self._claims.get(name)
        if held is None:
            self._claims[name] = (claim,)
            return
        claims = list(held)
        insort(claims, claim, key=_age)
        self._claims[name] = tuple(claims[:CLAIMANTS_MAX])

    def discard(self, name: str, claim: Claim) -> None:
        """Take out this very claim."""
        left = tuple(each for each in self._claims.get(name, ()) if each is not claim)
        if left:
            self._claims[name] = left
        else:
            self._claims.pop(name, None)


def _age(claim: Claim) -> tuple[float, str]:
    return (claim.created, claim.workspace.uid)

"""Names that lead nowhere, or elsewhere."""

from gateway.check.model import Status
from gateway.check.names import look_at_portal_name, look_at_zone_names
from tests.gateway.check.conftest import Looked, Looker


async def test_names_that_lead_somewhere_are_listed(alone: Looker) -> None:
    """The portal's, and the wildcard of the workspaces."""
    portal, zone = await look_at_portal_name(alone.site), await look_at_zone_names(alone.site)

    assert (portal.status, portal.detail) == (Status.OK, "workspaces.localhost leads to 127.0.0.1")
    assert (zone.status, zone.detail) == (Status.OK, "*.workspaces.localhost leads to 127.0.0.1")


async def test_a_portal_without_a_name_is_said(alone: Looker) -> None:
    """With the record to make."""
    del alone.names.records["workspaces.localhost"]

    found = await look_at_portal_name(alone.site)

    assert found.status is Status.FAULT
    assert "make a DNS record workspaces.localhost" in found.advice


async def test_a_missing_wildcard_is_said(alone: Looker) -> None:
    """Though the portal has a name."""
    del alone.names.records["*.workspaces.localhost"]

    found = await look_at_zone_names(alone.site)

    assert found.status is Status.FAULT
    assert "wildcard DNS record *.workspaces.localhost" in found.advice


async def test_the_zones_are_those_of_the_routes(looked: Looked) -> None:
    """Unless routing.zones names them."""
    looked.change(auth={"redirect_uri": "https://portal.example.dev/auth/callback"})
    assumed = looked.site.zones
    await looked.read_routes()
    known = looked.site.zones
    looked.change(routing={"zones": ("a.example.dev", "b.example.dev")})

    assert assumed == ("portal.example.dev",)
    assert known == ("workspaces.localhost",)
    assert looked.site.zones == ("a.example.dev", "b.example.dev")


async def test_a_wildcard_that_leads_elsewhere_is_pointed_out(alone: Looker) -> None:
    """It may be meant."""
    alone.names.records["*.workspaces.localhost"] = ("192.0.2.9",)

    found = await look_at_zone_names(alone.site)

    assert found.status is Status.OK
    assert "192.0.2.9, workspaces.localhost elsewhere" in found.detail

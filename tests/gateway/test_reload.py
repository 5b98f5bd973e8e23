"""A gateway that runs takes up other settings: every part at once, and nobody who is in notices."""

import asyncio
import gc
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from operator import attrgetter
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from config.changes import find_changes, find_restarts
from config.names import NAMES, SettingName
from config.section import Section
from config.settings import IdleRule, SessionSettings, Settings, VisibilityRule
from gateway.demo.world import EDITOR_PORT, LOOPBACK
from gateway.http.tls import TlsUnusable
from gateway.ssh.host_keys import HostKeyUnreadable
from tests.gateway.conftest import Live, events, open_live
from tests.redis_server import run_redis

SCRIPT = {"Sec-Fetch-Mode": "cors"}
OURS = re.compile(r"(auth|gateway)\.(?!demo)")


def changed(settings: Settings, **values: Any) -> Settings:
    """The settings with other values; `auth__client_id` is auth.client_id."""
    for path, value in values.items():
        group, _, key = path.rpartition("__")
        told = {key: value} if not group else {group: getattr(settings, group).model_copy(update={key: value})}
        settings = settings.model_copy(update=told)
    return settings


def adopt(live: Live, **values: Any) -> Settings:
    """Have the gateway take up other values than those of the demo."""
    settings = changed(live.world.settings, **values)
    live.world.gateway.prepare(settings)()
    return settings


def new_host_key() -> SecretStr:
    return SecretStr(asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode())


def another(name: SettingName, value: Any, folder: Path) -> Any:
    """A value that a setting does not have yet."""
    special: dict[str, Any] = {
        "ssh.host_key": new_host_key(),
        "idle.rules": (IdleRule(namespace="team-*", timeout=60),),
        "visibility.rules": (VisibilityRule(namespace="team-*", max="private"),),
        "http.tls_certificate": folder / "another.pem",
        "http.tls_key": folder / "another.pem",
        "ssh.host_certificate_files": (folder / "host-certificate",),
        "ssh.host_key_files": (folder / "host-key",),
        "ssh.user_ca_files": (folder / "authority",),
        "ssh.pod_host_key_change": "refuse",
        "ssh.public_port": 2022,
        "visibility.max": "internal",
        "log_level": "error",
        "auth.protocol": "https",
    }
    if name.path in special:
        return special[name.path]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case SecretStr():
            return SecretStr(secrets.token_hex(16))
        case str():
            return f"{value}-another"
        case tuple() if name.is_secret:
            return (SecretStr(secrets.token_hex(16)),)
        case tuple():
            return (ip_network("192.0.2.0/24"),) if "prox" in name.path or "exempt" in name.path else ("another",)
        case _:
            return folder / "another"


def write_keys(folder: Path, settings: Settings) -> None:
    """The files that `another` names, each good for what it is for."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    (folder / "authority").write_bytes(authority.export_public_key())
    (folder / "host-key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    known = asyncssh.import_private_key(settings.ssh.host_key.get_secret_value())
    certificate = authority.generate_host_certificate(known, "host", principals=["localhost"])
    (folder / "host-certificate").write_bytes(certificate.export_certificate())


def holders(settings: Settings) -> set[str]:
    """What of the gateway, but for its stand-ins, has these settings or a section of them as an attribute."""
    sections = {id(settings), *(id(section) for _, section in settings if isinstance(section, Section))}
    parts = [each for each in gc.get_objects() if OURS.match(str(type(each).__module__))]
    return {type(each).__name__ for each in parts if not sections.isdisjoint(map(id, attributes_of(each)))}


def attributes_of(part: object) -> list[object]:
    """Their values, wherever they are kept."""
    slots = [name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(part, "__dict__", {}).values(), *(getattr(part, name, None) for name in slots)]


async def test_every_setting_is_taken_up_or_named_as_one_that_needs_a_restart(live: Live, tmp_path: Path) -> None:
    """Whatever it is, a gateway that runs takes no harm."""
    running = live.world.settings
    write_keys(tmp_path, running)
    for name in NAMES.values():
        value = another(name, attrgetter(name.path)(running), tmp_path)
        wanted = changed(running, **{name.path.replace(".", "__"): value})
        assert find_changes(running, wanted) == (name.path,)
        assert find_restarts(running, wanted) == ((name.path,) if name.change else ())
        if name.change is None:
            live.world.gateway.prepare(wanted)()


async def test_no_part_holds_on_to_the_settings_of_before(live: Live) -> None:
    """So every part, also one that is built tomorrow, goes by those that were taken up last."""
    first = live.world.settings.model_copy(deep=True)  # so that no other gateway has the default of a section
    live.world.gateway.prepare(first)()
    before = holders(first)
    live.world.gateway.prepare(first.model_copy(deep=True))()
    gc.collect()

    assert before > {"Gateway", "HttpDoor", "SshDoor", "AccessPolicy", "Login", "MemorySessions"}
    assert holders(first) == set()


async def test_nothing_is_taken_up_where_something_cannot_be(live: Live, tmp_path: Path) -> None:
    """A policy that came with an unusable key or certificate is not in force."""
    for values, fault in (
        ({"ssh__host_key": SecretStr("no key")}, HostKeyUnreadable),
        ({"ssh__host_key_files": (tmp_path / "none",)}, HostKeyUnreadable),
        ({"http__tls_certificate": tmp_path / "none", "http__tls_key": tmp_path / "none"}, TlsUnusable),
    ):
        with pytest.raises(fault):
            adopt(live, visibility__max="private", **values)

    async with live.person() as stranger:
        assert (await stranger.fetch(live.url("/"), headers=SCRIPT)).status == 200


async def test_a_policy_that_closes_ends_whom_it_must_and_nobody_else(live: Live) -> None:
    """Within the second, and new requests at once."""
    url = live.url("/events?interval=0.1")
    live.open_port("private")
    async with live.person() as stranger, live.person("ada", at=live.url("/")) as ada:
        live.open_port("public")
        async with events(stranger, url) as foreign, events(ada, url) as own:
            adopt(live, visibility__max="private")
            async with asyncio.timeout(1):
                while await foreign.is_open():
                    continue
            goes_on = await own.is_open()
        refused = await stranger.fetch(live.url("/"), headers=SCRIPT)
        adopt(live)
        again = await stranger.fetch(live.url("/"), headers=SCRIPT)

    assert goes_on
    assert (refused.status, again.status) == (401, 200)


async def test_nobody_who_is_in_notices_ten_reloads(live: Live) -> None:
    """A WebSocket, an upload, an event stream and an SSH session go on, whatever is changed and changed back."""
    settings, site = live.world.settings, live.url("/")
    uploaded = asyncio.Queue[bytes]()

    async def body() -> AsyncIterator[bytes]:
        while (piece := await uploaded.get()) != b"":
            yield piece

    async with (
        live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada,
        ada.open_socket(live.url("/ws", port=EDITOR_PORT)) as socket,
        events(ada, live.url("/events?interval=0.1")) as stream,
        open_terminal(live) as terminal,
        asyncio.TaskGroup() as group,
    ):
        url = site.removesuffix("/") + "/upload"
        upload = group.create_task(ada.session.post(url, data=body(), headers=ada.cookie_header(url)))
        for number in range(10):
            adopt(
                live,
                auth__signing_key=SecretStr(f"{number}" * 32),
                auth__previous_signing_keys=(settings.auth.signing_key,),
                auth__client_secret=SecretStr(f"secret {number}"),
                http__max_connections=number + 100,
                http__trusted_proxies=(ip_network(f"192.0.2.{number}/32"),),
                ssh__host_key=new_host_key(),
                ssh__max_connections=1,
                visibility__rules=(VisibilityRule(namespace=f"team-{number}", max="private"),),
            )
            uploaded.put_nowait(b"x" * 1000)
            await socket.send_str(f"{number}")
            assert await socket.receive_str(timeout=5) == f"{number}"
            assert await stream.is_open()
            terminal.stdin.write(f"{number}\n")
            assert await terminal.stdout.readline() == f"{number}\n"
        uploaded.put_nowait(b"")
        async with await upload as response:
            taken = await response.json()

    assert taken["bytes"] == 10_000


@asynccontextmanager
async def open_terminal(live: Live) -> AsyncIterator["asyncssh.SSHClientProcess[str]"]:
    """An SSH session of ada's that says what it is told."""
    async with (
        asyncssh.connect(
            *(LOOPBACK, live.world.visit.ssh_port),
            username=live.world.visit.running,
            password=live.token("ada"),
            known_hosts=None,
            client_keys=None,
            config=None,
            agent_path=None,
        ) as client,
        client.create_process("cat") as process,
    ):
        yield process


async def test_the_interstitial_can_be_switched_while_it_runs(live: Live) -> None:
    """Off, and on again."""
    adopt(live, visibility__interstitial=False)
    async with live.person() as stranger:
        plain = await stranger.navigate(live.url("/"))
    adopt(live, visibility__interstitial=True)
    async with live.person() as stranger:
        warned = await stranger.navigate(live.url("/"))

    assert "X-Workspaces-Gateway" not in plain.headers
    assert warned.headers["X-Workspaces-Gateway"] == "interstitial"


async def test_an_origin_is_accepted_from_the_moment_it_is_allowed(live: Live) -> None:
    """And no longer once it is not."""
    editor = live.url("/", port=EDITOR_PORT)
    headers = {"Origin": "https://ide.example.com", "Sec-Fetch-Site": "cross-site", **SCRIPT}
    async with live.person("ada", at=editor) as ada:
        statuses = []
        for allowed in ((), ("https://ide.example.com",), ()):
            adopt(live, origins__allowed=allowed)
            statuses.append((await ada.fetch(editor, method="POST", headers=headers)).status)

    assert [status == 403 for status in statuses] == [True, False, True]


async def test_a_proxy_is_believed_from_the_moment_it_is_listed(live: Live) -> None:
    """Its X-Forwarded-For reaches the workspace, and one that is not listed any more is a client like others."""
    told = []
    async with live.person() as stranger:
        for proxies in ((), (ip_network("127.0.0.0/8"),), ()):
            adopt(live, http__trusted_proxies=proxies)
            page = await stranger.fetch(live.url("/headers"), headers={"X-Forwarded-For": "192.0.2.7", **SCRIPT})
            told.append("192.0.2.7" in page.text)

    assert told == [False, True, False]


async def test_places_of_clients_are_given_back_whatever_was_listed_meanwhile(live: Live) -> None:
    """Who came as a proxy and leaves as a client is not counted below zero."""
    async with live.person() as stranger:
        await stranger.fetch(live.url("/"), headers=SCRIPT)
        adopt(live, http__trusted_proxies=(ip_network("127.0.0.0/8"),))
    async with live.person() as stranger:
        await stranger.fetch(live.url("/"), headers=SCRIPT)
        adopt(live, http__max_connections_per_ip=1)
        status = (await stranger.fetch(live.url("/"), headers=SCRIPT)).status  # on the connection that is open

    assert status == 200


async def test_limits_count_from_now_on(live: Live) -> None:
    """Whoever is in stays, whoever comes meets the new ones."""
    async with (
        live.person() as first,
        live.person() as second,
        events(first, live.url("/events?interval=0.1")) as stream,
    ):
        adopt(live, http__max_connections=1)
        full = await second.fetch(live.url("/"), headers=SCRIPT)
        goes_on = await stream.is_open()
        adopt(live)
        let_in = await second.fetch(live.url("/"), headers=SCRIPT)

    assert (full.status, goes_on, let_in.status) == (503, True, 200)


async def test_an_application_of_gitlab_is_replaced_while_people_sign_in(live: Live) -> None:
    """Those who are in stay, and whoever signs in afterwards does so by the new one."""
    editor = live.url("/", port=EDITOR_PORT)
    async with live.person("ada", at=editor) as ada:
        client_id, secret = live.world.gitlab.register_application(f"{live.world.visit.portal_url}/auth/callback")
        adopt(live, auth__client_id=client_id, auth__client_secret=SecretStr(secret))
        stays = await ada.fetch(editor, headers=SCRIPT)
    async with live.person() as newcomer:
        page = await newcomer.visit(editor, "ada")
        start = await newcomer.navigate(f"{live.world.visit.portal_url}/")

    assert (stays.status, page.status, start.status) == (200, 200, 200)


async def test_a_wrong_secret_keeps_people_out_until_the_right_one_is_there(live: Live) -> None:
    """So it is the new secret that counts, and not a copy of the old one."""
    editor = live.url("/", port=EDITOR_PORT)
    adopt(live, auth__client_secret=SecretStr("wrong"))
    async with live.person() as ada:
        refused = await ada.visit(editor, "ada")
    adopt(live)
    async with live.person() as ada:
        page = await ada.visit(editor, "ada")

    assert refused.status != 200
    assert page.status == 200


async def rotate(live: Live) -> list[int]:
    """Sign in, and visit the editor under the old key, then under a new one beside it, then without the old one."""
    editor, old, new = live.url("/", port=EDITOR_PORT), live.world.settings.auth.signing_key, SecretStr("n" * 32)
    statuses = []
    async with live.person("ada", at=editor) as ada:
        for keys in ((old, ()), (new, (old,))):
            adopt(live, auth__signing_key=keys[0], auth__previous_signing_keys=keys[1])
            statuses.append((await ada.fetch(editor, headers=SCRIPT)).status)
        adopt(live, auth__signing_key=new, auth__previous_signing_keys=())
        statuses.append((await ada.fetch(editor, headers=SCRIPT)).status)
        statuses.append((await ada.navigate(f"{live.world.visit.portal_url}/")).status)
        statuses.append((await ada.visit(editor, "")).status)
        return statuses


async def test_a_signing_key_is_rotated_without_signing_anybody_out(live: Live) -> None:
    """What the old key sealed opens as long as it is listed, and not a request longer; sessions in memory stay."""
    statuses = await rotate(live)

    assert statuses == [200, 200, 401, 200, 200]


async def test_sessions_in_redis_are_opened_by_the_keys_that_are_listed() -> None:
    """Their tokens are sealed by the key of their time, so they end with it."""
    async with run_redis() as redis, open_live(sessions=SessionSettings(store=redis.url)) as live:
        statuses = await rotate(live)

    assert statuses[:4] == [200, 200, 401, 303]


async def test_a_password_of_redis_is_used_for_the_next_connection() -> None:
    """So that it can change there and here, one after the other."""
    async with run_redis() as redis, open_live(sessions=SessionSettings(store=redis.url)) as live:
        async with Redis.from_url(redis.url) as client:
            await client.config_set("requirepass", "changed")
            await client.client_kill_filter(_type="normal")  # Redis asks only who comes anew
        async with live.person() as newcomer:
            refused = await newcomer.visit(live.url("/", port=EDITOR_PORT), "ada")
        adopt(live, sessions__store=redis.url, sessions__password=SecretStr("changed"))
        async with live.person() as newcomer:
            let_in = await newcomer.visit(live.url("/", port=EDITOR_PORT), "ada")

    assert (refused.status, let_in.status) == (503, 200)


async def test_new_clients_of_ssh_meet_the_new_host_key(live: Live) -> None:
    """Those who are in go on, keys of the connection included."""
    key = new_host_key()

    async def seen() -> str:
        found = await asyncssh.get_server_host_key(LOOPBACK, live.world.visit.ssh_port)
        assert found is not None
        return found.get_fingerprint()

    before = await seen()
    async with open_terminal(live) as open_one:
        adopt(live, ssh__host_key=key)
        after = await seen()
        open_one.stdin.write("still here\n")
        answer = await open_one.stdout.readline()

    assert after == asyncssh.import_private_key(key.get_secret_value()).get_fingerprint() != before
    assert answer == "still here\n"


async def test_a_service_token_is_asked_with_from_now_on(live: Live) -> None:
    """The portal and SSH keys go by it; where it is gone, owners have to sign in again."""
    door = live.world.gateway.ssh
    assert door is not None
    keys = door._keys
    assert keys is not None
    told = []
    for token in ("", "glpat-of-an-administrator", ""):
        adopt(live, auth__service_token=SecretStr(token))
        told.append(keys.is_offered)

    assert told == [False, True, False]


async def test_the_level_of_the_log_changes(live: Live) -> None:
    """At error, requests are not told any more."""
    async with live.person() as stranger:
        lines = []
        for level in ("info", "error", "info"):
            adopt(live, log_level=level)
            before = len(live.logged("http.request"))
            await stranger.fetch(live.url("/"), headers=SCRIPT)
            await asyncio.sleep(0)
            lines.append(len(live.logged("http.request")) - before)

    assert lines == [1, 0, 1]


async def test_sign_ins_are_limited_by_the_new_numbers(live: Live) -> None:
    """From the next on."""
    adopt(live, sessions__sign_in_burst=1)
    async with live.person() as first, live.person() as second:
        begun = await first.navigate(f"{live.world.visit.portal_url}/auth/start")
        too_many = await second.navigate(f"{live.world.visit.portal_url}/auth/start")
        adopt(live)
        again = await second.navigate(f"{live.world.visit.portal_url}/auth/start")

    assert (begun.status, too_many.status, again.status) == (303, 429, 303)

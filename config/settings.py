"""The settings of the gateway: frozen values that validate themselves.

Only values, defaults and the reasons for them live here. A key of the YAML file is the path to a field
(`auth.client_id`); `config.load` derives the environment variable (AUTH_CLIENT_ID) and the flag
(--auth-client-id) from the same path, which gives the names of GitLab's own proxy.
All durations are seconds, all sizes bytes. Every field can be made from the text an operator wrote, so that the
file, the environment and the flags are read alike; what two fields must agree on is said in `config.rules`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from config import values
from config.section import (
    NO_SWITCH,
    RESTART,
    BaseUrl,
    CollectorUrl,
    CommaList,
    HostKey,
    HostName,
    IdleTimeout,
    Level,
    Namespace,
    Network,
    Port,
    Seconds,
    SecondsOrNever,
    Section,
    Share,
    Switch,
    UrlPath,
    WebOrigin,
    Zone,
)

SIGNING_KEY_MIN = 16  # a shorter key could be guessed offline from one sealed cookie


class AuthSettings(Section):
    """GitLab and the OAuth application people sign in with (the one GitLab's own proxy uses)."""

    host: Annotated[BaseUrl, RESTART]
    """GitLab's address, with its relative URL root where it has one."""
    client_id: str = ""
    """Of the OAuth application, as GitLab shows it."""
    client_secret: SecretStr = SecretStr("")
    """Of the same."""
    redirect_uri: Annotated[str, RESTART] = ""
    """`https://<portal>/auth/callback`; its host is the portal."""
    signing_key: SecretStr = SecretStr("")
    """Seals grants and sign-in state."""
    previous_signing_keys: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Keys that still open what they sealed, for a rotation without signing anyone out; none holds a comma."""
    protocol: Annotated[Literal["http", "https"], RESTART] = "https"
    """The scheme people use towards the gateway; http is for development only."""
    ca_file: Annotated[Path | None, RESTART] = None
    """Certificates to trust towards GitLab beside the system's."""
    service_token: SecretStr = SecretStr("")
    """A GitLab token with the scope read_api of somebody who may read every workspace, such as an administrator. By it
    the gateway learns whose a workspace is, whose SSH keys may open it; without it, it learns that from sign-ins. With
    the scope api it can also stop what nobody uses (`idle.timeout`), and start it again (`ssh.wake`)."""
    timeout: Annotated[Seconds, RESTART] = 10
    """For one GitLab call: longer than GitLab's own slow answers, shorter than a person's patience."""

    @property
    def signing_keys(self) -> tuple[SecretStr, ...]:
        """All that open what they sealed; the first seals."""
        return (self.signing_key, *self.previous_signing_keys)

    @property
    def portal_host(self) -> str:
        """The portal's host name, lower case and without a port."""
        return (urlsplit(self.redirect_uri).hostname or "").rstrip(".")

    @property
    def portal_url(self) -> str:
        """The portal's origin, such as `https://workspaces.example.dev`."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"


class HttpSettings(Section):
    """The HTTPS and WebSocket door, usually behind an ingress."""

    enabled: Annotated[Switch, RESTART] = True
    address: Annotated[str, RESTART] = ""
    """The interface to listen on; empty means all of them."""
    port: Annotated[Port, RESTART] = 9876
    trusted_proxies: Annotated[tuple[Network, ...], CommaList] = ()
    """Load balancers and ingresses whose X-Forwarded-For is believed; nobody by default."""
    tls_certificate: Annotated[Path | None, NO_SWITCH] = None
    """PEM, with its chain, when TLS ends here and not at an ingress; re-read when it changes."""
    tls_key: Annotated[Path | None, NO_SWITCH] = None
    """Its private key, PEM; re-read with it."""
    head_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 64 * 1024
    """Of a request or response head: 40 cookies of an editor fit, a header bomb does not."""
    head_fields: Annotated[int, Field(ge=16, le=10_000)] = 200
    """Of the same: browsers send thirty, and each costs memory however short it is."""
    head_timeout: Seconds = 10
    """From the first byte of a request head to its last; a slowloris gets no longer."""
    keep_alive_timeout: Seconds = 75
    """Longer than the 60 s for which nginx keeps its upstream connections, so that it closes first."""
    connect_timeout: Seconds = 3
    """A pod in the same cluster answers in milliseconds or not at all."""
    body_idle_timeout: Seconds = 60
    """Without one byte of a request body, or of an answer that its client takes; the total time has no limit."""
    pool_size: Annotated[int, Field(ge=0)] = 64
    """Idle upstream connections kept per workspace port; a browser opens six."""
    pool_idle_timeout: Seconds = 90
    """For each, unless the workspace's server keeps it for less: whoever reads a page for a minute finds one open."""
    max_connections: Annotated[int, Field(ge=0)] = 10_000
    """Clients of this process, tunnels included. An idle one takes some 5 KiB, one that takes its answer slowly up to
    a few hundred. Fewer where there are not descriptors for so many. 0 here and below is no limit."""
    max_connections_per_ip: Annotated[int, Field(ge=0)] = 2000
    """An office of two hundred, each with an editor; a fifth of all. An IPv6 address counts by its /64, and
    `trusted_proxies` by nothing: behind an ingress this limit is the ingress's matter."""
    max_connections_per_workspace: Annotated[int, Field(ge=0)] = 2000
    """Towards it: a workspace that everybody looks at, or that holds on to its visitors, leaves room for the others."""
    wake: Literal["ask", "auto"] = "ask"
    """What the owner of a stopped workspace meets who opens it: a button that starts it, or with `auto` its start, if
    they opened it by hand. A button costs a click, and no look at an old tab costs a running workspace."""
    drain_grace: Seconds = 30
    """For open requests and tunnels after SIGTERM; Kubernetes' default grace is as long."""


class SshSettings(Section):
    """The SSH door."""

    enabled: Annotated[Switch, RESTART] = True
    address: Annotated[str, RESTART] = ""
    """The interface to listen on; empty means all of them."""
    port: Annotated[Port, RESTART] = 22
    public_host: HostName = ""
    """What people type after the @ where that is not the portal's host: the name of a load balancer, say."""
    public_port: Port | None = None
    """The port people use where a Service or a load balancer leads from another one to `port`."""
    host_key: HostKey = SecretStr("")
    """The private host key itself, PEM or OpenSSH format, without a passphrase."""
    host_key_files: Annotated[tuple[Path, ...], CommaList] = ()
    """Further host keys, one per file, when a client may choose among several types."""
    host_certificate_files: Annotated[tuple[Path, ...], CommaList] = ()
    """Host certificates of these keys, one per file; each is offered with the key that it certifies."""
    user_ca_files: Annotated[tuple[Path, ...], CommaList] = ()
    """Public keys of the authorities whose user certificates open the workspaces of their principal, one a line."""
    pod_host_key_change: Literal["warn", "refuse"] = "warn"
    """What follows when a workspace shows another host key than before: images get new ones when they are built. One
    that the annotation `workspaces.gitlab.com/ssh-host-key` contradicts is always refused."""
    backend_port: Port = 60022
    """The port of the workspace's sshd, as its Service names it."""
    backend_username: str = "gitlab-workspaces"
    """The user that GitLab gives to every workspace."""
    login_grace: Seconds = 60
    """From accept to a successful login, version exchange and GitLab's answer included."""
    max_auth_tries: Annotated[int, Field(ge=1)] = 3
    """Token checks per connection; a token is pasted, not guessed."""
    max_key_offers: Annotated[int, Field(ge=1, le=1000)] = 32
    """Public keys that a connection may offer: an agent with 20 still gets to the prompt for a token."""
    wake: Switch = True
    """Whether an owner who connects to a stopped workspace starts it, by a token of the scope api, `auth.service_token`
    or their sign-in on the portal. Who connects wants it; but so does a program that connects again and again."""
    wake_timeout: Seconds = 120
    """For which a login then waits: a pod is there in half a minute, and in two with an image that must be pulled."""
    failure_delay: Annotated[float, Field(ge=0)] = 0.5
    """From a refused token to its answer, whatever the reason: guessing is slowed, and nothing is told by time."""
    grant_memory: Seconds = 60
    """For which a yes of GitLab to a token and a workspace counts for further connections: an editor's five cost one
    question, and a revoked token opens nothing after it."""
    refusal_memory: Seconds = 10
    """The same for a no: enough against a client that repeats itself, and over before a person has mended the token."""
    recheck_interval: Seconds = 300
    """Between questions whether those who are in may still be; two refusals in a row end the session."""
    connect_timeout: Seconds = 5
    """To the workspace's sshd: time for two lost packets, which are sent again after 1 s and 3 s."""
    handshake_timeout: Seconds = 10
    """For the key exchange and login at the workspace's sshd."""
    max_channels: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Open at once on one connection: a browser behind `ssh -D` has some hundred."""
    forward_local: Switch = True
    """Whether -L, -D and -W are allowed: connections that the workspace makes for the client."""
    forward_remote: Switch = True
    """Whether -R is allowed: ports that the workspace listens on for the client."""
    forward_sockets: Switch = True
    """The same for sockets of the workspace's file system, in both directions."""
    forward_agent: Switch = True
    """Whether -A is allowed: the workspace may ask the client's agent."""
    forward_x11: Switch = True
    """Whether -X and -Y are allowed: the workspace may open windows at the client."""
    idle_timeout: SecondsOrNever = 0
    """Without a byte of data in either direction, keepalives not counted, before a session is closed; 0 is never."""
    max_session: SecondsOrNever = 0
    """From login to the end of a session, whatever happens in it; 0 is for ever."""
    keepalive_interval: Seconds = 30
    """Of silence before each question whether a leg is there; below the idle limits of common load balancers."""
    keepalive_count: Annotated[int, Field(ge=1)] = 4
    """Unanswered keepalives before a leg counts as dead: two minutes, as OpenSSH users are used to."""
    drain_grace: Seconds = 30
    """For open sessions after SIGTERM; Kubernetes' default grace is as long."""
    startups_begin: Annotated[int, Field(ge=1)] = 50
    """Connections still logging in from which on some new ones are dropped, as by OpenSSH's MaxStartups 50:30:200."""
    startups_rate: Annotated[int, Field(ge=0, le=100)] = 30
    """Percent of new connections dropped at `startups_begin`; it rises until all are, at `startups_full`."""
    startups_full: Annotated[int, Field(ge=1)] = 200
    """Connections still logging in from which on every new one is dropped."""
    max_startups_per_ip: Annotated[int, Field(ge=0)] = 10
    """Connections of one address still logging in: an editor opens five, and one address must not use up all. An IPv6
    address counts by its /64. 0 here and below is no limit, as where a load balancer hides all addresses."""
    max_connections: Annotated[int, Field(ge=0)] = 4000
    """Of this process: at some 150 kB each they take 600 MB."""
    max_connections_per_ip: Annotated[int, Field(ge=0)] = 100
    """An office behind one address has fewer at once."""
    max_sessions_per_user: Annotated[int, Field(ge=0)] = 50
    """Of one person in all workspaces: ten editors open as many."""
    max_sessions_per_workspace: Annotated[int, Field(ge=0)] = 50
    """Each is a process of the sshd in the workspace, in the memory that the workspace's owner has for work."""
    ban_failures: Annotated[int, Field(ge=0)] = 5
    """Refused tokens of one address within `ban_window` that keep everybody from there out for a while; 0 bans nobody.
    An IPv6 address counts by its /64, and a success erases nothing."""
    ban_window: Seconds = 900
    """In which refusals add up: who mistypes now and then through a day is nobody who guesses."""
    ban_seconds: Seconds = 1800
    """For the first time; each further ban takes twice as long, up to `ban_max`."""
    ban_max: Seconds = 86_400
    """By the next day the address may be somebody else's."""
    ban_exempt: Annotated[tuple[Network, ...], CommaList] = ()
    """Networks nobody is banned from, such as a load balancer that hides all addresses, or an office."""
    proxy_protocol: Annotated[tuple[Network, ...], CommaList] = ()
    """Load balancers that send the PROXY protocol's header, version 1 or 2; from them nobody gets in without one, and
    from nowhere else is one believed."""
    proxy_timeout: Seconds = 1
    """For that header, which a load balancer sends at once."""


class AdminSettings(Section):
    """The operators' listener: health, readiness, metrics. Never behind a public host."""

    address: Annotated[str, RESTART] = ""
    """The interface to listen on; empty means all of them, as the probes of a cluster need."""
    port: Annotated[Port, RESTART] = 9877


class RoutingSettings(Section):
    """Where routes come from and which host names they may claim."""

    file: Annotated[Path | None, RESTART] = None
    """A YAML route file instead of the Services of a Kubernetes cluster."""
    zones: Annotated[tuple[Zone, ...], CommaList, RESTART] = ()
    """Wildcard domains a route's host must lie in; empty means any."""


class VisibilityRule(Section):
    """A cap on port visibility for the workspaces it matches."""

    agent_id: str | None = None
    namespace: str | None = None
    """A shell glob, such as `team-a-*`."""
    max: Level

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.agent_id is None and self.namespace is None:
            raise ValueError("must name an agent_id or a namespace")
        return self


class VisibilitySettings(Section):
    """The most that a port may be opened, whatever its owner asks for."""

    max: Level = "public"
    interstitial: Switch = True
    """One page before the first visit of a public port, that says whose server this is not."""
    rules: tuple[VisibilityRule, ...] = ()
    """All that match apply; the lowest wins. In a variable or a flag it is JSON."""


class IdleRule(Section):
    """A time-out for the workspaces it matches."""

    agent_id: str | None = None
    namespace: str | None = None
    """A shell glob, such as `team-a-*`."""
    timeout: IdleTimeout

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.agent_id is None and self.namespace is None:
            raise ValueError("must name an agent_id or a namespace")
        return self


class IdleSettings(Section):
    """When a running workspace counts as unused, and how long it may be."""

    timeout: IdleTimeout = 0
    """Without use until a workspace is stopped; 0 is never. The annotation `workspaces.gitlab.com/idle-timeout` of a
    workspace (`30m`, `2h`, or `0` for never) says otherwise for it."""
    maximum: IdleTimeout = 0
    """The most that `timeout`, a rule or an annotation comes to: where it is set, never is this. 0 is no limit."""
    rules: tuple[IdleRule, ...] = ()
    """The first that matches counts instead of `timeout`. In a variable or a flag it is JSON."""
    warning: Seconds = 300
    """Before a workspace is stopped, in which whoever is there is told and may keep it; half the time-out at most."""
    heartbeat_rate: Annotated[int, Field(ge=0)] = 400
    """Bytes a minute that a WebSocket, or SSH without a terminal, sends when nobody is there: recorded were 220 of an
    editor that was left alone, and 670 of somebody who presses a key every other second."""
    polls_per_minute: Annotated[int, Field(ge=0)] = 60
    """Requests that pages of a workspace send by themselves: one a second. Pages opened and forms sent always count."""
    ssh_open_counts: Switch = False
    """Whether an open SSH connection is use as long as it is open, not only while somebody types in it."""


class SessionSettings(Section):
    """Signing in, and how long a signed-in browser stays signed in."""

    store: Annotated[str, AfterValidator(values.session_store), RESTART] = "memory"
    """`memory`, or `redis://host:port/number` (`rediss://` with TLS), which several replicas or workers need."""
    password: SecretStr = SecretStr("")
    """Of the Redis."""
    idle_timeout: Seconds = 3600
    """Without a request that the portal hears of; an open editor counts, as its grant is renewed."""
    absolute_timeout: Seconds = 8 * 3600
    """A working day; GitLab is asked again long before."""
    max_per_user: Annotated[int, Field(ge=10)] = 50
    """Beyond it the one that began first ends. A browser may make ten when its tabs all sign in at once."""
    sign_ins_per_minute: Annotated[int, Field(ge=0)] = 20
    """Sign-ins that one address may begin and not finish, after the first `sign_in_burst`; 0 is no limit. An IPv6
    address counts by its /64, a browser that signed in here within a month by itself; each worker counts alone."""
    sign_in_burst: Annotated[int, Field(ge=1)] = 100
    """Ten windows of ten tabs each, as a browser restores them in the morning."""


class DrainSettings(Section):
    """What follows on SIGTERM, beside the grace that each door gives to what is open (`drain_grace`)."""

    delay: SecondsOrNever = 0
    """In which new clients are still let in while `/readyz` says no: as long as load balancers take to notice, which is
    nothing where there is none. Whoever comes is asked to connect anew for the next request."""
    spread: SecondsOrNever = 20
    """Over which what is left after the grace is closed, fifty a second or as many more as there are: the other
    gateways meet those who come again one after the other."""


class TracingSettings(Section):
    """Where spans of requests and SSH logins go: an OpenTelemetry collector (needs the extra `opentelemetry`)."""

    endpoint: Annotated[CollectorUrl, RESTART] = ""
    """The collector's OTLP over HTTP, such as http://collector:4318; empty means that nothing is traced."""
    sample_ratio: Annotated[Share, RESTART] = 0.05
    """How much of what begins here is recorded: one editor makes hundreds of requests. What a trusted proxy records
    (`http.trusted_proxies`) is recorded here too, and what it does not is not."""


class OriginSettings(Section):
    """Further web origins that the cross-site rule accepts on private and internal hosts."""

    allowed: Annotated[tuple[WebOrigin, ...], CommaList] = ()
    """Each as scheme://host[:port]."""


class Settings(Section):
    """Everything an operator can set: the groups above, and what belongs to none of them."""

    auth: AuthSettings
    http: HttpSettings = HttpSettings()
    ssh: SshSettings = SshSettings()
    admin: AdminSettings = AdminSettings()
    routing: RoutingSettings = RoutingSettings()
    visibility: VisibilitySettings = VisibilitySettings()
    idle: IdleSettings = IdleSettings()
    sessions: SessionSettings = SessionSettings()
    drain: DrainSettings = DrainSettings()
    origins: OriginSettings = OriginSettings()
    tracing: TracingSettings = TracingSettings()
    workers: Annotated[int, Field(ge=1, le=64), RESTART] = 1
    """Processes that share the ports; about one per core. With HTTP, more than one needs the sessions in Redis."""
    metrics_path: Annotated[UrlPath, RESTART] = "/metrics"
    """Answered on the HTTP port only for hosts that are neither portal nor workspace: probes of existing charts."""
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    watch_namespaces: Annotated[tuple[Namespace, ...], CommaList, RESTART] = ()
    """Namespaces whose Services are routes, one watch each; empty means all of them, which takes a right for all."""
    kubeconfig: Annotated[Path | None, RESTART] = None
    """The cluster to take routes from; a pod finds its own by itself. Unused where `routing.file` is set."""

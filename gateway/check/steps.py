"""What a check looks at, in the order in which one thing rests on another."""

from config.settings import Settings
from gateway.check.certificates import look_at_certificates
from gateway.check.doors import look_at_portal, look_at_zones
from gateway.check.gitlab import look_at_redirect, look_at_service_token, look_for_application, look_for_gitlab
from gateway.check.model import Step
from gateway.check.names import look_at_portal_name, look_at_zone_names
from gateway.check.rights import look_at_rights
from gateway.check.routes import look_at_routes
from gateway.check.sessions import look_at_sessions
from gateway.check.ssh_door import look_at_authorities, look_at_host_keys, look_at_ssh_door
from gateway.check.workspace import look_at_ports, look_at_sshd

GITLAB, APPLICATION, REDIRECT = "GitLab", "OAuth application", "redirect URI and scopes"
SERVICE_TOKEN = "service token"  # noqa: S105 - the name of a step
RIGHTS, ROUTES, SESSIONS = "rights in the cluster", "routes", "sessions"
PORTAL_NAME, ZONE_NAMES, CERTIFICATES = "name of the portal", "names of workspaces", "certificates"
PORTAL, ZONES = "portal", "hosts of workspaces"
HOST_KEYS, AUTHORITIES, SSH_DOOR = "SSH host keys", "SSH authorities of users", "SSH door"
PORTS, SSHD = "ports of a workspace", "sshd of a workspace"

_WEB = (
    Step(APPLICATION, look_for_application, (GITLAB,)),
    Step(REDIRECT, look_at_redirect, (GITLAB, APPLICATION)),
    Step(SESSIONS, look_at_sessions),
    Step(PORTAL_NAME, look_at_portal_name),
    Step(ZONE_NAMES, look_at_zone_names),
    Step(CERTIFICATES, look_at_certificates, (PORTAL_NAME, ZONE_NAMES)),
    Step(PORTAL, look_at_portal, (PORTAL_NAME,)),
    Step(ZONES, look_at_zones, (ZONE_NAMES,)),
)


def steps_for(settings: Settings) -> tuple[Step, ...]:
    """All of them, but for those of a door that the settings leave closed."""
    return (
        Step(GITLAB, look_for_gitlab),
        Step(SERVICE_TOKEN, look_at_service_token, (GITLAB,)),
        Step(RIGHTS, look_at_rights),
        Step(ROUTES, look_at_routes),
        *(_WEB if settings.http.enabled else ()),
        Step(HOST_KEYS, look_at_host_keys),
        *((Step(AUTHORITIES, look_at_authorities),) if settings.ssh.enabled and settings.ssh.user_ca_files else ()),
        Step(SSH_DOOR, look_at_ssh_door, (HOST_KEYS,)),
        Step(PORTS, look_at_ports, (ROUTES,)),
        Step(SSHD, look_at_sshd, (ROUTES,)),
    )

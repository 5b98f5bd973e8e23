"""Why an attempt to connect came to nothing, in words that are few enough for a metric."""

NO_LOGIN = "NO_LOGIN"
"""It ended before a user name was said."""
NO_AUTH = "NO_AUTH"
"""It ended before anything was tried."""
USER_FORMAT = "USER_FORMAT"
"""The user name is none that a workspace could have."""
BANNED = "BANNED"

_ERROR_TYPES = {
    **dict.fromkeys(
        ("token_refused", "malformed_token", "scope_missing", "denied", "withdrawn", "bad_signature"), "AUTH_FAILED"
    ),
    "unknown_workspace": "WS_NOTFOUND",
    **dict.fromkeys(("not_running", "not_started", "read_only", "wake_timeout"), "WS_NOT_RUNNING"),
    **dict.fromkeys(("no_sshd", "unreachable", "handshake", "login_refused", "host_key"), "CONN_FAILED"),
    "gitlab_unavailable": "GITLAB_UNAVAILABLE",
    "too_many": "TOO_MANY",
    "left": "CLIENT_LEFT",
}


def find_error_type(reason: str) -> str:
    """For the reason of a refusal; what has no word of its own is a fault of the gateway."""
    return _ERROR_TYPES.get(reason, "INTERNAL")

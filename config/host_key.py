"""Whether a text is a private host key that the SSH door can use.

The key itself is parsed and forgotten; what is said about it never quotes it.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_CURVES = (SECP256R1, SECP384R1, SECP521R1)  # RFC 5656, section 10.1: the curves SSH has names for
_FORM = "a private key in PEM or OpenSSH format, as `ssh-keygen -t ed25519 -N '' -f FILE` writes it"


def get_host_key_problem(key: bytes) -> str | None:
    """What is wrong with `key`, or None when it is an RSA, ECDSA or Ed25519 private key without a passphrase."""
    load = load_ssh_private_key if key.strip().startswith(_OPENSSH) else load_pem_private_key
    try:
        parsed = load(key.strip() + b"\n", None)
    except TypeError:  # what cryptography raises for a missing passphrase
        return "is protected by a passphrase; remove it with `ssh-keygen -p -N '' -f FILE`"
    except (ValueError, UnsupportedAlgorithm):
        return f"is not {_FORM}"
    if isinstance(parsed, EllipticCurvePrivateKey) and not isinstance(parsed.curve, _CURVES):
        return "is an ECDSA key on a curve that SSH does not know; use P-256, P-384 or P-521"
    if not isinstance(parsed, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        return "is a key of another kind; use RSA, ECDSA or Ed25519"
    return None

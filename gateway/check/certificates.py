"""Are the certificates of the portal and of the workspaces ones that browsers accept?

Judged by the authorities this machine trusts and those of auth.ca_file: a company's own authority is in the browsers
of its people, and for GitLab in that file.
"""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography.x509 import Certificate, DNSName, SubjectAlternativeName, load_der_x509_certificate
from cryptography.x509.extensions import ExtensionNotFound

from gateway.check.model import Finding, Status, fault, ok, unknown
from gateway.check.site import FROM_OUTSIDE, Site, Unresolved

_SOON = timedelta(days=14)  # cert-manager renews 30 days before the end: whatever is left with less, is not renewed
_EXPIRED, _HOSTNAME_MISMATCH = 10, 62  # X509_V_ERR_*, docs.openssl.org/master/man3/X509_STORE_CTX_get_error
_UNTRUSTED = {18: "is signed by itself", 19: "comes from an authority that is not trusted here"} | dict.fromkeys(
    (20, 21), "comes from an authority that is not trusted here, or without its intermediate certificates"
)


async def look_at_certificates(site: Site) -> Finding:
    """That of the portal, then that of each zone."""
    if site.settings.auth.protocol == "http":
        return unknown("auth.protocol is http, which is for development only: browsers would send cookies in the clear")
    findings = [await _look_at(site, host) for host in (site.portal, *map(site.workspace_host, site.zones))]
    faults = [finding for finding in findings if finding.status is Status.FAULT]
    if faults:
        return faults[0]
    advice = next((finding.advice for finding in findings if finding.advice), "")
    return ok("; ".join(finding.detail for finding in findings), advice)


async def _look_at(site: Site, host: str) -> Finding:
    try:
        address = (await site.find_addresses(host))[0]
    except Unresolved as exc:
        return fault(str(exc), "see the step about names")
    try:
        certificate = await _find_certificate(site, address, host, _trusting(site))
    except ssl.SSLCertVerificationError as exc:
        return await _explain(site, address, host, exc)
    except ssl.SSLError as exc:
        return fault(f"{host}:{site.public_port} speaks no TLS: {exc.reason}", "let the ingress or the gateway end TLS")
    except (OSError, TimeoutError) as exc:
        what = f"{host} ({address}) does not answer on port {site.public_port}: {type(exc).__name__}"
        return fault(what, f"check that the ingress or load balancer is there, and firewalls; {FROM_OUTSIDE}")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    advice = f"renew the certificate of {host}: it is valid for {left.days} more days" if left < _SOON else ""
    return ok(f"{host} is valid until {certificate.not_valid_after_utc:%Y-%m-%d}", advice)


async def _explain(site: Site, address: str, host: str, error: ssl.SSLCertVerificationError) -> Finding:
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    shown = ""
    with suppress(OSError, TimeoutError):  # SSLError is an OSError; without the names the finding still stands
        shown = f" (it is for {_names(await _find_certificate(site, address, host, blind))})"
    if error.verify_code == _HOSTNAME_MISMATCH:
        return fault(
            f"the certificate that {host} shows is for other names{shown}",
            f"give the ingress one for {site.portal} and one for each wildcard below it; one that the ingress brings "
            "itself means that it did not find the Secret named in ingress.tls",
        )
    if error.verify_code == _EXPIRED:
        return fault(f"the certificate of {host} has expired{shown}", "renew it")
    how = _UNTRUSTED.get(error.verify_code, f"is not accepted: {error.verify_message}")
    return fault(
        f"the certificate of {host} {how}{shown}",
        "use one of an authority that browsers trust, with its whole chain; for an authority of your own, name its "
        "certificates in auth.ca_file",
    )


async def _find_certificate(site: Site, address: str, host: str, context: ssl.SSLContext) -> Certificate:
    async with asyncio.timeout(site.patience):
        _, writer = await asyncio.open_connection(address, site.public_port, ssl=context, server_hostname=host)
    try:
        return load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


def _trusting(site: Site) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if site.settings.auth.ca_file is not None:
        context.load_verify_locations(cafile=site.settings.auth.ca_file)
    return context


def _names(certificate: Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        listed: list[str] = names.get_values_for_type(DNSName)
    except ExtensionNotFound:
        listed = []
    return ", ".join(listed[:5]) or certificate.subject.rfc4514_string()

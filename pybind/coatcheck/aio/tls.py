"""TLS over a connection: what it is asked to do, and what is wrong where it fails."""

from __future__ import annotations

import errno
import os
import ssl
from typing import Any

from .refused import Refused


def tls_context(target: dict[str, Any]) -> ssl.SSLContext:
    """Made anew for each connection, so that renewed files are used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    oldest = ssl.TLSVersion.TLSv1_3 if target["tls_1_3"] else ssl.TLSVersion.TLSv1_2
    context.minimum_version = oldest
    for option in ("ca_file", "ca_dir", "cert_file", "key_file"):
        _look_at(target, option)
    try:
        if target["ca_file"] or target["ca_dir"]:
            context.load_verify_locations(target["ca_file"], target["ca_dir"])
        else:
            context.load_default_certs()
        if target["cert_file"]:
            # Given as a function, for without one OpenSSL asks at the terminal.
            context.load_cert_chain(
                target["cert_file"], target["key_file"], lambda: target["key_password"] or ""
            )
    except (OSError, ValueError) as error:
        raise Refused(
            "c",
            "file",
            f"a file of the options tls_ca_file, tls_ca_dir, tls_cert_file and tls_key_file cannot"
            f" be used: {type(error).__name__}: {getattr(error, 'strerror', None) or error}",
        ) from error
    return context


def _look_at(target: dict[str, Any], option: str) -> None:
    """OpenSSL would not say which file it is that it cannot open."""
    path = target[option]
    if path is None:
        return
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        # Too few descriptors say nothing of the file, or of the server.
        here = error.errno in (errno.EMFILE, errno.ENFILE)
        kind, reason = ("h", "descriptors") if here else ("c", "file")
        text = f"option tls_{option}: {path} cannot be opened: {error.strerror}"
        raise Refused(kind, reason, text) from error


def tls_failure(target: dict[str, Any], error: ssl.SSLError) -> tuple[str, str, str]:
    """What is wrong, and what to do, in the words of tls.c."""
    host = target["server_name"] or target["host"]
    if isinstance(error, ssl.SSLCertVerificationError):
        unknown = ("certificate", f"its certificate is refused: {error.verify_message}")
        kind, (reason, text) = "t", _CERTIFICATES.get(error.verify_code, unknown)
    else:
        said = (error.reason or "").rpartition("ALERT_")[2]
        failed = ("u", "tls", f"TLS failed: {error.reason or error}")
        kind, reason, text = _COMPLAINTS.get(said, failed)
    return kind, reason, f"{target['name']}: {text.replace('HOST', host)}"


# By OpenSSL's numbers, X509_V_ERR_.
_CERTIFICATES = {
    **dict.fromkeys(
        (2, 7, 18, 19, 20, 21, 27),
        (
            "ca",
            "its certificate comes from no authority that is trusted here; set tls_ca_file to a"
            " file with the right one",
        ),
    ),
    **dict.fromkeys(
        (62, 64),
        (
            "name",
            "its certificate is not for HOST; connect to a name that stands in its subjectAltName,"
            " or set tls_server_name to one",
        ),
    ),
    9: (
        "early",
        "its certificate is not valid yet; correct the clock of this host, or renew the certificate"
        " on the server",
    ),
    10: (
        "expired",
        "its certificate has expired; renew it on the server, or correct the clock of this host",
    ),
}

# By OpenSSL's reasons, where they came as an alert by what follows ALERT_.
_COMPLAINTS = {
    **dict.fromkeys(
        (
            "BAD_CERTIFICATE",
            "UNSUPPORTED_CERTIFICATE",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_UNKNOWN",
            "UNKNOWN_CA",
            "ACCESS_DENIED",
            "CERTIFICATE_REQUIRED",
        ),
        (
            "t",
            "client",
            "the server refuses our certificate, or wants one; set tls_cert_file and tls_key_file"
            " to one from an authority that it trusts",
        ),
    ),
    **dict.fromkeys(
        (
            "PROTOCOL_VERSION",
            "HANDSHAKE_FAILURE",
            "INSUFFICIENT_SECURITY",
            "UNSUPPORTED_PROTOCOL",
            "NO_PROTOCOLS_AVAILABLE",
            "WRONG_SSL_VERSION",
        ),
        (
            "u",
            "protocol",
            "no version and cipher of TLS in common; it must allow TLS 1.2 or newer, and what"
            " tls_min_version says (if it wants a certificate of ours, set tls_cert_file)",
        ),
    ),
}

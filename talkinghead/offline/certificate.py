"""Who signs: a certificate of the user's own, or one made for the occasion."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkinghead.errors import ProvenanceError

_YEARS = 10


@dataclass(frozen=True)
class Certificate:
    """chain: PEM certificates, the signer's first; key: PEM private key; algorithm: C2PA's name of it."""

    chain: bytes
    key: bytes
    algorithm: str


def self_made() -> Certificate:
    """A new key and certificate. Nobody vouches for it: it shows that a file is unchanged, not who signed. The key is never
    written anywhere, so that nobody can sign with it later."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talkinghead (self-made)")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, now = named("self-made root"), datetime.datetime.now(datetime.timezone.utc)

    def begun(name: x509.Name, public: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    root = begun(root_name, root_key.public_key()).add_extension(x509.BasicConstraints(True, 0), critical=True)
    root = root.add_extension(_usage(x509, key_cert_sign=True, crl_sign=True), critical=True)
    signer = begun(named("one run of talkinghead"), key.public_key())
    signer = signer.add_extension(x509.BasicConstraints(False, None), critical=True)
    signer = signer.add_extension(_usage(x509, digital_signature=True), critical=True)
    signer = signer.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    chain = b"".join(_pem(builder.sign(root_key, hashes.SHA256())) for builder in (signer, root))
    return Certificate(chain, _pem_key(key), "es256")


def own(certificate: str | Path, key: str | Path) -> Certificate:
    """The certificate chain and the key of two PEM files; ProvenanceError, one line, where they cannot be used."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        chain = x509.load_pem_x509_certificates(Path(certificate).read_bytes())
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"{certificate} is no PEM certificate: give the signer's chain, its own first ({error})") from None
    try:
        private = load_pem_private_key(Path(key).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ProvenanceError(f"{key} is no PEM key without a password: {error}") from None
    if private.public_key() != chain[0].public_key():
        raise ProvenanceError(f"{key} is not the key of {certificate}: give those that belong together")
    return Certificate(b"".join(map(_pem, chain)), _pem_key(private), _algorithm(private))


def _algorithm(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in (256, 384, 521):
        return {256: "es256", 384: "es384", 521: "es512"}[key.curve.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise ProvenanceError("this kind of key cannot sign C2PA manifests: use P-256, P-384, P-521, Ed25519 or RSA from 2048 bits")


def _usage(x509: Any, **wanted: bool) -> Any:
    names = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.PEM))


def _pem_key(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

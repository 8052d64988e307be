"""Certificates, keys and JWTs for the tests of the Vault provider, written into the folder that is the first argument."""
import base64
import datetime
import ipaddress
import json
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

folder = Path(sys.argv[1])
day = datetime.timedelta(days=1)
now = datetime.datetime.now(datetime.timezone.utc)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(stem, key, cert):
    (folder / f"{stem}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{stem}.key").write_bytes(key.private_bytes(*encoding))


def authority(stem):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(name(stem)).issuer_name(name(stem)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - 2 * day).not_valid_after(now + day)
    cert = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    write(stem, key, cert)
    return key, cert


def leaf(stem, issuer, names, usage, until=now + day):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(name(stem)).issuer_name(issuer[1].subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - 2 * day).not_valid_after(until)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    write(stem, key, builder.sign(issuer[0], hashes.SHA256()))


ca, other = authority("ca"), authority("other-ca")
server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
leaf("server", ca, [x509.DNSName("vault.internal")], server)
leaf("expired", ca, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], server, until=now - day)
leaf("client", ca, [x509.DNSName("web")], client)
leaf("stranger", other, [x509.DNSName("web")], client)

key = ec.generate_private_key(ec.SECP256R1())
public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
(folder / "jwt.pub").write_bytes(public)


def jwt(stem, **claims):
    encode = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
    head = encode(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
    issued = int(time.time()) - 7200
    body = {"sub": "web", "aud": "vault", "iat": issued, "exp": issued + 14400, **claims}
    signed = head + b"." + encode(json.dumps(body).encode())
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    (folder / f"{stem}.jwt").write_bytes(signed + b"." + encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")) + b"\n")


jwt("good")
jwt("audience", aud="canary")
jwt("subject", sub="canary")
jwt("old", exp=int(time.time()) - 3600)

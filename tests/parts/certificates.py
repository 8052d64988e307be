"""Makes the keys, certificates and tokens of one run of the suite in the folder given."""

import base64
import datetime
import ipaddress
import json
import os
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

folder = sys.argv[1]
now = datetime.datetime.now(datetime.timezone.utc)


def write(name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(os.path.join(folder, name), 0o644)


def pem_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(title, file):
    key = ec.generate_private_key(ec.SECP256R1())
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"], False)
    certificate = (
        x509.CertificateBuilder().subject_name(name(title)).issuer_name(name(title)).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(ski, critical=False).sign(key, hashes.SHA256()))
    write(file, certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def leaf(title, file, ca, names, purpose, until):
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key, ca_certificate = ca
    builder = (
        x509.CertificateBuilder().subject_name(name(title)).issuer_name(ca_certificate.subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    write(file + ".pem", builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    write(file + ".key", pem_key(key))


later = now + datetime.timedelta(days=1)
ca = authority("the suite's CA", "ca.pem")
other = authority("another CA", "other-ca.pem")
here = [x509.DNSName("localhost"), x509.DNSName("bao.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
leaf("server", "server", ca, here, ExtendedKeyUsageOID.SERVER_AUTH, later)
leaf("server", "next-server", ca, here, ExtendedKeyUsageOID.SERVER_AUTH, later)
leaf("server", "foreign-server", other, here, ExtendedKeyUsageOID.SERVER_AUTH, later)
leaf("named", "named", ca, [x509.DNSName("bao.test")], ExtendedKeyUsageOID.SERVER_AUTH, later)
leaf("expired", "expired", ca, here, ExtendedKeyUsageOID.SERVER_AUTH, now - datetime.timedelta(minutes=5))
leaf("web", "client", ca, [x509.DNSName("web.test")], ExtendedKeyUsageOID.CLIENT_AUTH, later)
leaf("web", "foreign-client", other, [x509.DNSName("web.test")], ExtendedKeyUsageOID.CLIENT_AUTH, later)

jwt_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
foreign_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
write("jwt.pub", jwt_key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def jwt(file, claims, key=jwt_key, life=86400):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"iat": int(time.time()) - 7200, "nbf": int(time.time()) - 7200, "exp": int(time.time()) + life, **claims}
    head = part(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "suite"}).encode())
    signed = head + b"." + part(json.dumps(claims).encode())
    write(file, signed + b"." + part(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())) + b"\n")


def service_account(namespace, account):
    return {
        "iss": "https://kubernetes.default.svc", "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "0b5d-" + account}},
    }


jwt("reviewer.jwt", {"aud": ["https://kubernetes.default.svc"], **service_account("kube-system", "vault-reviewer")})
jwt("pod.jwt", {"aud": ["vault"], **service_account("default", "web")})
jwt("pod-other-audience.jwt", {"aud": ["somebody-else"], **service_account("default", "web")})
jwt("pod-other-account.jwt", {"aud": ["vault"], **service_account("default", "other")})
jwt("web.jwt", {"iss": "https://issuer.test", "aud": "vault", "sub": "web"})
jwt("expired.jwt", {"iss": "https://issuer.test", "aud": "vault", "sub": "web"}, life=-3600)
jwt("foreign.jwt", {"iss": "https://issuer.test", "aud": "vault", "sub": "web"}, key=foreign_key)

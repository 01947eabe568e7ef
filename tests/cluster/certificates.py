"""Certificates for a test, made by openssl in a folder."""
import os
import subprocess


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")


def certificate(folder, name, issuer, subject="IP:127.0.0.1,DNS:localhost"):
    (folder / "ext").write_text(f"subjectAltName={subject}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
    openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/{issuer}.pem", "-CAkey",
            f"{folder}/{issuer}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{folder}/ext",
            "-out", f"{folder}/{name}.pem")
    os.chmod(folder / f"{name}.key", 0o600)

"""Certificates that sign themselves."""

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, with its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    made = folder / "made.pem"
    subprocess.run(
        [*command, *subject, "-keyout", str(made), "-out", str(cert) + ".new"], check=True, capture_output=True
    )
    made.replace(key)
    Path(str(cert) + ".new").replace(cert)
    return cert, key

"""Secrets that both sides have: TCP-MD5 passwords and group keys, on the first line of a file of their own."""

from __future__ import annotations

from pathlib import Path

from softmesh.secret_file import SecretFileError, read_secret

MAX_FILE_OCTETS = 4096
MAX_PASSWORD_OCTETS = 80
"""Linux' TCP_MD5SIG_MAXKEYLEN."""
MIN_GROUP_KEY_OCTETS = 20
"""Whoever is in the middle of one IKE_AUTH can try keys at leisure (RFC 7296 §2.15): what is short will be found."""
MAX_GROUP_KEY_OCTETS = 256


def read_password(path: Path) -> str:
    """Read a TCP-MD5 password: the first line of a file that only its owner may be able to read.

    Raises SecretFileError, whose text never has any of the content.
    """
    password = _read_line(path, "password", "write the password of the BGP session into it")
    if len(password) > MAX_PASSWORD_OCTETS:
        raise SecretFileError(
            str(path),
            f"the password has {len(password)} octets, {MAX_PASSWORD_OCTETS} are allowed",
            "use a shorter one",
        )
    return _printable(path, password, "password").decode("ascii")


def read_group_key(path: Path) -> bytes:
    """Read the key of a group, on the same conditions; 20 to 256 octets. Raises SecretFileError."""
    key = _read_line(path, "group key", "make one with softmesh keygen --group-key")
    if not MIN_GROUP_KEY_OCTETS <= len(key) <= MAX_GROUP_KEY_OCTETS:
        raise SecretFileError(
            str(path),
            f"the group key has {len(key)} octets, {MIN_GROUP_KEY_OCTETS} to {MAX_GROUP_KEY_OCTETS} are allowed",
            "make one with softmesh keygen --group-key",
        )
    return _printable(path, key, "group key")


def _read_line(path: Path, what: str, remedy: str) -> bytes:
    line, _, rest = read_secret(path, MAX_FILE_OCTETS, what).partition(b"\n")
    if rest.strip():
        raise SecretFileError(str(path), f"the {what} file has more than one line", f"keep the {what} only")
    if not (line := line.removesuffix(b"\r")):
        raise SecretFileError(str(path), f"the {what} file is empty", remedy)
    return line


def _printable(path: Path, secret: bytes, what: str) -> bytes:
    if not all(0x21 <= octet <= 0x7E for octet in secret):
        raise SecretFileError(
            str(path), f"the {what} has blanks or characters outside ASCII", "use letters, digits and punctuation"
        )
    return secret

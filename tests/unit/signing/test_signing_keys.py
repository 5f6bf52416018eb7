"""Keys: cosign's files and openssl's, each read by somebody else where somebody else is there."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from slimstage.errors import UsageError
from slimstage.signing.keys import encrypted_pem, new_private_key, read_private_key, read_public_key
from slimstage.signing.secretbox import seal, unseal


def unasked() -> NoReturn:
    raise AssertionError("a password was asked for")


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def plain() -> bytes:
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def test_secretbox_gives_the_published_example() -> None:
    # "Cryptography in NaCl", section 10.
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    message = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41d"
        "b66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a0"
        "89bc76897040e082f937763848645e0705"
    )
    box = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4d"
        "a7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da9983"
        "2b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert seal(message, nonce, key) == box
    assert unseal(box, nonce, key) == message
    assert unseal(box[:-1] + b"\0", nonce, key) is None
    assert unseal(box[:10], nonce, key) is None
    assert unseal(box, nonce, bytes(32)) is None


def test_a_key_of_cosigns_form_is_read_with_its_password_only() -> None:
    key = new_private_key()
    pem = encrypted_pem(key, b"hunter2", work=1024)
    assert pem.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    for old in (pem, pem.replace(b"SIGSTORE", b"COSIGN")):
        read = read_private_key(old, "cosign.key", lambda: b"hunter2")
        assert read.public().pem() == key.public().pem()
    with pytest.raises(UsageError, match="password") as caught:
        read_private_key(pem, "cosign.key", lambda: b"hunter3")
    assert caught.value.code == "wrong-password"


def test_a_signature_is_verified_by_openssl_and_openssls_by_us(tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "key").write_bytes(plain)
    key = read_private_key(plain, "key", unasked)
    (tmp_path / "pub").write_bytes(key.public().pem())
    (tmp_path / "data").write_bytes(b"what is signed")
    (tmp_path / "sig").write_bytes(key.sign(b"what is signed"))
    check = ("dgst", "-sha256", "-verify", str(tmp_path / "pub"), "-signature", str(tmp_path / "sig"))
    assert openssl(*check, str(tmp_path / "data")) == b"Verified OK\n"
    theirs = openssl("dgst", "-sha256", "-sign", str(tmp_path / "key"), data=b"theirs")
    public = read_public_key(openssl("pkey", "-in", str(tmp_path / "key"), "-pubout"), "pub")
    assert public.pem() == key.public().pem()
    assert public.verifies(theirs, b"theirs")
    assert not public.verifies(theirs, b"others")
    assert not public.verifies(b"", b"theirs")
    assert not new_private_key().public().verifies(theirs, b"theirs")


@pytest.mark.parametrize(
    "kind",
    [("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), ("ED25519",), ("EC", "-pkeyopt", "ec_paramgen_curve:P-384")],
    ids=lambda kind: str(kind[0]),
)
def test_other_public_keys_of_cosign_verify_too(tmp_path: Path, kind: tuple[str, ...]) -> None:
    private = str(tmp_path / "key")
    (tmp_path / "key").write_bytes(openssl("genpkey", "-algorithm", *kind))
    (tmp_path / "data").write_bytes(b"data")
    public = read_public_key(openssl("pkey", "-in", private, "-pubout"), "pub")
    if kind[0] == "ED25519":
        signature = openssl("pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", str(tmp_path / "data"))
    else:
        signature = openssl("dgst", "-sha256", "-sign", private, str(tmp_path / "data"))
    assert public.verifies(signature, b"data")
    assert not public.verifies(signature, b"date")


def test_openssls_encrypted_keys_are_read_and_both_forms_of_plain_ones(tmp_path: Path, plain: bytes) -> None:
    want = read_private_key(plain, "key", unasked).public().pem()
    encrypted = openssl("pkcs8", "-topk8", "-passout", "pass:secret", data=plain)
    assert read_private_key(encrypted, "key", lambda: b"secret").public().pem() == want
    with pytest.raises(UsageError, match="password"):
        read_private_key(encrypted, "key", lambda: b"wrong")
    assert read_private_key(openssl("ec", data=plain), "key", unasked).public().pem() == want


def test_what_is_no_key_says_so(plain: bytes) -> None:
    rsa = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    for data, text in ((b"hello", "no private key"), (rsa, "no ECDSA key"), (plain[:60], "no private key")):
        with pytest.raises(UsageError, match=text) as caught:
            read_private_key(data, "k", unasked)
        assert caught.value.code == "bad-key"
    with pytest.raises(UsageError, match="no public key") as caught:
        read_public_key(plain, "cosign.key")
    assert "public key, cosign.pub" in str(caught.value.hint)


def damaged(**changes: object) -> bytes:
    """cosign's form with other values in its document."""
    pem = encrypted_pem(new_private_key(), b"", work=1024).decode()
    head, *lines, tail = pem.splitlines()
    document = json.loads(base64.b64decode("".join(lines)))
    for path, value in changes.items():
        place, *names = path.split("__")
        if names:
            inner = document[place]
            for name in names[:-1]:
                inner = inner[name]
            inner[names[-1]] = value
        else:
            document[place] = value
    return "\n".join([head, base64.b64encode(json.dumps(document).encode()).decode(), tail]).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf__params__N": 1 << 40},
        {"kdf__params__N": 1000},
        {"kdf__params__r": 1 << 30},
        {"kdf__params__p": 0},
        {"kdf__params__N": "many"},
        {"kdf__name": "argon2"},
        {"cipher__nonce": "AAAA"},
        {"cipher": None},
        {"ciphertext": "@@@"},
    ],
    ids=str,
)
def test_parameters_of_a_key_file_are_bounded(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        read_private_key(damaged(**changes), "cosign.key", unasked)
    assert caught.value.code == "bad-key"


def test_without_the_extra_a_hint_says_what_to_install() -> None:
    program = (
        "import sys\nsys.modules['cryptography'] = None\n"
        "from slimstage.errors import UsageError\nfrom slimstage.signing.keys import read_public_key\n"
        "try:\n    read_public_key(b'', 'k')\nexcept UsageError as error:\n    print(error.code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == 'extra-missing pip install "slimstage[sign]"\n'

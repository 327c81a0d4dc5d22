"""Who made a bundle: `bundle key`, `sign`, `verify --signed-by` and what `show` says of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.bundle import keys, signature
from copersona.runtime.bundle.manifest import MANIFEST, SIGNATURE, check_path
from copersona.runtime.bundle.signature import signer
from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import BundleError
from copersona.runtime.session.session import open_bundle

from ...conftest import DEMO
from ...random_models import qwen2
from ...small_bundle import small_bundle
from .conftest import fails, works

minisign = pytest.importorskip("minisign")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")

PASS = "correct horse"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    return small_bundle(folder / "bundle", qwen2(folder / "model.gguf"), DEMO / "facets.json")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "OPERATIONS", 1 << 15)
    monkeypatch.setattr(keys, "MEMORY", 1 << 20)


def told(passphrase: str, *arguments: object) -> str:
    """Standard output of a call that reads a passphrase from a descriptor, or its one line of error."""
    reader, writer = os.pipe()
    try:
        os.write(writer, passphrase.encode() + b"\n")
        result = CliRunner().invoke(main, ["--passphrase-fd", str(reader), *map(str, arguments)])
    finally:
        os.close(reader)
        os.close(writer)
    assert result.exit_code in (0, 1), result.output
    assert len((result.stderr or "x").splitlines()) == 1
    return result.stdout if result.exit_code == 0 else result.stderr


def new_key(path: Path) -> Path:
    told(PASS, "bundle", "key", path)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path / "acme.key")


def public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def sign(bundle: Path, key: Path, name: str = "acme/guitars") -> str:
    return told(PASS, "bundle", "sign", bundle, "--key", key, "--name", name)


def test_a_signed_bundle_says_who_made_it_and_has_the_ids_that_it_had(bundle: Path, key: Path) -> None:
    before = open_manifest(bundle)
    assert works("bundle", "verify", bundle).endswith(", unsigned\n")
    assert "unsigned" in works("bundle", "show", bundle).splitlines()
    said = sign(bundle, key)
    assert open_manifest(bundle) == before
    text = public(key).read_text().splitlines()[1]
    assert "signed as acme/guitars by key " in said
    assert text in said
    for how in ((), ("--signed-by", text), ("--signed-by", public(key))):
        line = works("bundle", "verify", bundle, *how)
        assert f"bundle {before.bundle_id[:12]}, signed as acme/guitars by key " in line
        assert ", known since 20" in line
    assert "\nsigned as acme/guitars by key " in works("bundle", "show", bundle)
    shown = json.loads(works("bundle", "show", bundle, "--json"))
    assert (shown["signed"]["name"], shown["signed"]["key"]) == ("acme/guitars", text)
    assert shown["population_id"] == before.population_id
    assert json.loads(works("bundle", "verify", bundle, "--json"))["signed"] == shown["signed"]


def test_the_signature_is_one_of_minisign_by_its_own_description(bundle: Path, key: Path) -> None:
    """Ed25519 over the BLAKE2b of the manifest, and over that signature and the comment."""
    sign(bundle, key)
    _, line, comment, whole = (bundle / SIGNATURE).read_text().splitlines()
    raw, pair = base64.b64decode(line), base64.b64decode(public(key).read_text().splitlines()[1])
    assert (raw[:2], pair[:2], raw[2:10]) == (b"ED", b"Ed", pair[2:10])
    verifier = ed25519.Ed25519PublicKey.from_public_bytes(pair[10:])
    verifier.verify(raw[10:], hashlib.blake2b((bundle / MANIFEST).read_bytes()).digest())
    verifier.verify(base64.b64decode(whole), raw[10:] + comment.removeprefix("trusted comment: ").encode())


def test_keys_are_sealed_their_owners_alone_and_never_overwritten(key: Path, tmp_path: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    secret = minisign.SecretKey.from_file(key)
    assert secret.is_encrypted()
    before = key.read_bytes()
    assert "is there already" in told(PASS, "bundle", "key", key)
    assert key.read_bytes() == before
    assert "empty passphrase" in told("", "bundle", "key", tmp_path / "other.key")
    assert not (tmp_path / "other.key").exists()
    assert "no terminal to ask for the passphrase" in fails("bundle", "key", tmp_path / "other.key")


def test_an_interactive_key_is_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from copersona.runtime.cli import passphrase as asked

    typed = iter([PASS, PASS, "one", "another"])
    monkeypatch.setattr(asked, "_has_terminal", lambda: True)
    monkeypatch.setattr(asked.getpass, "getpass", lambda question: next(typed))
    works("bundle", "key", tmp_path / "a.key")
    assert "the two passphrases differ" in fails("bundle", "key", tmp_path / "b.key")


def test_what_opens_no_key_signs_nothing(bundle: Path, key: Path, tmp_path: Path) -> None:
    assert "wrong password" in told("another", "bundle", "sign", bundle, "--key", key)
    assert "no secret key" in told(PASS, "bundle", "sign", bundle, "--key", public(key))
    assert "cannot be read" in told(PASS, "bundle", "sign", bundle, "--key", tmp_path / "none")
    assert "is no name" in sign(bundle, key, "two words")
    (bundle / "README.md").write_text("changed")
    assert "README.md" in sign(bundle, key)
    assert not (bundle / SIGNATURE).exists()


def test_a_key_without_a_passphrase_signs_without_asking_under_the_folders_name(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.key").write_bytes(bytes(minisign.KeyPair.generate().secret_key))
    assert "signed as bundle by key " in works("bundle", "sign", bundle, "--key", tmp_path / "plain.key")


def changed_settings(bundle: Path, base: str = "better") -> None:
    """Another manifest of the same files: the model is called otherwise, all hashes are right."""
    manifest = open_manifest(bundle)
    (bundle / MANIFEST).unlink()
    roles = {row.path: row.role for row in manifest.files}
    write_manifest(bundle, roles, manifest.shapes, {**manifest.settings, "base": base})


def refused(bundle: Path, *words: str) -> None:
    """By `verify`, `show` and whoever opens it, each in one line."""
    for command in ("verify", "show"):
        line = fails("bundle", command, bundle)
        assert all(word in line for word in words), line
    with pytest.raises(BundleError, match=words[0]):
        open_bundle(bundle).close()


def test_promise_a_changed_signed_bundle_is_refused(bundle: Path, key: Path) -> None:
    sign(bundle, key)
    works("bundle", "verify", bundle)
    changed_settings(bundle)
    refused(bundle, "does not fit manifest.json")
    assert "does not fit" in fails("bundle", "verify", bundle, "--signed-by", public(key))
    sign(bundle, key)
    works("bundle", "verify", bundle)
    with open(bundle / "README.md", "a") as file:
        file.write("more")
    assert "README.md: changed" in fails("bundle", "verify", bundle, "--signed-by", public(key))


def test_promise_another_key_is_refused(bundle: Path, key: Path, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other.key")
    sign(bundle, key)
    works("bundle", "show", bundle)
    changed_settings(bundle)
    sign(bundle, other, "ACME/guitars")
    refused(bundle, "signed as ACME/guitars by key ", "--new-key")
    assert "--new-key" in fails("bundle", "verify", bundle, "--signed-by", public(other))
    assert "is not who you asked for" in fails("bundle", "verify", bundle, "--signed-by", public(key))
    works("bundle", "verify", bundle, "--signed-by", public(other), "--new-key")
    works("bundle", "show", bundle)
    changed_settings(bundle, "best")
    sign(bundle, key)
    refused(bundle, "signed as acme/guitars by key ")
    sign(bundle, key, "elsewhere")
    works("bundle", "verify", bundle)


def test_a_new_key_must_be_named(bundle: Path, key: Path) -> None:
    result = CliRunner().invoke(main, ["bundle", "verify", str(bundle), "--new-key"])
    assert (result.exit_code, "--new-key goes with --signed-by" in result.output) == (2, True)


def test_no_signature_where_one_is_asked_for_is_refused(bundle: Path, key: Path) -> None:
    assert "not signed" in fails("bundle", "verify", bundle, "--signed-by", public(key))
    sign(bundle, key)
    for none in ("nonsense", key, MANIFEST, "RW" + "A" * 54, "é"):
        assert fails("bundle", "verify", bundle, "--signed-by", none).startswith("error: ")


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda raw: b"", "no signature of minisign"),
    "cut": (lambda raw: raw[:-40], "no signature of minisign"),
    "a line less": (lambda raw: raw[: raw.index(b"trusted")], "no signature of minisign"),
    "huge": (lambda raw: raw + b"x" * 10**6, "longer than"),
    "not UTF-8": (lambda raw: raw.replace(b"trusted comment: t", b"trusted comment: \xff"), "no signature of minisign"),
    "another comment": (lambda raw: raw.replace(b"acme", b"evil"), "does not fit manifest.json"),
    "a colour": (lambda raw: raw.replace(b"name:acme", b"name:\x1b[31mevil"), "the name in it is none"),
    "a turned name": (lambda raw: raw.replace(b"name:acme", "name:\u202ea".encode()), "the name in it is none"),
    "a key of nobody": (lambda raw: raw.replace(b"key:RW", b"key:\x1b[2J"), "is no public key"),
    "zeros": (lambda raw: bytes(len(raw)), "no signature of minisign"),
    "base64 that is none": (lambda raw: raw.replace(b"\nRU", b"\n\x1b]0;"), "no signature of minisign"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_signature_is_refused_in_a_line_that_a_terminal_obeys_not(case: str, bundle: Path, key: Path) -> None:
    spoil, said = SPOILT[case]
    sign(bundle, key)
    (bundle / SIGNATURE).write_bytes(spoil((bundle / SIGNATURE).read_bytes()))
    refused(bundle, SIGNATURE, said)
    assert fails("bundle", "verify", bundle).isprintable()


def test_a_hostile_comment_that_is_signed_is_never_shown(bundle: Path) -> None:
    """By a maker who writes signatures with a tool of their own."""
    pair = minisign.KeyPair.generate()
    real = minisign.secret_key.check_comment
    minisign.secret_key.check_comment = lambda comment: None
    try:
        for comment in ("\x1b[2J\x1b]0;obey\x07", "name:\x1b[31m", "timestamp:\u202e1\tname:a\rb"):
            made = pair.secret_key.sign((bundle / MANIFEST).read_bytes(), trusted_comment=comment)
            (bundle / SIGNATURE).write_bytes(bytes(made))
            for how in ((), ("--signed-by", pair.public_key.to_base64().decode())):
                result = CliRunner().invoke(main, ["bundle", "verify", str(bundle), *how])
                assert result.exit_code == ("name:" in comment)
                assert (result.stdout + result.stderr).replace("\n", "").isprintable()
    finally:
        minisign.secret_key.check_comment = real


def test_a_signature_of_another_bundle_is_refused(bundle: Path, key: Path, made: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(made, tmp_path / "other"))
    changed_settings(other)
    sign(other, key)
    shutil.copyfile(other / SIGNATURE, bundle / SIGNATURE)
    refused(bundle, "another bundle's")


def test_a_signature_that_is_a_link_or_listed_is_refused(bundle: Path, key: Path, tmp_path: Path) -> None:
    sign(bundle, key)
    (bundle / SIGNATURE).rename(tmp_path / "kept")
    (bundle / SIGNATURE).symlink_to(tmp_path / "kept")
    refused(bundle, "a link")
    with pytest.raises(ValueError, match="does not list itself"):
        check_path(SIGNATURE)


def test_a_signature_of_minisigns_own_is_checked_where_the_key_is_given(bundle: Path) -> None:
    pair = minisign.KeyPair.generate()
    pair.secret_key.sign_file(bundle / MANIFEST, prehash=True, drop_signature=True)
    assert "not checked: it does not hold its key" in works("bundle", "verify", bundle)
    text = pair.public_key.to_base64().decode()
    assert ", signed by key " in works("bundle", "verify", bundle, "--signed-by", text)
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    assert "is not who you asked for" in fails("bundle", "verify", bundle, "--signed-by", other)


def test_a_thin_bundle_is_signed_and_the_assembled_one_says_so(bundle: Path, key: Path, tmp_path: Path) -> None:
    thin = Path(shutil.copytree(DEMO, tmp_path / "thin", copy_function=os.link))
    assert open_manifest(thin).thin
    sign(thin, key)
    assert ", signed as acme/guitars by key " in works("bundle", "verify", thin)
    (thin / SIGNATURE).write_bytes((thin / SIGNATURE).read_bytes().replace(b"acme", b"evil"))
    assert "does not fit" in fails("bundle", "verify", thin)
    assert "does not fit" in fails("bundle", "assemble", thin, "--out", tmp_path / "whole")
    manifest = open_manifest(bundle)
    of = replace(manifest, settings={**manifest.settings, "assembled_from": "ab\ncd" * 9})
    (bundle / MANIFEST).write_text(of.to_json())
    shown = works("bundle", "show", bundle).splitlines()
    assert "unsigned; assembled from the thin bundle ab␊cdab␊cdab, which may be signed" in shown


def test_without_the_package_signed_bundles_work_as_unsigned_ones(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(bundle, key)
    monkeypatch.setattr(signature, "_installed", lambda: False)
    assert "signed, not checked: that needs pip install" in works("bundle", "verify", bundle)
    assert "not installed; run: pip install" in fails("bundle", "verify", bundle, "--signed-by", public(key))
    assert "not installed; run: pip install" in sign(bundle, key)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"pins": [{"name": "a"}]}', b'{"pins": 3}', b"[" * 10**5])
def test_kept_keys_that_cannot_be_read_are_one_line(content: bytes, bundle: Path, key: Path, home: Path) -> None:
    sign(bundle, key)
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "publishers.json").write_bytes(content)
    assert "publishers.json: the keys of signed bundles cannot be read" in fails("bundle", "verify", bundle)


def test_kept_keys_are_their_owners_alone(bundle: Path, key: Path, home: Path) -> None:
    sign(bundle, key)
    works("bundle", "verify", bundle)
    assert (home / "publishers.json").stat().st_mode & 0o777 == 0o600


def test_any_change_of_a_signature_is_refused_or_changes_nothing(bundle: Path, key: Path) -> None:
    sign(bundle, key)
    manifest, raw = open_manifest(bundle), (bundle / SIGNATURE).read_bytes()
    right = signer(bundle, manifest)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(raw) - 1), st.integers(0, 255))
    def held(at: int, byte: int) -> None:
        (bundle / SIGNATURE).write_bytes(raw[:at] + bytes([byte]) + raw[at + 1 :])
        with contextlib.suppress(BundleError):  # base64 has bits that count for nothing, and the first line is unsigned
            assert signer(bundle, manifest) == right

    held()

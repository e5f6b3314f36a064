"""Access to servers: passwords, TLS, credentials files; what is secret is never said."""

import base64
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import nkeys
import orjson
import pytest
from fleet_logs import argv, log, ship
from fleet_stream import count
from nats_server import running, url_with


def test_credentials_are_used_and_never_said(wrapper, tmp_path):
    log(wrapper, "run", 5)
    with running(tmp_path / "auth", 'authorization { user: me, password: "s3cr:et" }') as server:
        wrong = subprocess.run(
            argv(url_with(server.url, "me:wr0ng"), "--patience", "1s"), env=wrapper.env, capture_output=True, timeout=30
        )
        assert wrong.returncode == 125
        assert b"Authorization" in wrong.stderr
        assert b"wr0ng" not in wrong.stderr
        said = ship(wrapper, url_with(server.url, "me:s3cr%3Aet"))
        assert "s3cr" not in said
        assert count(server.url, user="me", password="s3cr:et") == 7
    state = wrapper.state / "agentmon" / "ship"
    for path in state.iterdir():
        assert "s3cr" not in path.read_text() + path.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://x:1", "nats://HOST:PORT"),
        ("nats://", "nats://HOST:PORT"),
        ("nats://me:s3cret@host:port", "nats://HOST:PORT"),
        ("x", "nats://HOST:PORT"),
    ],
)
def test_bad_addresses(url, what, wrapper):
    done = subprocess.run(argv(url), env=wrapper.env, capture_output=True, timeout=30)
    assert done.returncode == 125
    assert what in done.stderr.decode()
    assert b"s3cret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x*", ">", "../x", "x\\y", "x" * 300, "x\ny", "é"])
@pytest.mark.parametrize(
    "command",
    [
        ["ship", "--to", "nats://h", "--stream"],
        ["ingest", "--from", "nats://h", "--to", "postgresql:///x", "--durable"],
    ],
)
def test_names_that_nats_does_not_take(command, name, wrapper):
    done = subprocess.run(
        [sys.executable, "-m", "agentmon", *command, name], env=wrapper.env, capture_output=True, timeout=30
    )
    assert done.returncode == 125
    assert b"is no name for NATS" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_without_jetstream(wrapper, tmp_path):
    log(wrapper, "run", 5)
    with running(tmp_path / "bare") as server:
        server.kill()
        conf = server.folder / "nats.conf"
        conf.write_text(conf.read_text().splitlines()[0] + "\n")
        server.start()
        done = subprocess.run(argv(server.url, "--patience", "1s"), env=wrapper.env, capture_output=True, timeout=30)
    assert done.returncode == 125
    assert "JetStream is not enabled there" in done.stderr.decode()


def test_tls(wrapper, tmp_path):
    program = shutil.which("openssl") or pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    log(wrapper, "run", 5)
    with running(tmp_path / "tls", f'tls {{ cert_file: "{cert}", key_file: "{key}" }}') as server:
        url = server.url.replace("nats://", "tls://")
        unknown = subprocess.run(argv(url, "--patience", "1s"), env=wrapper.env, capture_output=True, timeout=30)
        assert unknown.returncode == 125
        assert b"certificate" in unknown.stderr
        assert "7 events shipped" in ship(wrapper, url, "--tls-ca", str(cert))
        assert "0 events shipped" in ship(wrapper, server.url, "--tls-ca", str(cert))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--tls-ca", "{bad}"], "bad.pem: not the PEM files that TLS needs"),
        (["--tls-cert", "{bad}", "--tls-key", "{bad}"], "bad.pem: not the PEM files that TLS needs"),
        (["--tls-key", "{bad}"], "a key goes with its certificate"),
        (["--creds", "{bad}"], "not a NATS credentials file"),
    ],
)
@pytest.mark.parametrize("command", [["ship", "--to"], ["serve", "--port", "0", "--from"], ["tail", "-f", "--from"]])
def test_bad_files_are_told_at_once(command, options, what, wrapper, tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("no PEM")
    words = [word.format(bad=bad) for word in options]
    done = subprocess.run(
        [sys.executable, "-m", "agentmon", *command, "tls://127.0.0.1:1", *words],
        env=wrapper.env, capture_output=True, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 125
    assert what in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


class Signer:
    """A key of NATS' own kind, and the tokens that it signs."""

    def __init__(self, prefix: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def token(self, subject: str, name: str, claims: dict[str, object]) -> str:
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {"jti": name, "iat": int(time.time()), "iss": self.public, "name": name, "sub": subject,
                "nats": {**claims, "version": 2}}  # fmt: skip
        text = ".".join(_base64(orjson.dumps(part)) for part in (head, body))
        return f"{text}.{_base64(self._pair.sign(text.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _credentials(folder: Path) -> tuple[str, Path]:
    """A server's configuration with an operator and an account, and the credentials file of a user."""
    operator, account, user = (
        Signer(prefix) for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    system = Signer(nkeys.PREFIX_BYTE_ACCOUNT)
    none = {"subs": -1, "data": -1, "payload": -1}
    limits = {**none, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1, "mem_storage": -1,
              "disk_storage": -1, "streams": -1, "consumer": -1}  # fmt: skip
    of_operator = operator.token(operator.public, "op", {"type": "operator"})
    of_account = operator.token(account.public, "acc", {"type": "account", "limits": limits})
    of_user = account.token(user.public, "user", {"type": "user", "pub": {}, "sub": {}, **none})
    path = folder / "user.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    of_system = operator.token(system.public, "sys", {"type": "account"})
    config = f"""operator: {of_operator}
        resolver: MEMORY
        system_account: {system.public}
        resolver_preload: {{ {account.public}: {of_account}, {system.public}: {of_system} }}"""
    return config, path


def test_a_credentials_file(wrapper, tmp_path):
    config, path = _credentials(tmp_path)
    log(wrapper, "run", 5)
    with running(tmp_path / "jwt", config) as server:
        without = subprocess.run(argv(server.url, "--patience", "1s"), env=wrapper.env, capture_output=True, timeout=30)
        assert without.returncode == 125
        assert b"Authorization" in without.stderr
        assert "7 events shipped" in ship(wrapper, server.url, "--creds", str(path))
        whole = path.read_text()
        for content in ("nothing", whole[: len(whole) // 2], whole.replace("eyJ", "???"), whole.replace("SU", "S!")):
            path.write_text(content)
            words = argv(server.url, "--creds", str(path), "--patience", "1s")
            broken = subprocess.run(words, env=wrapper.env, capture_output=True, timeout=30)
            assert broken.returncode == 125, content
            assert b"Traceback" not in broken.stderr
            assert b"SU" not in broken.stderr
    missing = subprocess.run(argv(server.url, "--creds", "/nowhere"), env=wrapper.env, capture_output=True, timeout=30)
    assert missing.returncode == 125
    assert missing.stderr == b"agentmon: /nowhere: No such file or directory\n"

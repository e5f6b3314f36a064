"""Secrets of known shape are masked; what only looks a little like one is left alone."""

import pytest

from agentmon import redact
from agentmon.redact import MASK, Masker, mask

LONG = "a1B2c3D4e5F6g7H8i9J0" * 2
SECRETS = [
    f"sk-ant-api03-{LONG}",
    f"sk-proj-{LONG}",
    f"sk-or-v1-{LONG}",
    f"sk-{LONG}",
    f"sk_live_{LONG}",
    f"rk_live_{LONG}",
    f"pypi-AgEIcHlwaS5vcmc{LONG}",
    f"dckr_pat_{LONG}",
    f"lsv2_pt_{LONG}",
    f"tvly-dev-{LONG}",
    f"SG.{LONG[:22]}.{LONG}",
    f"AIza{LONG[:35]}",
    f"ya29.{LONG}",
    f"ghp_{LONG[:36]}",
    f"gho_{LONG[:36]}",
    f"github_pat_{LONG}",
    f"glpat-{LONG[:20]}",
    "AKIAIOSFODNN7EXAMPLE",
    f"xoxb-123-{LONG}",
    f"hf_{LONG[:34]}",
    f"gsk_{LONG}",
    f"xai-{LONG}",
    f"pplx-{LONG}",
    f"r8_{LONG[:37]}",
    f"npm_{LONG[:36]}",
    f"eyJ{LONG}.eyJ{LONG}.{LONG}",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:10])
def test_a_key(secret: str) -> None:
    for text in ("{}", "key={}", '"{}"', "--key={} on", "({})"):
        assert mask(text.format(secret)) == text.format(MASK)
    assert any(needle in secret for needle in redact.NEEDLES)


NAMED = {
    "Authorization: Bearer abcdefgh12345678": f"Authorization: Bearer {MASK}",
    'x-api-key: "abcdefgh12345678"': f'x-api-key: "{MASK}"',
    "OPENAI_API_KEY=abcdefgh12345678": f"OPENAI_API_KEY={MASK}",
    "api_key='abcdefgh12345678'": f"api_key='{MASK}'",
    '{"apiKey": "abcdefgh12345678"}': f'{{"apiKey": "{MASK}"}}',
    '{\\"api_key\\": \\"abcdefgh12345678\\"}': f'{{\\"api_key\\": \\"{MASK}\\"}}',
    "api-key: abcdefgh12345678": f"api-key: {MASK}",
    "AWS_SESSION_TOKEN=abcdefgh/1234+5678": f"AWS_SESSION_TOKEN={MASK}",
    '"SecretAccessKey": "abcdefgh/1234+5678"': f'"SecretAccessKey": "{MASK}"',
    "Authorization: Basic dXNlcjpwYXNz": f"Authorization: Basic {MASK}",
    "https://user:hunter2@github.com/a/b.git": f"https://user:{MASK}@github.com/a/b.git",
    "postgres://app:s3cret@db:5432/app": f"postgres://app:{MASK}@db:5432/app",
    "https://hooks.slack.com/services/T0000/B0000/XXXX": f"https://hooks.slack.com/services/{MASK}",
    "aws_secret_access_key = abcdefgh/1234+5678": f"aws_secret_access_key = {MASK}",
}


@pytest.mark.parametrize("text", NAMED)
def test_a_value_behind_its_name(text: str) -> None:
    assert mask(text) == NAMED[text]
    assert mask(mask(text)) == NAMED[text]
    assert any(needle in text for needle in redact.NEEDLES)


@pytest.mark.parametrize(
    "text",
    [
        "task-list",
        "bearer authentication required",
        "http://localhost:8080/a@b",
        "ssh://git@host:22/x",
        "my_api_key is missing",
        "sk-learn",
        "risk-free-and-very-long-words-here",
        "hf_hub",
        "a bearer of news",
        "eyJ",
        "commit a1b2c3d4e5f6",
    ],
)
def test_what_is_none(text: str) -> None:
    assert mask(text) == text


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nDEFghi\n-----END RSA PRIVATE KEY-----"


def test_a_private_key_over_lines() -> None:
    masker = Masker()
    lines = ["before", *PEM.split("\n"), "after"]
    masked = [masker.mask(line) for line in lines]
    assert (masked[0], masked[-1]) == ("before", "after")
    assert not any(part in "\n".join(masked) for part in ("MIIEabc", "DEFghi"))
    assert not masker.inside_key


def test_a_private_key_in_one_entry() -> None:
    assert Masker().mask(f"a {PEM} b") == f"a {MASK} b"
    assert mask(PEM.replace("-----END RSA PRIVATE KEY-----", "")) == MASK

"""Secrets of known shape, masked. The shapes are those that the providers document for their keys."""

import re
from collections.abc import Iterable, Iterator

NEEDLES = (
    "sk-", "sk_", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA", "xox", "hf_",
    "gsk_", "xai-", "pplx-", "r8_", "npm_", "earer ", "EARER ", "PRIVATE KEY-----", "ecret_access_key",
    "SECRET_ACCESS_KEY", "x-api-key", "X-API-Key", "X-Api-Key", "X-API-KEY", "_API_KEY", "_api_key", "_Api_Key", "eyJ",
    "ya29.", "api_key", "api-key", "API-KEY", "Api-Key", "apiKey", "ApiKey", "APIKEY", "apikey", "API_KEY",
    "ecretAccessKey", "SESSION_TOKEN", "session_token", "uthorization", "@", "rk_live_", "rk_test_", "pypi-AgE",
    "dckr_pat_", "lsv2_", "tvly-", "SG.", "hooks.slack.com/",
)  # fmt: skip
CHECKS = {"@": re.compile(rb"(?::[^\s/@]{1,47}|[^\s/@]{48})@$")}  # what must end with a needle: most @ are no URL's
MASK = "[redacted]"

_KEYS = re.compile(
    r"""(?<![A-Za-z0-9])(
      sk-(?:ant|proj|svcacct|admin|or|lf)-[A-Za-z0-9_-]{8,200}      # Anthropic, OpenAI, OpenRouter, Langfuse
    | sk-[A-Za-z0-9]{20,200} | [sr]k_(?:live|test)_[A-Za-z0-9]{16,200}
    | AIza[A-Za-z0-9_-]{30,60} | ya29\.[A-Za-z0-9_-]{20,500}        # Google
    | gh[pousr]_[A-Za-z0-9]{20,255} | github_pat_[A-Za-z0-9_]{20,255} | glpat-[A-Za-z0-9_-]{16,100}
    | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])
    | xox[abeoprs]-[A-Za-z0-9-]{10,250} | hf_[A-Za-z0-9]{20,100} | gsk_[A-Za-z0-9]{20,100} | xai-[A-Za-z0-9]{20,200}
    | pplx-[A-Za-z0-9]{20,100} | r8_[A-Za-z0-9]{20,100} | npm_[A-Za-z0-9]{30,60}
    | pypi-AgE[A-Za-z0-9_-]{16,400} | dckr_pat_[A-Za-z0-9_-]{16,100} | lsv2_[ps][tk]_[A-Za-z0-9_]{16,100}
    | tvly-[A-Za-z0-9-]{20,100} | SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,100}
    | eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}   # a JSON web token
    )""",
    re.VERBOSE,
)
_NAMED = re.compile(
    r"""(\bbearer\ {1,4}(?=[A-Za-z._~+/=-]{0,100}\d|[A-Za-z._~+/=-]{20})
      | authorization\\?["']?:\ {0,4}\\?["']?basic\ {1,4}
      | (?:secret_?access_?key|session_token|api[_-]?key)\\?["']?\ {0,4}[:=]\ {0,4}\\?["']?
      | \bhooks\.slack\.com/services/)
    (?!\[redacted\]) [A-Za-z0-9._~+/=-]{8,4000}""",
    re.VERBOSE | re.IGNORECASE,
)
_PASSWORD = re.compile(r"(://[^\s/:@\"']{0,100}:)[^\s/@\"']{1,200}(?=@)")  # of a URL
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL)
_PEM_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY-----")


def mask(text: str) -> str:
    """`text` with every secret of a known shape replaced."""
    if "PRIVATE KEY-----" in text:
        text = _PEM.sub(MASK, text)
    text = _KEYS.sub(MASK, text)
    if "@" in text:
        text = _PASSWORD.sub(lambda m: m[1] + MASK, text)
    return _NAMED.sub(lambda m: m[1] + MASK, text)


_SECRET_FLAG = re.compile(r"--?[a-z-]{0,40}(?:api-?key|token|secret|password|passwd)", re.IGNORECASE)


def mask_words(words: Iterable[str]) -> Iterator[str]:
    """A command line without its secrets: known shapes, and what follows or belongs to `--api-key` and the like."""
    secret = False
    for word in words:
        flag, equals, value = word.partition("=")
        if secret and not word.startswith("-"):
            yield MASK
        elif _SECRET_FLAG.fullmatch(flag) and equals and value:
            yield flag + equals + MASK
        else:
            yield mask(word)
        secret = not equals and _SECRET_FLAG.fullmatch(word) is not None


class Masker:
    """Masks line by line; a private key may spread over many of them."""

    def __init__(self) -> None:
        self.inside_key = False

    def mask(self, text: str) -> str:
        """One line (or one entry of several lines) without its secrets."""
        if self.inside_key:
            end = _PEM_END.search(text)
            if end is None:
                return MASK
            self.inside_key = False
            text = MASK + text[end.end() :]
        begin = text.rfind("-----BEGIN ")
        if begin >= 0 and "PRIVATE KEY-----" in text[begin:] and not _PEM_END.search(text, begin):
            self.inside_key = True
        return mask(text)

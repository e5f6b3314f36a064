"""Subjects: where an event is published, `agentmon.v1.<team>.<agent>.<event>`, and the filters for teams and agents."""

import hashlib
import re
from urllib.parse import quote, unquote_to_bytes

PREFIX = "agentmon.v1"
ALL = f"{PREFIX}.>"
_LONGEST = 1200  # bytes of a token: a server ends connections at subjects of 4 KiB
_EMPTY = "%"
_CUT = "%~"
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]*")
_MESSAGE_ID = re.compile(r"(.*)-([0-9]{1,4000})(?:~([0-9]{1,4000}))?", re.DOTALL)  # more are no number to Python


def token(name: str) -> str:
    """A name as one token of a subject: percent-encoded UTF-8, all but ASCII letters, digits, `_` and `-`.

    A name of more than 1,200 bytes so written is cut, and told from others by a digest; the event has it whole.
    """
    text = quote(name.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E").replace("~", "%7E")
    if len(text) > _LONGEST:
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return text[: _LONGEST - len(digest) - len(_CUT)] + _CUT + digest
    return text or _EMPTY


def name(token: str) -> str | None:
    """The name that became this token; None where it was cut. Raises ValueError for what is no token of ours."""
    if token == _EMPTY:
        return ""
    if _CUT in token:
        return None
    return unquote_to_bytes(token).decode("utf-8", "surrogatepass")


def subject(team: str, agent: str, event: str) -> str:
    """Where an event is published."""
    return f"{PREFIX}.{token(team)}.{token(agent)}.{token(event)}"


def parse(subject: str) -> tuple[str | None, str | None, str | None]:
    """Team, agent and event of a subject, None for a name that was cut. Raises ValueError."""
    parts = subject.split(".")
    if len(parts) != 5 or ".".join(parts[:2]) != PREFIX:
        raise ValueError(f"{subject!r}: not {PREFIX}.TEAM.AGENT.EVENT")
    team, agent, event = map(name, parts[2:])
    return team, agent, event


def matching(team: str | None = None, agent: str | None = None, event: str | None = None) -> str:
    """The filter for events of a team, an agent, a kind; None stands for all."""
    parts = ["*" if part is None else token(part) for part in (team, agent, event)]
    while parts and parts[-1] == "*":
        parts.pop()
    return ".".join([PREFIX, *parts, *([">"] if len(parts) < 3 else [])])


def message_id(run_id: str, turn: int, seq: int) -> str:
    """What the server tells repeats by: `<run_id>-<seq>`; `<run_id>-<seq>~<turn>` where seq began anew."""
    written = run_id
    if not _PLAIN.fullmatch(run_id):
        written = quote(run_id.encode("utf-8", "surrogatepass"), safe=_IN_IDS)
    return f"{written}-{seq}~{turn}" if turn else f"{written}-{seq}"


def parse_message_id(text: str) -> tuple[str, tuple[int, int]] | None:
    """Run id, and (turn, seq), of a message id; None where it is none of ours."""
    found = _MESSAGE_ID.fullmatch(text)
    if found is None:
        return None
    try:
        run_id = unquote_to_bytes(found[1]).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return run_id, (int(found[3] or 0), int(found[2]))


_IN_IDS = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "%")  # visible ASCII stays: run ids are that

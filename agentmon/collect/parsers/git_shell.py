"""The git invocations in a shell command, as an agent's tool call gives it.

Words are split as sh does it: quotes, escapes, `&&`, `||`, `;`, `|`, newlines, subshells, here-documents. Nothing is
expanded. `bash -lc '…'`, `env A=b`, `sudo`, `timeout 5` and the like are looked through.
"""

import re
from dataclasses import dataclass

_LONGEST = 32 * 1024
_DEEPEST = 4
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "exec", "command", "builtin", "nohup"}
)
_LOOPS = frozenset({"if", "elif", "else", "while", "until", "for", "case", "then", "do"})
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ash", "ksh", "fish"})
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w{0,100}\+?=")
_GIT_WITH_VALUE = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--super-prefix"}
)


@dataclass(slots=True)
class Command:
    """One simple command. before: the operator in front of it; hidden: its output went elsewhere (pipe, file)."""

    words: list[str]
    before: str = ""
    hidden: bool = False
    perhaps: bool = False  # inside if, while, for: it may not have run, or often


@dataclass(frozen=True, slots=True)
class Invocation:
    """`git VERB ARGUMENTS`, where in the list of commands it stands, and whether it may not have run."""

    verb: str
    arguments: tuple[str, ...]
    index: int
    hidden: bool
    perhaps: bool


def commands(text: str, depth: int = 0) -> list[Command]:
    """The simple commands of a shell text, in order. Never raises: what is no shell gives words all the same."""
    split = _Splitter(text[:_LONGEST]).split()
    result: list[Command] = []
    for one in split:
        perhaps = one.perhaps
        words = one.words
        while words and (words[0] in _KEYWORDS or _ASSIGNMENT.match(words[0])):
            perhaps = perhaps or words[0] in _LOOPS
            words = words[1:]
        words = _bare(words)
        inner = _script(words)
        if inner is not None and depth < _DEEPEST:
            nested = commands(inner, depth + 1)
            for n, command in enumerate(nested):
                command.hidden = command.hidden or one.hidden
                command.perhaps = command.perhaps or perhaps
                if n == 0:
                    command.before = one.before
            result += nested
        elif words:
            result.append(Command(words, one.before, one.hidden, perhaps))
    return result


def invocations(found: list[Command]) -> list[Invocation]:
    """Those of them that run git."""
    result = []
    for index, command in enumerate(found):
        words = command.words
        if words[0].rpartition("/")[2] not in ("git", "git.exe"):
            continue
        at = 1
        while at < len(words) and words[at].startswith("-"):
            at += 2 if words[at] in _GIT_WITH_VALUE else 1
        if at < len(words):
            result.append(Invocation(words[at], tuple(words[at + 1 :]), index, command.hidden, command.perhaps))
    return result


def _bare(words: list[str]) -> list[str]:
    """Without the programs that run another one."""
    for _ in range(8):
        if not words:
            return words
        name = words[0].rpartition("/")[2]
        if name in ("sudo", "env", "nice", "stdbuf", "timeout", "xvfb-run", "unbuffer"):
            at = 1
            while at < len(words) and (words[at].startswith("-") or _ASSIGNMENT.match(words[at])):
                at += 2 if words[at] in ("-u", "-n", "-s", "-k", "--signal") else 1
            if name == "timeout" and at < len(words):
                at += 1
            words = words[at:]
        elif name in _KEYWORDS:
            words = words[1:]
        else:
            return words
    return words


def _script(words: list[str]) -> str | None:
    """What `sh -c` is given to run."""
    if not words or words[0].rpartition("/")[2] not in _SHELLS:
        return None
    for at, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return words[at + 1] if at + 1 < len(words) else None
        if not word.startswith("-"):
            return None
    return None


class _Splitter:
    """One pass over the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._result: list[Command] = []
        self._words: list[str] = []
        self._word: list[str] | None = None
        self._before = ""
        self._hidden = False
        self._documents: list[str] = []
        self._depth = 0

    def split(self) -> list[Command]:
        text, size = self._text, len(self._text)
        while self._at < size:
            char = text[self._at]
            if char == "\\":
                if text[self._at + 1 : self._at + 2] != "\n":
                    self._add(text[self._at + 1 : self._at + 2])
                self._at += 2
            elif char == "'":
                end = text.find("'", self._at + 1)
                end = size if end < 0 else end
                self._add(text[self._at + 1 : end])
                self._at = end + 1
            elif char == '"':
                self._double()
            elif char == "$" and text[self._at + 1 : self._at + 2] == "(":
                start = self._at
                self._at = _end_of_substitution(text, self._at + 2)
                self._add(text[start : self._at])
            elif char == "#" and self._word is None:
                end = text.find("\n", self._at)
                self._at = size if end < 0 else end
            elif char in " \t\r":
                self._end_word()
                self._at += 1
            elif char in "\n;&|()<>":
                self._operator(char)
            else:
                match = _PLAIN.match(text, self._at)
                stop = match.end() if match else self._at + 1
                self._add(text[self._at : stop])
                self._at = stop
        self._end_command("")
        return self._result

    def _add(self, piece: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(piece)

    def _double(self) -> None:
        text, size = self._text, len(self._text)
        self._at += 1
        self._add("")
        while self._at < size and text[self._at] != '"':
            char = text[self._at]
            if char == "\\":
                following = text[self._at + 1 : self._at + 2]
                self._add(following if following in '"\\$`' else "" if following == "\n" else "\\" + following)
                self._at += 2
            elif char == "$" and text[self._at + 1 : self._at + 2] == "(":
                start = self._at
                self._at = _end_of_substitution(text, self._at + 2)
                self._add(text[start : self._at])
            else:
                match = _QUOTED.match(text, self._at)
                stop = match.end() if match else self._at + 1
                self._add(text[self._at : stop])
                self._at = stop
        self._at += 1

    def _operator(self, char: str) -> None:
        text = self._text
        pair = text[self._at : self._at + 2]
        if char in "<>":
            self._redirect(char, pair)
            return
        if pair == "&>":
            self._hidden = True
            self._at += 2
            self._skip_target()
            return
        operator = pair if pair in ("&&", "||", ";;") else char
        self._at += len(operator)
        if operator == "|":
            self._hidden = True
        self._end_command(operator)
        if char == "\n" and self._documents:
            self._skip_documents()

    def _redirect(self, char: str, pair: str) -> None:
        descriptor = "".join(self._word) if self._word else ""
        if descriptor.isdigit():
            self._word = None
        else:
            self._end_word()
        if pair == "<<":
            match = _DOCUMENT.match(self._text, self._at)
            if match and self._text[self._at + 2 : self._at + 3] != "<":
                self._documents.append(match[1])
                self._at = match.end()
                return
        self._at += 2 if pair in (">>", "<<", ">&", "<&", ">|") else 1
        if char == ">" and descriptor in ("", "1") and pair != ">&":
            self._hidden = True
        self._skip_target()

    def _skip_target(self) -> None:
        match = _TARGET.match(self._text, self._at)
        if match:
            self._at = match.end()

    def _skip_documents(self) -> None:
        for name in self._documents:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = end + 1
                if line.strip() == name:
                    break
        self._documents = []

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append("".join(self._word))
            self._word = None

    def _end_command(self, operator: str) -> None:
        self._end_word()
        if self._words:
            if self._words[0] in _LOOPS:
                self._depth += self._words[0] in ("if", "while", "until", "for", "case")
            if self._words[0] in ("fi", "done", "esac"):
                self._depth = max(0, self._depth - 1)
            self._result.append(Command(self._words, self._before, self._hidden, self._depth > 0))
            self._before = operator
        elif operator and self._before in ("", ";", "\n"):
            self._before = operator if operator not in ("(", ")") else self._before
        self._words, self._hidden = [], False


_PLAIN = re.compile(r"[^\\'\"$#\s;&|()<>]{1,4096}")
_QUOTED = re.compile(r"[^\\\"$]{1,4096}")
_DOCUMENT = re.compile(r"<<-?\s{0,4}['\"\\]?([\w.-]{1,100})['\"]?")
_TARGET = re.compile(r"[ \t]{0,8}&?[^\s;&|()<>]{0,4096}")


def _end_of_substitution(text: str, at: int) -> int:
    """Behind the parenthesis that closes `$(`; here-documents inside may hold anything."""
    depth = 1
    while at < len(text) and depth:
        char = text[at]
        if char == "<" and (match := _DOCUMENT.match(text, at)):
            end = re.compile(rf"^\s{{0,40}}{re.escape(match[1])}\s{{0,40}}$", re.MULTILINE).search(text, match.end())
            at = end.end() if end else len(text)
            continue
        if char == "'":
            end_quote = text.find("'", at + 1)
            at = len(text) if end_quote < 0 else end_quote
        elif char == "\\":
            at += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        at += 1
    return min(at, len(text))

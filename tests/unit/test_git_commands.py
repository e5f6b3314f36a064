"""Recorded tool calls: a shell command, its output and its exit status."""

# ruff: noqa: E501 (what programs print is quoted in one line)

import pytest

from agentmon.collect.parsers import git_shell
from agentmon.collect.parsers.git_reader import GitReader
from agentmon.events import GitActivity
from tests.unit.git_told import STAT, Told

Call = tuple[str | None, str, int | None]


def told(*calls: Call) -> list[Told]:
    reader = GitReader()
    payloads = [f.payload for call in calls for f in reader.command(*call)] + [f.payload for f in reader.close()]
    return [(p.operation, p.branch, p.message, p.files_changed) for p in payloads if isinstance(p, GitActivity)]


CREATE, SWITCH = "Switched to a new branch 'f'\n", "Switched to branch 'main'\n"
HEREDOC = """git add . && git commit -q -m "$(cat <<'EOF'
feat: it's a (nice) thing

Body "quoted"
EOF
)" && git push -q"""
CASES: list[tuple[str, list[Call], list[Told]]] = [
    ("shown", [("git checkout -b f", CREATE, 0)], [("branch_create", "f", None, None)]),
    ("quiet", [("git switch -q -c f", "", 0), ("git commit -qm 'a b'", "", 0)], [("branch_create", "f", None, None), ("commit", "f", "a b", None)]),
    ("refused", [("git checkout f", "error: pathspec 'f' did not match any file(s) known to git", 1)], []),
    ("nothing to commit", [("git commit -m x", "On branch main\nnothing to commit, working tree clean", 1)], []),
    ("in a shell of its own", [("/bin/bash -lc 'git switch -q -c f'", "", 0)], [("branch_create", "f", None, None)]),
    ("in another directory", [("cd /x && git -C /home/dev/app -c a.b=c checkout -q main", "", 0)], [("checkout", "main", None, None)]),
    ("with variables before it", [("GIT_EDITOR=true sudo -u dev env A=b git tag -a v1 -m x", "", 0)], [("tag", None, "v1", None)]),
    ("a message from a here-document", [(HEREDOC, "", 0)], [("commit", None, "feat: it's a (nice) thing", None), ("push", None, None, None)]),
    ("a message over two lines", [("git commit -q -m 'a\n\nb'", "", 0)], [("commit", None, "a", None)]),
    ("two quiet ones", [("git commit -qam 'one' ; git commit --amend -q -m 'two'", "", 0)], [("commit", None, "one", None), ("commit", None, "two", None)]),
    ("one that fails after one that does not", [("git commit -m x && git push", "[f abc1234] x\n" + STAT + "To /o\n ! [rejected]        f -> f (fetch first)\nerror: failed to push some refs to '/o'\n", 1)],
     [("commit", "f", "x", 1)]),
    ("silent by nature", [("git branch topic && git branch -d f && git status --short --branch", "Deleted branch f (was 1d3933c).\n## main", 0)],
     [("branch_create", "topic", None, None), ("branch_delete", "f", None, None)]),
    ("a branch made is not a branch entered", [("git checkout main", SWITCH, 0), ("git branch topic", "", 0), ("git commit -qm x", "", 0)],
     [("checkout", "main", None, None), ("branch_create", "topic", None, None), ("commit", "main", "x", None)]),
    ("looked at", [("git branch -a; git log -3; git tag -l; git stash list; git diff --stat", "* main\n a | 1 +\n" + STAT, 0)], []),
    ("a log shown", [("cat session.log | grep x", CREATE + "[main abc1234] x\n" + STAT, 0)], []),
    ("git log with messages", [("git log -3 --format=%B", CREATE, 0)], []),
    ("a script", [("./release.sh", CREATE + "[f abc1234] x\n" + STAT, 0)], [("branch_create", "f", None, None), ("commit", "f", "x", 1)]),
    ("no command", [(None, CREATE, None)], [("branch_create", "f", None, None)]),
    ("no status", [("git checkout -b f", "", None), ("git commit -m x", "[f abc1234] x\n" + STAT, None)], [("commit", "f", "x", 1)]),
    ("no stderr in the record", [("git checkout -b f", "", 0), ("git checkout main", "", 0)], [("branch_create", "f", None, None), ("checkout", "main", None, None)]),
    ("a file", [("git checkout app.py", "", 0), ("git checkout -- x", "Updated 1 path from the index\n", 0), ("git checkout HEAD~1 x y", "", 0)], []),
    ("through a pipe", [("git commit -m 'a' 2>&1 | tail -1", " create mode 100644 x\n", 0)], [("commit", None, "a", None)]),
    ("into nothing", [("git commit -m 'a' > /dev/null", "", 0)], [("commit", None, "a", None)]),
    ("failed in a pipe", [("git commit -m 'a' 2>&1 | tail -1", "nothing to commit, working tree clean\n", 0)], []),
    ("perhaps", [("if git diff --quiet; then git commit -qm x; fi", "", 0), ("false || git commit -qm x", "", 0), ("for b in a b; do git branch $b; done", "", 0)], []),
    ("cherry-picks are named", [("git checkout main && git cherry-pick a..b && git commit --allow-empty -m z", SWITCH + "[main aaaaaaa] one\n Date: x\n" + STAT + "[main bbbbbbb] two\n Date: x\n" + STAT + "[main ccccccc] z\n", 0)],
     [("checkout", "main", None, None), ("cherry_pick", "main", "one", 1), ("cherry_pick", "main", "two", 1), ("commit", "main", "z", None)]),
    ("a revert is named", [("git revert --no-edit HEAD", "[main aaaaaaa] Revert \"x\"\n" + STAT, 0)], [("revert", "main", 'Revert "x"', 1)]),
    ("a pull is named", [("git pull", "From /x\n   aaaaaaa..bbbbbbb  main       -> origin/main\nUpdating aaaaaaa..bbbbbbb\nFast-forward\n a | 1 +\n" + STAT, 0)], [("pull", None, None, 1)]),
    ("a pull on two streams joined", [("git pull", "Updating aaaaaaa..bbbbbbb\nFast-forward\n a | 1 +\n" + STAT + "From /x\n   aaaaaaa..bbbbbbb  main       -> origin/main\n", 0)], [("pull", None, None, 1)]),
    ("a merge", [("git merge --abort; git merge -X ours f -m 'Merge f (ours)'", "Auto-merging a.txt\nMerge made by the 'ort' strategy.", 0)], [("merge", None, "Merge f (ours)", None)]),
    ("a merge in conflict", [("git merge f", "Auto-merging a\nCONFLICT (add/add): Merge conflict in a\nAutomatic merge failed; fix conflicts and then commit the result.", 1)], []),
    ("a merge brought to its end", [("git commit --no-edit", "[main abc1234] Merge branch 'f'\n", 0), ("git merge --continue", "[main abc1235] Merge branch 'g'\n", 0)],
     [("commit", "main", "Merge branch 'f'", None), ("merge", "main", "Merge branch 'g'", None)]),
    ("HEAD moves", [("git switch --detach HEAD~1", "HEAD is now at abcdef1 foo", 0), ("git reset --hard HEAD~1", "HEAD is now at abcdef2 foo", 0), ("git reset --soft HEAD~1", "", 0), ("git reset -- a", "", 0)],
     [("checkout", None, None, None), ("reset", None, None, None), ("reset", None, None, None)]),
    ("nothing was there", [("git pull", "Already up to date.\n", 0), ("git push", "Everything up-to-date\n", 0), ("git fetch", "", 0), ("git checkout main", "Already on 'main'\n", 0), ("git stash", "No local changes to save\n", 0)], []),
    ("dry", [("git push --dry-run", "To /o\n * [new branch]      f -> f\n", 0), ("git commit --dry-run", "On branch main\n", 0)], []),
    ("a hook that prints", [("git commit -m x", "[main abc1234] checked\n[main abc1235] x\n" + STAT, 0)], [("commit", "main", "x", 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_commands(calls: list[Call], expected: list[Told]):
    assert told(*calls) == expected


def test_text_and_records_share_a_history():
    reader = GitReader()
    found = reader.line("Creating branch: f", "stdout")
    found += reader.command("git checkout -b f", CREATE, 0)
    found += reader.line("Switched to a new branch 'f'", "stderr")
    assert len(found) == 1


SHELL = [
    ("git a; git b && git c | git d || git e & git f\ngit g", ["a", "b", "c", "d", "e", "f", "g"]),
    ("echo 'git x' \"git y\" git\\ z", []),
    ("cat <<EOF\ngit x\nEOF\ngit a", ["a"]),
    ("cat <<'EOF' > f; git a\ngit x\nEOF\ngit b", ["a", "b"]),
    ("(cd d && git a); { git b; }", ["a", "b"]),
    ("bash -c \"bash -lc 'git a'\"; sh -c 'git b'", ["a", "b"]),
    ("time timeout 5 env A=b /usr/bin/git --no-pager -C d -c x=y a", ["a"]),
    ("git # comment\ngit a # git b", ["a"]),
    ("git a --x=$(git b) >/dev/null 2>&1", ["a"]),
    ("git 'unclosed", ["unclosed"]), ("git \"unclosed $(", ["unclosed $("]), ("", []), ("git", []), ("\\", []), ("<<", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "verbs"), SHELL)
def test_shell(text: str, verbs: list[str]):
    assert [i.verb for i in git_shell.invocations(git_shell.commands(text))] == verbs

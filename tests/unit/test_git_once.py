"""One act is one event, however often and in whatever way it is shown."""

# ruff: noqa: E501 (what programs print is quoted in one line)

import pytest

from tests.unit.git_told import STAT, short, told

CREATE = "Switched to a new branch 'f'\n"
COMMIT = "[f abc1230] feat: x\n" + STAT
MERGE = "Merge made by the 'ort' strategy.\n f.py | 1 +\n" + STAT
BOX = "╭────────────────────── Tool Execution Completed ──────────────────────────────╮\n{}╰──────────────────────────────────────────────────────────────────────────────╯\n"


def boxed(text: str) -> str:
    first, *rest = text.splitlines()
    lines = ["Output: " + first, *rest]
    return BOX.format("".join(f"│  {line:<74}  │\n" for line in lines))


CASES = [
    ("a print, then git", "Creating branch: f\n" + CREATE, ["branch_create f"]),
    ("git, then a print", CREATE + "Created branch: f\n", ["branch_create f"]),
    ("a print, then a box", "Creating branch: f\n" + boxed(CREATE) + "Committed changes: 1 files\n" + boxed(COMMIT), ["branch_create f", "commit f"]),
    ("prints first, a transcript at the end", "Creating branch: f\nCommitted changes: 1 files\n" + CREATE + "words\n" + COMMIT, ["branch_create f", "commit f"]),
    (
        "a transcript of everything at the end",
        CREATE + COMMIT + "Switched to branch 'main'\n" + MERGE + "Switched to a new branch 'g'\n"
        + "> " + CREATE + COMMIT + "Switched to branch 'main'\n" + MERGE + "Switched to a new branch 'g'\n",
        ["branch_create f", "commit f", "checkout main", "merge main", "branch_create g"],
    ),
    ("git again and again (a screen redrawn)", (boxed(CREATE) + boxed(COMMIT)) * 4, ["branch_create f", "commit f"]),
    ("a merge redrawn", boxed(MERGE) * 3, ["merge"]),
    ("a merge announced", "Switched to branch: main\nMerging branch: f\n" + boxed(MERGE), ["checkout main", "merge main"]),
    ("a merge announced that fails", "Merging branch: f\nAuto-merging a\nCONFLICT (content): Merge conflict in a\n"
     "Automatic merge failed; fix conflicts and then commit the result.\n", []),
    ("two merges", MERGE + MERGE.replace("f.py", "g.py"), ["merge", "merge"]),
    ("a print and a new branch that is switched to", "Creating branch: f\nSwitched to branch: f\n", ["branch_create f", "checkout f"]),
    ("git's new branch and a print of the switch", CREATE + "Switched to branch: f\n", ["branch_create f"]),
    ("there and back", "Switched to branch 'a'\nSwitched to branch 'b'\nSwitched to branch 'a'\n", ["checkout a", "checkout b", "checkout a"]),
    ("equal prints are acts", "Committed changes: 5 files\nCommitted changes: 5 files\n", ["commit", "commit"]),
    ("a branch deleted and made again", CREATE + "Switched to branch 'main'\nDeleted branch f (was abc1230).\n" + CREATE,
     ["branch_create f", "checkout main", "branch_delete f", "branch_create f"]),
    ("amended", COMMIT + "[f abc1231] feat: x\n" + STAT, ["commit f", "commit f"]),
    ("a repr of the tool's result", "Creating branch: f\n\"content=\"Switched to a new branch 'f'\"\" name='create' tool_call_id='1'\"\n"
     "Committed changes: 1 files\n[tools] '[f 0635a8d] feat: x\\n 1 file changed, 2 inser' usage=None\n", ["branch_create f", "commit f"]),
    ("a bracket eaten by markup", "Committed changes: 1 files\nObservations: |f 0635a8d] feat: x\n" + STAT, ["commit"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_once(text: str, expected: list[str]):
    assert short(told(("stdout", text))) == expected


STREAMS = [
    ("git on stderr, prints on stdout", [("stdout", "Creating branch: f\nCommitted changes: 1 files\nSwitched to branch: main\n"), ("stderr", CREATE + "Switched to branch 'main'\n")],
     ["branch_create f", "commit f", "checkout main"]),
    ("a hook on stderr", [("stdout", COMMIT), ("stderr", "[f abc1234] checked\n")], ["commit f"]),
    ("a hook on stderr first", [("stderr", "[f abc1234] checked\n"), ("stdout", COMMIT)], ["commit f"]),
    ("a detached checkout on stderr", [("stderr", "HEAD is now at abc1234 x\n")], ["checkout"]),
    ("a worktree on two streams", [("stdout", "HEAD is now at abc1234 x\n"), ("stderr", "Preparing worktree (new branch 'w')\n")], ["branch_create w"]),
    ("a worktree on two streams, turned", [("stderr", "Preparing worktree (new branch 'w')\n"), ("stdout", "HEAD is now at abc1234 x\n")], ["branch_create w"]),
    ("a rebase on two streams", [("stdout", "[detached HEAD abc1234] x\n" + STAT), ("stderr", "Successfully rebased and updated refs/heads/f.\n")], ["rebase f"]),
    ("a rebase on two streams, turned", [("stderr", "Successfully rebased and updated refs/heads/f.\n"), ("stdout", "[detached HEAD abc1234] x\n" + STAT)], ["rebase f"]),
    ("a pull on two streams", [("stdout", "Updating ea9bf5c..1f5ea51\nFast-forward\n f | 1 +\n" + STAT), ("stderr", "From /o\n   ea9bf5c..1f5ea51  main -> origin/main\n")], ["merge"]),
    ("a conflicting pull on two streams", [("stdout", "Automatic merge failed; fix conflicts and then commit the result.\n"), ("stderr", "From /o\n   ea9bf5c..1f5ea51  main -> origin/main\n")], []),
]  # fmt: skip


@pytest.mark.parametrize(("streams", "expected"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
def test_over_two_streams(streams: list[tuple[str, str]], expected: list[str]):
    assert short(told(*streams)) == expected


def test_box_wraps_a_subject():
    subject = "feat: a subject that is so long that the box has to break it somewhere on the way"
    lines = [
        "│  Output: [feature/user-login 82923d5] feat: a subject that is so long that   │",
        "│  the box has to break it somewhere on the way                                │",
        "│   2 files changed, 10 insertions(+)                                          │",
    ]
    assert told(("stdout", "\n".join(lines) + "\n")) == [("commit", "feature/user-login", subject, 2)]


def test_box_wraps_a_branch():
    lines = [
        "│  Output: Switched to a new branch                                            │",
        "│  'feature/a-name-that-is-so-long-that-it-has-a-line-of-its-own'              │",
        "│                                                                              │",
    ]
    expected = ["branch_create feature/a-name-that-is-so-long-that-it-has-a-line-of-its-own"]
    assert short(told(("stdout", "\n".join(lines) + "\n"))) == expected

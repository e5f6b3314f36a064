"""Git in text: what git prints, what orchestrators print, and what only looks like either."""

# ruff: noqa: E501 (what programs print is quoted in one line)

import pytest

from agentmon.collect.parsers import git_messages, git_shapes
from tests.unit.git_told import STAT, Told, short, told

GIT = [
    ("a root commit", "[main (root-commit) 57b2a53] Initial commit\n" + STAT, [("commit", "main", "Initial commit", 1)]),
    ("a root commit, fr", "[main (commit racine) 57b2a53] Début\n" + STAT, [("commit", "main", "Début", 1)]),
    ("a root commit, zh", "[main（根提交） 57b2a53] 初\n" + STAT, [("commit", "main", "初", 1)]),
    ("detached, de", "[losgelöster HEAD f4e8675] wip\n" + STAT, [("commit", None, "wip", 1)]),
    ("detached, fr", "[HEAD détachée f4e8675] wip\n" + STAT, [("commit", None, "wip", 1)]),
    ("detached, zh", "[分离头指针 f4e8675] wip\n" + STAT, [("commit", None, "wip", 1)]),
    (
        "author and date between",
        "[main f4e8675] wip\n Author: B <b@x>\n Date: Mon Mar 2 10:00:00 2026 +0000\n 3 files changed, 9 deletions(-)\n",
        [("commit", "main", "wip", 3)],
    ),
    (
        "advice about the committer between",
        "[main f4e8675] wip\n Committer: root <root@host>\nYour name and email address were configured automatically based\n"
        "on your username and hostname. Please check that they are accurate.\n\n    git config --global --edit\n\n" + STAT,
        [("commit", "main", "wip", 1)],
    ),
    ("two empty commits", "[main f4e8675] a\n[main f4e8676] b\n", [("commit", "main", "a", None), ("commit", "main", "b", None)]),
    (
        "a hook that prints a commit",
        "[main abc1234] checked by hook\n[main f4e8676] b\n" + STAT,
        [("commit", "main", "b", 1)],
    ),
    ("hooks before and after", "[main abc1234] hi\n[main abc1234] hi\n[main f4e8676] b\n" + STAT, [("commit", "main", "b", 1)]),
    ("a hook after a checkout", "Switched to a new branch 'f'\n[main abc1234] hi\n", [("branch_create", "f", None, None)]),
    ("a subject that is a message", "[main f4e8676] Switched to branch 'x'\n" + STAT, [("commit", "main", "Switched to branch 'x'", 1)]),
    ("an octopus", "Fast-forwarding to: f1\nTrying simple merge with f2\nMerge made by the 'octopus' strategy.\n f1 | 1 +\n" + STAT,
     [("merge", None, None, 1)]),
    ("an old merge", "Merge made by the 'recursive' strategy.\n f1 | 1 +\n" + STAT, [("merge", None, None, 1)]),
    ("a squash", "Squash commit -- not updating HEAD\nAutomatic merge went well; stopped before committing as requested\n",
     [("merge", None, None, None)]),
    ("a squash that is a fast-forward", "Updating ea9bf5c..c2b430d\nFast-forward\nSquash commit -- not updating HEAD\n f | 1 +\n" + STAT,
     [("merge", None, None, 1)]),
    ("a squash with a conflict",
     "Auto-merging f\nCONFLICT (content): Merge conflict in f\nSquash commit -- not updating HEAD\n"
     "Automatic merge failed; fix conflicts and then commit the result.\n", []),
    ("a merge that would overwrite", "Updating ea9bf5c..c2b430d\nerror: Your local changes to the following files would be overwritten by merge:\n\ta\nAborting\n", []),
    ("a pull", "From /o\n   ea9bf5c..1f5ea51  main       -> origin/main\nUpdating ea9bf5c..1f5ea51\nFast-forward\n up.py | 1 +\n" + STAT,
     [("pull", None, None, 1)]),
    ("a pull with rebase", "From /o\n   ea9bf5c..1f5ea51  main       -> origin/main\nRebasing (1/1)\rSuccessfully rebased and updated refs/heads/main.\n",
     [("pull", "main", None, None)]),
    ("a pull of nothing", "From /o\n * branch            main       -> FETCH_HEAD\nAlready up to date.\n", []),
    ("a pull that is refused",
     "From /o\n   6d97418..25be251  main       -> origin/main\n" + "hint: words\n" * 14 + "fatal: Need to specify how to reconcile divergent branches.\n", []),
    ("a fetch, de", "Von /o\n   6d97418..25be251  main       -> origin/main\n * [neues Tag]       v2         -> v2\n", [("fetch", None, None, None)]),
    ("a push, de", "To /o\n * [neuer Branch]    f -> f\n", [("push", "f", None, None)]),
    ("a push by force", "To github.com:a/b.git\n + 6d97418...25be251 main -> main (forced update)\n", [("push", "main", None, None)]),
    ("a push by force to a URL", "To git@github.com:a/b.git\n + 6d97418...25be251 main -> main (forced update)\n", [("push", "main", None, None)]),
    ("a push of which one part is refused", "To /o\n * [new branch]      f -> f\n ! [rejected]        main -> main (fetch first)\n",
     [("push", "f", None, None)]),
    ("a push of a tag", "To /o\n * [new tag]         v1 -> v1\n", [("push", None, None, None)]),
    ("a porcelain push", "To /o\n*\trefs/heads/f:refs/heads/f\t[new branch]\nDone\n", [("push", "f", None, None)]),
    ("a rebase by hand", "[detached HEAD 955fc5c] add f1\n" + STAT + "Successfully rebased and updated refs/heads/r1.\n", [("rebase", "r1", None, None)]),
    ("a rebase by patches", "First, rewinding head to replay your work on top of it...\nApplying: add f2\n", [("rebase", None, None, None)]),
    ("a rebase by patches that fails", "First, rewinding head to replay your work on top of it...\nApplying: add f2\nerror: Failed to merge in the changes.\n", []),
    ("a clone that fails", "Cloning into 'x'...\nssh: Could not resolve hostname h: Name or service not known\nfatal: Could not read from remote repository.\n", []),
    ("a clone with submodules", "Cloning into 'c'...\ndone.\nSubmodule 'lib' (/sub) registered for path 'lib'\nCloning into '/c/lib'...\ndone.\nSubmodule path 'lib': checked out '25be251'\n",
     [("clone", None, None, None)]),
    ("a clone of a tag", "Cloning into 'c'...\nNote: switching to '25be251'.\n\nYou are in 'detached HEAD' state.\n", [("clone", None, None, None)]),
    ("a detached checkout", "Note: switching to 'HEAD~1'.\n\nYou are in 'detached HEAD' state. You can look around.\n\nHEAD is now at ea9bf5c Initial\n",
     [("checkout", None, None, None)]),
    ("from one commit to another", "Previous HEAD position was d7f50e8 cp 3\nHEAD is now at c9e385e cp 2\n", [("checkout", None, None, None)]),
    ("a hard reset", "HEAD is now at ea9bf5c Initial\n", [("reset", None, None, None)]),
    ("a worktree", "Preparing worktree (new branch 'wt')\nHEAD is now at ea9bf5c Initial\n", [("branch_create", "wt", None, None)]),
    ("a worktree without a branch, de", "Bereite Arbeitsverzeichnis vor (losgelöster HEAD ea9bf5c)\nHEAD ist jetzt bei ea9bf5c Initial\n", []),
    ("a switch to a commit and back", "HEAD is now at ea9bf5c Initial\nPrevious HEAD position was ea9bf5c Initial\nSwitched to branch 'main'\n",
     [("checkout", None, None, None), ("checkout", "main", None, None)]),
    ("a reset of what is detached", "Note: switching to 'v1'.\nHEAD is now at d7f50e8 One\nHEAD is now at ea9bf5c Two\n"
     "Previous HEAD position was ea9bf5c Two\nSwitched to branch 'main'\n",
     [("checkout", None, None, None), ("reset", None, None, None), ("checkout", "main", None, None)]),
    ("a merge by the resolve strategy", "Trying really trivial in-index merge...\nWonderful.\nIn-index merge\n f | 2 ++\n" + STAT, [("merge", None, None, 1)]),
    ("praise", "Wonderful.\n", []),
    ("a commit without a message", "[main 955fc5c] \n" + STAT, [("commit", "main", None, 1)]),
    ("a hash in brackets", "[main 955fc5c]\nhello\n", []),
    ("a first commit without files, and the next", "[main (root-commit) 955fc5c] init\n[main 1a2b3c4] more\n" + STAT,
     [("commit", "main", "init", None), ("commit", "main", "more", 1)]),
    ("the end of a merge, and the next", "[main 955fc5c] Merge branch 'x'\n[main 1a2b3c4] more\n" + STAT,
     [("commit", "main", "Merge branch 'x'", None), ("commit", "main", "more", 1)]),
    ("an amended commit without files, and the next", "[main 955fc5c] init\n Date: Mon Mar 2 10:00:00 2026 +0000\n[main 1a2b3c4] more\n" + STAT,
     [("commit", "main", "init", None), ("commit", "main", "more", 1)]),
    ("a merge after a commit in another worktree", "Preparing worktree (new branch 'w')\nHEAD is now at ea9bf5c Initial\n[w 955fc5c] work\n" + STAT
     + "Merge made by the 'ort' strategy.\n f | 2 ++\n" + STAT,
     [("branch_create", "w", None, None), ("commit", "w", "work", 1), ("merge", None, None, 1)]),
    ("a clone with submodules, ko", "'c'에 복제합니다...\n완료.\n'lib' 경로에 대해 'lib' (/sub) 하위 모듈 등록\n'/c/lib'에 복제합니다...\n완료.\n", [("clone", None, None, None)]),
    ("a clone, and what fails then, zh", "正克隆到 'c'...\n完成。\nfatal: No such remote\n", [("clone", None, None, None)]),
    ("a rebase by patches that fails, de", "Zunächst wird der Branch zurückgespult, um Ihre Änderungen darauf neu anzuwenden...\nWende an: add f2\n"
     "Fehler: Merge der Änderungen fehlgeschlagen.\n", []),
    ("a rebase by patches that ends in a conflict, fr", "Rembobinage préalable de head pour pouvoir rejouer votre travail par-dessus...\nApplication de  add f2\n"
     "Utilisation de l'information de l'index pour reconstruire un arbre de base...\nM\ta\nRetour à un patch de la base et fusion à 3 points...\n"
     "Fusion automatique de a\nCONFLIT (contenu) : Conflit de fusion dans a\nerreur\u00a0: Échec d'intégration des modifications.\n", []),
    ("a stash and its pop", "Saved working directory and index state On main: wip\nDropped refs/stash@{0} (d9a6031329ee51853922102bf9476a85afc9f905)\n",
     [("stash", "main", "wip", None), ("stash", None, None, None)]),
    ("three branches gone", "Deleted branch a (was d7f50e8).\nDeleted branch b (was d7f50e8).\nDeleted remote-tracking branch origin/c (was d7f50e8).\n",
     [("branch_delete", "a", None, None), ("branch_delete", "b", None, None), ("branch_delete", "origin/c", None, None)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in GIT], ids=[case[0] for case in GIT])
def test_what_git_prints(text: str, expected: list[Told]):
    assert told(("merged", text)) == expected


LOCALES = [
    ("Zu neuem Branch 'x' gewechselt", "branch_create x"), ("Basculement sur la nouvelle branche 'x'", "branch_create x"),
    ("Cambiado a nueva rama 'x'", "branch_create x"), ("切换到一个新分支 'x'", "branch_create x"), ("Переключились на ветку «x»", "checkout x"),
    ("새로 만든 'x' 브랜치로 전환합니다", "branch_create x"), ("Przełączono na gałąź „x”", "checkout x"), ("'x' dalına geçildi.", "checkout x"),
    ("Branch x entfernt (war ea9bf5c).", "branch_delete x"), ("Branche x supprimée (précédemment ea9bf5c).", "branch_delete x"),
    ("已删除分支 x（曾为 ea9bf5c）。", "branch_delete x"), ("Erfolgreich Rebase ausgeführt und refs/heads/x aktualisiert.", "rebase x"),
    ("HEAD ist jetzt bei ea9bf5c Initial", "reset"), ("HEAD est maintenant à ea9bf5c Initial", "reset"), ("HEAD의 현재 위치는 ea9bf5c입니다 Initial", "reset"), ("Klone nach 'x'...", "clone"),
    ("Si è passati a un nuovo branch 'x'", "branch_create x"), ('Växlade till en ny gren "x"', "branch_create x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LOCALES)
def test_other_languages(text: str, expected: str):
    assert short(told(("stdout", text + "\n"))) == [expected]


FRAMES = [
    "{}", "  {}", "$ git something\n{}", "• {}", "- {}", "> {}", "⎿  {}", "  └ {}", "✅ {}", "🌿 {}", "1. {}", "[1/3] {}", "INFO: {}", "[INFO] {}",
    "2026-03-02 10:00:00,123 - crew.tools - INFO - {}", "2026-03-02 10:00:00.123 | INFO     | __main__:main:5 - {}",
    "2026-03-02T10:00:00Z INFO agent: {}", "[10:00:00] {}", "[2026-03-02 10:00:00] [coder] {}", "Mar  2 10:00:00 host prog[12]: {}",
    "INFO:crew.tools:run: {}", "DEBUG   {}", "Observation: {}", "Tool output: {}", "Tech Lead: {}", "agent-1  | {}", "<output>{}",
    "┃ {}                              ┃", "│  Output: {}                       │", "│ {} │", "2026-03-02 10:00:00 [info     ] {}",
]  # fmt: skip
LINES = [
    ("Creating branch: feature/x", "branch_create feature/x"), ("Committed changes: 5 files", "commit"), ("Switched to branch: dev", "checkout dev"),
    ("Switched to a new branch 'feature/x'", "branch_create feature/x"), ("Switched to branch 'dev'", "checkout dev"),
    ("Merged feature/x into main", "merge main"), ("Deleted branch old (was ea9bf5c).", "branch_delete old"),
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("line", "expected"), LINES)
def test_what_may_stand_around(frame: str, line: str, expected: str):
    assert short(told(("stdout", frame.format(line) + "\n"))) == [expected]


PRINTS = [
    ("Created branch feature/x", "branch_create feature/x"), ("Created branch: feature/x", "branch_create feature/x"),
    ("Created new branch 'feature/x'", "branch_create feature/x"), ("Creating new branch: feature/x...", "branch_create feature/x"),
    ("Creating branch: feature/x from main", "branch_create feature/x"), ("Branch created: feature/x", "branch_create feature/x"),
    ("Created branch: feature/x ✅", "branch_create feature/x"), ("Created branch feature/x successfully", "branch_create feature/x"),
    ("Switching to branch: main", "checkout main"), ("Checked out branch main", "checkout main"), ("Switched to branch main", "checkout main"),
    ("Committed 3 files", "commit"), ("Committed changes: 1 file", "commit"), ("Committed 3 files: feat: x", "commit"),
    ("Committed: feat: x", "commit"), ("Commit f08ca97 fix: correct sign", "commit"), ("Changes committed: 2 files", "commit"),
    ("Merged branch feature/x into main", "merge main"), ("Merging branch: feature/x", "merge"), ("Merged branch: feature/x", "merge"),
    ("Merging feature/x into main...", "merge main"), ("Pushed branch: feature/x", "push feature/x"), ("Deleted branch: old", "branch_delete old"),
    ("Pushed feature/x to origin", "push feature/x"), ("Deleting branch old", "branch_delete old"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), PRINTS)
def test_what_orchestrators_print(line: str, expected: str):
    assert short(told(("stdout", line + "\n"))) == [expected]


NOTHING = [
    "Creating branch protection rules", "I will start by creating a branch: feature/x", "Next, Creating branch: x is what I do",
    "Created branch for the login feature", "Creating branch: {name}", 'print("Creating branch: x")', 'echo "Switched to branch: main"',
    'logger.info("Creating branch: %s", name)', 'f"Switched to branch: {x}"', "Merged the two lists into one", "Merged cells into one table",
    "Merged 3 files", "Committed to quality", "Committed to the cause", "Commit messages should be short", "Commit early, commit often",
    "For the record: [main abc1234] this line only looks like a commit.", "All done: [main abc1234] looks so.", "[main] abc1234 fix",
    "[abc1234] Switched to branch 'x'", "abc1234 Switched to branch 'x'", "* abc1234 (HEAD -> main) Merge made by the 'ort' strategy.",
    "+Switched to branch 'x'", "-Switched to branch 'x'", "remote: Switched to branch 'x'", "hint: Switched to branch 'x'",
    "Then git says Switched to a new branch 'x'", "Switched to a new branch 'x' and went on", "Switched to dark mode", "Fast-forward to the end",
    "- Merged `feature/x` into `main`", "Merged feature/x into main. 150 tokens of commentary saved; no conflicts.",
    "Merged feature/x into main.", "12:Switched to branch 'x'", "log.txt:12:Switched to branch 'x'", "1,2 HEAD is now at the door",
    "From scratch", "To summarize", "Cloning into the wild", "Pushed the button", "Pushed to the limit", "Deleted branch office (was closed)",
    "abc1234 HEAD@{1}: checkout: moving from main to x", "stash@{0}: WIP on main: ea9bf5c Initial", "  remotes/origin/HEAD -> origin/main",
    "* main ea9bf5c [origin/main: ahead 1] Initial", "## main...origin/main [ahead 1]", "Already on 'main'", "Already up to date.",
    "Everything up-to-date", "Current branch x is up to date.", "Submodule path 'lib': checked out '25be251'", "[10:00:00] done",
    "[c9e385e25d44c850f11b79f80f08ce253593cd2a] cp 2", " 2 files changed, 3 insertions(+)", "No local changes to save",
    "Expected: Switched to a new branch 'x'", "Example: Creating branch: x", "Reset branch 'x'", "Preparing worktree (checking out 'x')",
    "commit f08ca97d1e2f", "Rebasing (1/2)", "Initialized empty Git repository in /r/.git/", "Committed changes",
    "To http://host/x", "Creating branch: ", "Creating branch: a b c", "Deleted branch protection",
]  # fmt: skip


@pytest.mark.parametrize("line", NOTHING)
def test_what_only_looks_like_git(line: str):
    assert told(("stdout", line + "\n")) == []


LISTINGS = [
    "commit ea9bf5c8ff8cf7a629a3b70bea8d213b29ece83d\nAuthor: a <a@x>\nDate:   now\n\n    Switched to branch 'x'\n\n    [main abc1234] x\n     1 file changed, 1 insertion(+)\n",
    "diff --git a/log b/log\n--- a/log\n+++ b/log\n@@ -1,3 +1,4 @@\n Switched to branch 'x'\n+ [main abc1234] x\n-Creating branch: x\n Merge made by the 'ort' strategy.\n+Committed 3 files\n",
    " a | 1 +\n 1 file changed, 1 insertion(+)\n",
    "* abc1234 Merge branch 'x'\n|\\  \n| * abc1235 Switched to branch 'x'\n",
]


@pytest.mark.parametrize("text", LISTINGS)
def test_listings_are_no_acts(text: str):
    assert told(("stdout", text)) == []


def test_after_a_diff_lines_count_again():
    text = "@@ -1 +1 @@\n-a\n+Switched to branch 'no'\nSwitched to branch 'yes'\n"
    assert short(told(("stdout", text))) == ["checkout yes"]


def test_what_is_a_shape_is_likely() -> None:
    texts = [template.replace("%s", "1a2b3c4") for group in git_messages.TEMPLATES.values() for template in group]
    texts += ["[main 1a2b3c4] x", "Merge made by the 'ort' strategy.", "Fast-forward", "In-index merge", "To x"]
    for text in texts:
        if git_shapes.read(text):
            assert git_shapes.likely(text), text


def test_a_hook_that_speaks_like_git_on_a_terminal():
    text = "[main abc1234] checks\nlint: ok\ntests: ok\n[main 955fc5c] add f1\n" + STAT
    assert told(("tty", text.replace("\n", "\r\n"))) == [("commit", "main", "add f1", 1)]


def test_what_looks_like_a_hook_is_told_in_its_order():
    text = "[main abc1234] empty\nstep 2\nSwitched to branch 'dev'\n"
    assert short(told(("tty", text.replace("\n", "\r\n")))) == ["commit main", "checkout dev"]

"""Commands that agents ran, with what they printed and how they ended."""

import json
from pathlib import Path

import pytest

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.records import Records
from agentmon.collect.parsers.tool_results import ToolResults

DATA = Path(__file__).parent.parent / "data" / "records"

COMMAND = "git commit -m x"
CASES = {
    "anthropic": (
        [
            {"message": {"content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": COMMAND}}]}},
            {
                "message": {
                    "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done", "is_error": False}]
                }
            },
        ],
        (COMMAND, "done", 0),
    ),
    "anthropic, failed": (
        [
            {"content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": COMMAND}}]},
            {
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": "Exit code 128\nfatal: no",
                        "is_error": True,
                    }
                ]
            },
        ],
        (COMMAND, "fatal: no", 128),
    ),
    "anthropic, blocks of text": (
        [
            {"content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": COMMAND}}]},
            {"content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "done"}]}]},
        ],
        (COMMAND, "done", None),
    ),
    "openai chat": (
        [
            {
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "shell", "arguments": json.dumps({"command": COMMAND})},
                    }
                ]
            },
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ],
        (COMMAND, "done", None),
    ),
    "openai responses": (
        [
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c",
                "name": "shell",
                "arguments": json.dumps({"command": ["bash", "-lc", COMMAND]}),
            },
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": json.dumps({"output": "done", "metadata": {"exit_code": 0}}),
            },
        ],
        (COMMAND, "done", None),
    ),
    "codex": (
        [
            {
                "type": "item.started",
                "item": {
                    "id": "i",
                    "command": f"/bin/bash -lc '{COMMAND}'",
                    "aggregated_output": "",
                    "exit_code": None,
                    "status": "in_progress",
                },
            },
            {
                "type": "item.completed",
                "item": {
                    "id": "i",
                    "command": f"/bin/bash -lc '{COMMAND}'",
                    "aggregated_output": "done",
                    "exit_code": 0,
                    "status": "completed",
                },
            },
        ],
        (COMMAND, "done", 0),
    ),
    "codex, before 0.40": (
        [
            {"id": "1", "msg": {"type": "exec_command_begin", "call_id": "c", "command": ["bash", "-lc", COMMAND]}},
            {
                "id": "1",
                "msg": {"type": "exec_command_end", "call_id": "c", "stdout": "do", "stderr": "ne", "exit_code": 1},
            },
        ],
        (COMMAND, "done", 1),
    ),
    "gemini, nothing printed": (
        [
            {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "t", "parameters": {"command": COMMAND}},
            {"type": "tool_result", "tool_id": "t", "status": "success"},
        ],
        (COMMAND, "", None),
    ),
    "qwen, in a form": (
        [
            {"content": [{"type": "tool_use", "id": "t", "name": "run_shell_command", "input": {"command": COMMAND}}]},
            {
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "is_error": False,
                        "content": f"Command: {COMMAND}\nDirectory: -\nOutput: (empty)\nError: (none)\nExit Code: 0",
                    }
                ]
            },
        ],
        (COMMAND, "", 0),
    ),
    "opencode": (
        [
            {
                "type": "tool_use",
                "part": {
                    "id": "prt",
                    "callID": "c",
                    "tool": "bash",
                    "state": {
                        "status": "completed",
                        "input": {"command": COMMAND},
                        "output": "done",
                        "metadata": {"exit": 1},
                    },
                },
            }
        ],
        (COMMAND, "done", 1),
    ),
    "pi, failed": (
        [
            {"type": "tool_execution_start", "toolCallId": "c", "toolName": "bash", "args": {"command": COMMAND}},
            {
                "type": "tool_execution_update",
                "toolCallId": "c",
                "args": {"command": COMMAND},
                "partialResult": {"content": []},
            },
            {
                "type": "tool_execution_end",
                "toolCallId": "c",
                "isError": True,
                "result": {"content": [{"type": "text", "text": "done\n\nCommand exited with code 2"}]},
            },
        ],
        (COMMAND, "done", 2),
    ),
    "copilot": (
        [
            {
                "type": "tool.execution_start",
                "data": {"toolCallId": "c", "toolName": "bash", "arguments": {"command": COMMAND}},
            },
            {"type": "tool.execution_partial_result", "data": {"toolCallId": "c", "partialOutput": "do"}},
            {
                "type": "tool.execution_complete",
                "data": {
                    "toolCallId": "c",
                    "shellExecution": {"exitCode": 0},
                    "success": True,
                    "result": {"content": "done\n<shellId: 0 completed with exit code 0>"},
                },
            },
        ],
        (COMMAND, "done", 0),
    ),
    "cursor": (
        [
            {
                "type": "tool_call",
                "subtype": "started",
                "call_id": "c",
                "tool_call": {"shellToolCall": {"args": {"command": COMMAND}}},
            },
            {
                "type": "tool_call",
                "subtype": "completed",
                "call_id": "c",
                "tool_call": {
                    "shellToolCall": {
                        "args": {"command": COMMAND},
                        "result": {"success": {"exitCode": 0, "stdout": "done", "stderr": ""}},
                    }
                },
            },
        ],
        (COMMAND, "done", 0),
    ),
}


@pytest.mark.parametrize(("records", "expected"), CASES.values(), ids=CASES)
def test_shape(records, expected):
    tools = ToolResults()
    ran = [ran for record in (*records, *records) for ran in tools.feed(record)]
    assert [(r.command, r.output, r.exit_code) for r in ran] == [expected]
    assert not tools.waiting


def test_other_tools_are_no_commands():
    tools = ToolResults()
    records = [
        {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "git.txt"}},
        {"type": "tool_result", "tool_use_id": "t", "content": "[main abc1234] not a commit"},
    ]
    assert [ran for record in records for ran in tools.feed(record)] == []


@pytest.mark.parametrize(
    "name",
    [
        "claude-code-2.1.197-stream-json",
        "codex-0.169.0-json",
        "gemini-0.61.0-stream-json",
        "opencode-1.18.33-json",
        "pi-0.73.1-json",
        "qwen-0.15.10-json",
        "copilot-1.0.102-json",
    ],
)
def test_the_same_work_by_every_agent(name: str):
    class Git:
        def __init__(self):
            self.seen = []

        def command(self, command, output, exit_code):
            self.seen.append((command, output, exit_code))
            return []

    git = Git()
    records = Records(git)
    for text in (DATA / f"{name}.out").read_text().splitlines():
        list(records.feed(Line("stdout", text, 0.0)))
    commands = [(command, code) for command, _, code in git.seen if command.startswith("git ")]
    assert [command.split("\n")[0][:22] for command, _ in commands] == [
        "git checkout -b featur",
        "git add -A && git comm",
        "git checkout main",
        "git merge --no-ff feat",
        "git switch -c docs/rea",
        "git switch main && git",
    ]
    assert {code for _, code in commands} <= {0, None}
    assert git.seen[0][1].strip() == "Switched to a new branch 'feature/login'"

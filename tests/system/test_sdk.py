"""The hook in real Python children: real SDKs and HTTP clients against a stub whose count is the truth."""

import fcntl
import functools
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import replies
import sdk_programs as programs
from stub import serving

from agentmon.collect.intake.sdk import HOOK, SdkReader

ROOT = Path(__file__).resolve().parents[2]
OLDER = ("openai==1.109.1", "anthropic==0.79.0", "httpx<1", "sniffio", "tqdm", "docstring-parser")
OLD_HTTPX = (
    "httpx==0.27.2",
    "httpcore<2",
    "h11",
    "anyio<4.10",
    "certifi",
    "idna",
    "sniffio",
    "exceptiongroup",
    "typing-extensions",
)
LONGEST_S = 300  # a slow machine takes half a minute to import what the SDKs need
TOO_OLD = ("2.7", "3.6", "3.7", "3.8")
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def _installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # nor is its parent
        return False


def needs(*modules):
    """Skip where the test's own interpreter lacks one."""
    missing = [name for name in modules if not _installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def endless():
    with serving() as server:
        yield server


@pytest.fixture
def stub(endless):
    """The stub, which counts from one in each test."""
    endless.served.clear()
    endless.failed.clear()
    return endless


class Hooked:
    """Runs Python programs as a run would: the hook in front of PYTHONPATH, and a file for it."""

    def __init__(self, folder):
        self.file = folder / "sdk.ndjson"
        self.file.touch()
        self.env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PYTHON", "AGENTMON", "OPENAI_", "ANTHROPIC_", "AWS_"))
            and not k.lower().endswith("_proxy")
        }
        self.env |= {"PYTHONPATH": HOOK, "AGENTMON_SDK_FILE": str(self.file)}

    def bare(self, argv, *paths):
        """The same without the hook."""
        env = {k: v for k, v in self.env.items() if k != "AGENTMON_SDK_FILE"} | {
            "PYTHONPATH": os.pathsep.join(map(str, paths))
        }
        return self._output(argv, env)

    def run(self, argv, *paths, **env):
        """What it prints. paths: further entries of PYTHONPATH."""
        return self._output(argv, {**self.env, "PYTHONPATH": os.pathsep.join(map(str, [HOOK, *paths])), **env})

    def _output(self, argv, env):
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=LONGEST_S)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr == ""
        return done.stdout

    def records(self):
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def usages(self):
        return [finding.payload for finding in SdkReader(str(self.file)).read()]


@pytest.fixture
def hooked(tmp_path):
    return Hooked(tmp_path)


def told(usages):
    return sorted(
        (u.input_tokens, u.output_tokens, u.cache_read_tokens or 0, u.cache_write_tokens or 0, u.reasoning_tokens or 0)
        for u in usages
        if u.input_tokens is not None
    )


def served(stub):
    return sorted(tuple(figure or 0 for figure in replies.truth(dialect, n)) for dialect, n, _ in stub.served)


def library(name, *requirements, options=()):
    """A folder with other versions than those installed, kept from one test run to the next."""
    folder = (
        Path(tempfile.gettempdir())
        / f"agentmon-tests-{os.getuid()}"
        / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    )
    folder.parent.mkdir(exist_ok=True)
    with open(folder.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test workers installs
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                     "--retries", "1", "--timeout", "10", "--target", part, *options, *requirements],
                    capture_output=True, text=True, timeout=100,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                pytest.skip(f"the registry is too slow: {name}")
            if done.returncode:
                pytest.skip(f"the registry cannot be reached, or lacks {name}: {done.stderr.strip()[-200:]}")
            part.rename(folder)
    return folder


@pytest.mark.parametrize("age", ["current", "older"])
def test_real_sdks(hooked, stub, age):
    needs("openai", "anthropic")
    paths = () if age == "current" else (library("older-sdks", *OLDER),)
    code = [sys.executable, "-c", programs.SDKS, stub.url, f"{stub.url}/gzip"]
    out = hooked.run(code, *paths)
    assert len(out.split()) == len(stub.served) == 22
    assert told(hooked.usages()) == served(stub)
    records = hooked.records()
    assert len(records) == 22
    assert all(r["complete"] and r["status"] == 200 and r["model"] == replies.MODEL and r["id"] is not None
               for r in records if r["dialect"] != "embeddings")  # fmt: skip
    assert sum(r["streamed"] for r in records) == sum(streamed for _, _, streamed in stub.served)
    assert all((r["time_to_first_token_s"] is not None) == r["streamed"] for r in records)
    expected = {"current": {"httpx2"} if _uses_httpx2() else {"httpx"}, "older": {"httpx"}}[age]
    assert {r["client"] for r in records} == expected


def _uses_httpx2():
    return any("httpx2" in line for line in importlib.metadata.requires("openai") or ())


def test_habits_of_programs(hooked, stub):
    needs("openai", "anthropic")
    assert hooked.run([sys.executable, "-c", programs.HABITS, stub.url]) == "done\n"
    assert [n for _, n, _ in stub.served] == list(range(1, 11))
    records = {r["id"]: r for r in hooked.records() if r["id"]}
    assert sorted(r["status"] for r in hooked.records()) == [200] * 10 + [401, 529]
    assert [r["model"] for r in hooked.records() if r["status"] == 401] == ["asked-for"]
    usages = {u.call_id: u for u in hooked.usages()}
    for n in (1, 2, 5, 6, 7, 8, 10):
        usage = usages[f"msg_{n}"]
        assert (usage.input_tokens, usage.output_tokens) == replies.truth("anthropic", n)[:2]
    for n in (3, 9):  # the end of these was never seen
        assert usages[f"msg_{n}"].input_tokens == replies.truth("anthropic", n)[0]
        assert usages[f"msg_{n}"].output_tokens is None
    assert usages["chatcmpl-4"].total_tokens is None
    assert records["msg_10"]["pid"] != records["msg_9"]["pid"]
    assert records["msg_10"]["ppid"] == records["msg_9"]["pid"]


@pytest.mark.parametrize("client", ["httpx", "httpx2", "aiohttp", "requests", "urllib3"])
def test_http_clients(hooked, stub, client):
    needs(client)
    decoders = {"br": "brotli", "zstd": "zstandard" if client == "httpx" else "backports.zstd"}
    codings = ["", "/gzip", *(f"/{coding}" for coding, module in decoders.items() if _installed(module))]
    asked = [
        (f"{stub.url}{coding}{path}", {"model": "stub-1", "stream": stream, "stream_options": {"include_usage": True}})
        for coding in codings
        for stream, paths in ((False, replies.PATHS), (True, replies.STREAM_PATHS))
        for name, path in paths.items()
        if not stream or name in replies.STREAMED
    ]
    asked.append((stub.url + replies.STREAM_PATHS["gemini"].removesuffix("?alt=sse"), {}))
    code = [sys.executable, "-c", programs.CLIENTS, client, json.dumps(asked)]
    out = hooked.run(code)
    assert len(out.split()) == 3 * len(asked)
    assert told(hooked.usages()) == served(stub)
    assert len(hooked.records()) == len(stub.served) == 3 * len(asked)
    stub.served.clear()
    assert hooked.bare(code) == out  # same bytes with and without


def test_botocore(hooked, stub):
    needs("botocore")
    out = hooked.run([sys.executable, "-c", programs.BOTOCORE, stub.url], AWS_EC2_METADATA_DISABLED="true")
    assert out.split() == ["901", "902"]
    assert told(hooked.usages()) == served(stub)


@pytest.mark.parametrize("client", ["httpx", "httpx2", "aiohttp", "requests"])
def test_a_connection_that_breaks_is_an_unknown_call(hooked, stub, client):
    needs(client)
    asked = [(f"{stub.url}/cut/v1/messages", {"stream": stream}) for stream in (True, False)]
    for one in asked:
        argv = [sys.executable, "-c", programs.CLIENTS, client, json.dumps([one])]
        done = subprocess.run(argv, env=hooked.env, capture_output=True, text=True, timeout=LONGEST_S)
        assert done.returncode == 1
    usages = hooked.usages()
    assert len(usages) == len(stub.served) == 2
    assert all(usage.output_tokens is None for usage in usages)


@functools.cache
def _interpreters():
    found = {}
    for version in TOO_OLD + VERSIONS:
        pattern = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        path = str(pattern[-1]) if pattern else shutil.which(f"python{version}")
        # a version manager's stub is found, and is no interpreter
        if path is not None and not subprocess.run([path, "-c", "pass"], capture_output=True).returncode:
            found[version] = path
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_interpreters(hooked, stub, version, tmp_path):
    python = _interpreters().get(version) or pytest.skip(f"no Python {version} found")
    httpx = library("httpx", *OLD_HTTPX, options=("--python-version", "3.9", "--only-binary=:all:"))
    assert hooked.run([python, "-W", "ignore", "-c", programs.ONE_CALL, stub.url], httpx) == "901 []\n"
    assert told(hooked.usages()) == served(stub)
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import sys; sys.chained = __file__")
    show = "import sys; print(getattr(sys, 'chained', None), sys.modules['sitecustomize'].__file__, sys.path)"
    assert hooked.run([python, "-c", show], other) == hooked.bare([python, "-c", show], other)
    (other / "sitecustomize.py").write_text("raise RuntimeError('mine')")
    ends = [
        subprocess.run(
            [python, "-c", "print(1)"], env={**hooked.env, "PYTHONPATH": path}, capture_output=True, text=True
        )
        for path in (f"{HOOK}:{other}", str(other))
    ]
    assert (ends[0].stdout, ends[0].stderr) == (ends[1].stdout, ends[1].stderr)
    quiet = "import sys; print(sys.path, [m for m in sys.modules if 'agentmon' in m], len(sys.meta_path))"
    for flag in ("-I", "-E"):
        assert hooked.run([python, flag, "-c", quiet]) == hooked.bare([python, flag, "-c", quiet])


@pytest.mark.parametrize("version", TOO_OLD)
def test_interpreters_that_are_too_old_are_left_alone(hooked, version, tmp_path):
    python = _interpreters().get(version) or pytest.skip(f"no Python {version} found")
    show = "import sys; print(getattr(sys, 'chained', None), sys.path, [type(one) for one in sys.meta_path])"
    for own in (None, "import sys; sys.chained = __file__", "import nothing_there"):
        if own is not None:
            (tmp_path / "sitecustomize.py").write_text(own)
        ends = [
            subprocess.run(
                [python, "-B", "-c", show], env={**hooked.env, "PYTHONPATH": path}, capture_output=True, text=True
            )
            for path in (f"{HOOK}:{tmp_path}", str(tmp_path))
        ]
        assert (ends[0].returncode, ends[0].stdout, ends[0].stderr) == (0, ends[1].stdout, ends[1].stderr)


def test_a_program_sees_the_same_modules(hooked):
    needs("httpx")
    show = "import sys, httpx as h; print(sys.path, h.__loader__.__class__, h.__spec__.loader is h.__loader__"
    show += ", vars(h.__loader__), h.HTTPTransport.handle_request.__qualname__)"
    assert hooked.run([sys.executable, "-c", show]) == hooked.bare([sys.executable, "-c", show])


def test_virtual_environments(hooked, stub, tmp_path):
    needs("httpx")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    httpx = library("httpx", *OLD_HTTPX, options=("--python-version", "3.9", "--only-binary=:all:"))
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "here.pth").write_text(f"{httpx}\n")
    assert hooked.run([tmp_path / "venv/bin/python", "-c", programs.ONE_CALL, stub.url]) == "901 []\n"
    assert told(hooked.usages()) == served(stub)


def test_uv_run(hooked, stub, tmp_path):
    uv = shutil.which("uv") or (importlib.util.find_spec("uv") and importlib.import_module("uv").find_uv_bin())
    if not uv:
        pytest.skip("uv is not installed")
    httpx = library("httpx", *OLD_HTTPX, options=("--python-version", "3.9", "--only-binary=:all:"))
    (tmp_path / "program.py").write_text(programs.ONE_CALL)
    argv = [
        uv,
        "run",
        "--offline",
        "--no-project",
        "--quiet",
        "--python",
        sys.executable,
        tmp_path / "program.py",
        stub.url,
    ]
    assert hooked.run(argv, httpx, UV_CACHE_DIR=str(tmp_path / "cache")) == "901 []\n"
    assert told(hooked.usages()) == served(stub)


@pytest.mark.parametrize("file", ["gone/file", ".", "/dev/full"])
def test_a_file_that_cannot_be_written_changes_nothing(hooked, stub, tmp_path, file):
    needs("httpx")
    assert (
        hooked.run([sys.executable, "-c", programs.ONE_CALL, stub.url], AGENTMON_SDK_FILE=str(tmp_path / file))
        == "901 []\n"
    )


@pytest.mark.parametrize("under_hook", [False, True])
def test_wrap(hooked, stub, under_hook):
    needs("openai", "anthropic")
    path = os.pathsep.join([HOOK] * under_hook + [str(ROOT)])
    calls = json.loads(hooked.run([sys.executable, "-c", programs.WRAPPED, stub.url], PYTHONPATH=path))
    assert [call["status"] for call in calls] == [200, 200, 200, 200, 400]
    truths = [replies.truth(dialect, n) for dialect, n, _ in stub.served]
    assert [(c["input_tokens"], c["output_tokens"]) for c in calls[:4]] == [truth[:2] for truth in truths[:4]]
    assert [c["streamed"] for c in calls[:4]] == [False, True, False, True]
    usages = hooked.usages()  # without a hook only what was wrapped without a callback; with it, all, and once
    assert told(usages) == (
        served(stub) if under_hook else sorted(tuple(f or 0 for f in truth) for truth in truths[4:])
    )
    assert len(usages) == (10 if under_hook else 5)


def test_a_run_counts_its_childrens_children(wrapper, stub):
    needs("httpx")
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
    wrapper.env.pop("PYTHONPATH")
    result = wrapper.run([sys.executable, "-c", code, programs.ONE_CALL, stub.url], cwd=ROOT)
    assert (result.code, result.out) == (0, b"901 []\n")
    events = [json.loads(line) for line in wrapper.run_log().splitlines()]
    (usage,) = [event["data"]["token_usage"] for event in events if event["event"] == "llm_call"]
    assert (usage["source"], usage["call_id"], usage["input_tokens"]) == (
        "sdk",
        "msg_1",
        replies.truth("anthropic", 1)[0],
    )

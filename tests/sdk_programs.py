"""Programs for the tests of the hook: each runs as a child, and knows nothing of it."""

# All that the SDKs of OpenAI and Anthropic offer, against every base URL in argv. Prints what they themselves report.
SDKS = """
import asyncio, sys
import anthropic, openai
ask = [{"role": "user", "content": "hi"}]
tell = {"include_usage": True}
def show(usage):
    print(getattr(usage, "input_tokens", None) or usage.prompt_tokens)
def sync(base):
    o = openai.OpenAI(base_url=base + "/v1", api_key="k", max_retries=0)
    show(o.chat.completions.create(model="stub-1", messages=ask).usage)
    for chunk in o.chat.completions.create(model="stub-1", messages=ask, stream=True, stream_options=tell):
        if chunk.usage: show(chunk.usage)
    if hasattr(o, "responses"):
        show(o.responses.create(model="stub-1", input="hi").usage)
        for event in o.responses.create(model="stub-1", input="hi", stream=True):
            if event.type == "response.completed": show(event.response.usage)
    show(o.embeddings.create(model="stub-1", input="hi", encoding_format="float").usage)
    a = anthropic.Anthropic(base_url=base, api_key="k", max_retries=0)
    show(a.messages.create(model="stub-1", max_tokens=9, messages=ask).usage)
    with a.messages.stream(model="stub-1", max_tokens=9, messages=ask) as stream:
        show(stream.get_final_message().usage)
async def asynchronous(base):
    o = openai.AsyncOpenAI(base_url=base + "/v1", api_key="k", max_retries=0)
    show((await o.chat.completions.create(model="stub-1", messages=ask)).usage)
    async for chunk in await o.chat.completions.create(model="stub-1", messages=ask, stream=True, stream_options=tell):
        if chunk.usage: show(chunk.usage)
    a = anthropic.AsyncAnthropic(base_url=base, api_key="k", max_retries=0)
    show((await a.messages.create(model="stub-1", max_tokens=9, messages=ask)).usage)
    async with a.messages.stream(model="stub-1", max_tokens=9, messages=ask) as stream:
        show((await stream.get_final_message()).usage)
for base in sys.argv[1:]:
    sync(base)
    asyncio.run(asynchronous(base))
"""

# Retries, streams that are not read to their end, errors, threads, a fork, a program that just ends.
HABITS = """
import os, sys, threading
import anthropic, openai
base = sys.argv[1]
ask = [{"role": "user", "content": "hi"}]
a = anthropic.Anthropic(base_url=base, api_key="k", max_retries=0)
retrying = anthropic.Anthropic(base_url=base + "/fail=529:retry", api_key="k", max_retries=2)
retrying.messages.create(model="stub-1", max_tokens=9, messages=ask)                         # 529, and then n = 1
for event in a.messages.create(model="stub-1", max_tokens=9, messages=ask, stream=True):     # n = 2, left at its end
    if event.type == "message_stop": break
stream = a.messages.create(model="stub-1", max_tokens=9, messages=ask, stream=True)          # n = 3, closed early
next(iter(stream)); stream.close()
o = openai.OpenAI(base_url=base + "/v1", api_key="k", max_retries=0)
for chunk in o.chat.completions.create(model="stub-1", messages=ask, stream=True):           # n = 4, tells no usage
    pass
kwargs = dict(model="stub-1", max_tokens=9, messages=ask)
threads = [threading.Thread(target=a.messages.create, kwargs=kwargs) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]                                    # n = 5 to 8
try:
    refused = openai.OpenAI(base_url=base + "/fail=401:x/v1", api_key="k")
    refused.chat.completions.create(model="asked-for", messages=ask)
except openai.AuthenticationError:
    pass
held = a.messages.create(model="stub-1", max_tokens=9, messages=ask, stream=True)            # n = 9, open at the end
next(iter(held))
if os.fork() == 0:
    a.messages.create(model="stub-1", max_tokens=9, messages=ask)                            # n = 10, in a fork
    sys.exit(0)
os.wait()
print("done")
"""

# One plain request for every [path, body] in argv, by the client in argv[1]; prints the length of what came.
CLIENTS = """
import asyncio, json, sys
client, requests_ = sys.argv[1], json.loads(sys.argv[2])
def httpx_(module):
    with module.Client() as c:
        for url, body in requests_:
            print(len(c.post(url, json=body).content))
        for url, body in requests_:
            with c.stream("POST", url, json=body) as r:
                print(sum(map(len, r.iter_bytes())))
    async def run():
        async with module.AsyncClient() as c:
            for url, body in requests_:
                async with c.stream("POST", url, json=body) as r:
                    print(sum([len(p) async for p in r.aiter_bytes()]))
    asyncio.run(run())
async def aiohttp_():
    import aiohttp
    async with aiohttp.ClientSession() as c:
        for url, body in requests_:
            async with c.post(url, json=body) as r:
                print(len(await r.read()))
        for url, body in requests_:
            async with c.post(url, json=body) as r:
                print(sum([len(p) async for p in r.content.iter_any()]))
        for url, body in requests_:
            async with c.post(url, json=body) as r:
                print(sum([len(p) async for p in r.content]))
def requests__():
    import requests
    with requests.Session() as c:
        for url, body in requests_:
            print(len(c.post(url, json=body).content))
        for url, body in requests_:
            with c.post(url, json=body, stream=True) as r:
                print(sum(map(len, r.iter_content(64))))
        for url, body in requests_:
            with c.post(url, json=body, stream=True) as r:
                print(len(b"".join(r.iter_lines())))
def urllib3_():
    import urllib3
    pool = urllib3.PoolManager()
    for url, body in requests_:
        print(len(pool.request("POST", url, body=json.dumps(body)).data))
    for url, body in requests_:
        r = pool.request("POST", url, body=json.dumps(body), preload_content=False)
        print(len(r.read())); r.release_conn()
    for url, body in requests_:
        r = pool.request("POST", url, body=json.dumps(body), preload_content=False)
        print(sum(map(len, r.stream(64)))); r.release_conn()
if client in ("httpx", "httpx2"):
    httpx_(__import__(client))
elif client == "aiohttp":
    asyncio.run(aiohttp_())
else:
    {"requests": requests__, "urllib3": urllib3_}[client]()
"""

BOTOCORE = """
import sys
import botocore.session
client = botocore.session.Session().create_client(
    "bedrock-runtime", region_name="eu-west-1", endpoint_url=sys.argv[1],
    aws_access_key_id="k", aws_secret_access_key="s")
ask = dict(modelId="stub-1", messages=[{"role": "user", "content": [{"text": "hi"}]}])
print(client.converse(**ask)["usage"]["inputTokens"])
for event in client.converse_stream(**ask)["stream"]:
    if "metadata" in event:
        print(event["metadata"]["usage"]["inputTokens"])
"""

# One call with whatever httpx there is; argv: base URL.
ONE_CALL = """
import sys
try:
    import httpx
except ImportError:
    import httpx2 as httpx
reply = httpx.post(sys.argv[1] + "/v1/messages", json={"model": "stub-1"})
print(reply.json()["usage"]["input_tokens"], [e for e in sys.path if e.endswith("hook")])
"""

# Wrapped clients: first with a callback, then straight into the run. Prints what the callback was told.
WRAPPED = """
import asyncio, json, sys
import agentmon, anthropic, openai
base = sys.argv[1]
ask = [{"role": "user", "content": "hi"}]
told = []
def listen(call):
    told.append(call)
    raise RuntimeError("a callback's own trouble")
def use(*callback):
    o = agentmon.wrap(openai.OpenAI(base_url=base + "/v1", api_key="k"), *callback)
    o.chat.completions.create(model="stub-1", messages=ask)
    tell = {"include_usage": True}
    for chunk in o.chat.completions.create(model="stub-1", messages=ask, stream=True, stream_options=tell):
        pass
    a = agentmon.wrap(anthropic.AsyncAnthropic(base_url=base, api_key="k"), *callback)
    async def main():
        await a.messages.create(model="stub-1", max_tokens=9, messages=ask)
        async with a.messages.stream(model="stub-1", max_tokens=9, messages=ask) as stream:
            await stream.get_final_message()
    asyncio.run(main())
    fail = f"/fail=400:{len(callback)}/v1"
    try:
        failing = agentmon.wrap(openai.OpenAI(base_url=base + fail, api_key="k"), *callback)
        failing.embeddings.create(model="stub-1", input="hi")
    except openai.BadRequestError:
        pass
use(listen)
use()
try:
    agentmon.wrap(object())
except TypeError:
    print(json.dumps(told))
"""

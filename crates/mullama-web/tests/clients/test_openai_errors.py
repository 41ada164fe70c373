"""The `openai` package where something is wrong: its errors' attributes, what it tries again, clients that go away."""

import asyncio
import json
import time

import httpx2
import openai
import pytest

from conftest import MODEL, TOOLS, user

HELLO = user("Hello!")


class Counting(httpx2.HTTPTransport):
    """Counts what is really sent."""

    sent = 0

    def handle_request(self, request):
        self.sent += 1
        return super().handle_request(request)


@pytest.fixture
def transport():
    return Counting()


@pytest.fixture
def client(server, transport):
    """As people have it: with the package's own retries."""
    http_client = openai.DefaultHttpxClient(transport=transport)
    with openai.OpenAI(base_url=server.v1, api_key=server.key, http_client=http_client, timeout=60) as client:
        yield client


def told(caught):
    error = caught.value
    assert error.request_id == error.response.headers["x-request-id"]
    assert set(error.body) >= {"message", "type", "param", "code"} and error.body["message"]
    assert error.response.headers["content-type"].startswith("application/json")
    return error.status_code, error.type, error.code, error.param


def test_unknown_model(client, transport):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-none", messages=HELLO)
    assert told(caught) == (404, "not_found_error", "model_not_found", "model")
    assert "gpt-none" in caught.value.message and transport.sent == 1


@pytest.mark.parametrize("name", ["nobody", "a/b", "a b/ü"])
def test_unknown_model_retrieved(client, name):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    assert told(caught)[:3] == (404, "not_found_error", "model_not_found") and name in caught.value.message


def test_unknown_model_with_a_raw_slash(server):
    answer = httpx2.get(f"{server.v1}/models/a/b", headers=server.headers)
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello!"}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"stop": 7}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"max_tokens": -7}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": "get_weather"}, "tools"),
        ({"tool_choice": "sometimes", "tools": TOOLS}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "nothing"}}, "tools": TOOLS}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"logit_bias": {"no number": 1}}, "logit_bias"),
        ({"seed": "x"}, "seed"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_wrong_fields(client, transport, wrong, param, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": HELLO, "stream": stream, **wrong})
    status, kind, _, told_param = told(caught)
    assert (status, kind) == (400, "invalid_request_error")
    assert told_param is not None and told_param.startswith(param), told_param
    assert transport.sent == 1, "a user's mistake is not tried again"


def test_null_is_absent(client):
    null = {"stop": None, "n": None, "seed": None, "tools": None, "max_tokens": None, "response_format": None}
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, extra_body=null)
    assert answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_a_prompt(client, transport, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=user("word " * 20_000), stream=stream)
    assert told(caught)[2] == "context_length_exceeded" and transport.sent == 1
    assert caught.value.body["n_prompt_tokens"] > caught.value.body["n_ctx"] > 0
    assert str(caught.value.body["n_ctx"]) in caught.value.message


def test_schema_that_cannot_be(client):
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=HELLO, response_format=wrong)
    assert told(caught)[3].startswith("response_format")


def test_wrong_key(server, transport):
    http_client = openai.DefaultHttpxClient(transport=transport)
    with openai.OpenAI(base_url=server.v1, api_key="wrong", http_client=http_client) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=MODEL, messages=HELLO)
    assert told(caught)[:3] == (401, "authentication_error", "invalid_api_key") and transport.sent == 1


def test_too_large_a_body(client, transport):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=MODEL, messages=user("x" * (33 << 20)))
    assert told(caught)[:2] == (413, "invalid_request_error") and transport.sent == 1


def test_no_json(server):
    for body, kind, status in [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
    ]:
        headers = {**server.headers, "content-type": kind}
        answer = httpx2.post(f"{server.v1}/chat/completions", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("PUT", "/v1/chat/completions", 405)]
)
def test_no_such_route(server, method, path, status):
    answer = httpx2.request(method, f"{server.url}{path}", headers=server.headers)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] in ("invalid_request_error", "not_found_error")


def test_headers(server):
    body = {"model": MODEL, "messages": HELLO, "max_tokens": 1}
    answer = server.post("/v1/chat/completions", body)
    assert answer.headers["x-request-id"] and float(answer.headers["openai-processing-ms"]) >= 0
    mine = httpx2.post(f"{server.v1}/chat/completions", json=body, headers={**server.headers, "x-request-id": "mine-1"})
    assert mine.headers["x-request-id"] == "mine-1"


def test_stream_on_the_wire(server):
    body = {"model": MODEL, "messages": user("What is 7 + 8?"), "temperature": 0, "stream": True}
    answer = server.post("/v1/chat/completions", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache" and answer.headers["x-accel-buffering"] == "no"
    *events, end = answer.text.split("\n\n")
    assert end == "" and events[-1] == "data: [DONE]"
    events = [event for event in events if not event.startswith(":")]
    assert all(event.startswith("data: ") and "\n" not in event for event in events), "no named events, one line each"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert all("usage" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert not any(chunk["choices"][0]["delta"].get("content") for chunk in chunks[-1:])
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_tool_deltas_on_the_wire(server):
    question = user("What is the weather in Paris?")
    body = {"model": MODEL, "messages": question, "tools": TOOLS, "stream": True, "temperature": 0}
    lines = server.post("/v1/chat/completions", body).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert set(calls[0]) == {"index", "id", "type", "function"} and isinstance(calls[0]["function"]["arguments"], str)
    assert all(set(call) == {"index", "function"} and set(call["function"]) == {"arguments"} for call in calls[1:])


# A generation that takes its time: the model may not end, in four answers at once.
LONG = {"n": 4, "max_tokens": 1_900, "extra_body": {"ignore_eos": True}, "temperature": 0}
LONG_TOKENS = 4 * 1_900


def freed(server, before):
    """Nothing runs soon after, and the answers were not computed to their end."""
    server.wait_until_idle(1)
    tokens = server.metric("llamacpp:tokens_predicted_total") - before
    assert tokens < LONG_TOKENS * 0.75, f"{tokens:.0f} of {LONG_TOKENS} tokens were computed for nobody"


def test_cancel_by_closing_the_stream(client, server):
    server.wait_until_idle(10)
    before = server.metric("llamacpp:tokens_predicted_total")
    stream = client.chat.completions.create(model=MODEL, messages=user("Count to 20."), stream=True, **LONG)
    next(iter(stream))
    assert server.running() > 0
    stream.close()
    freed(server, before)
    answer = client.chat.completions.create(model=MODEL, messages=user("What is 7 + 8?"), temperature=0)
    assert answer.choices[0].message.content == "7 + 8 = 15."


def test_cancel_by_timeout(server):
    server.wait_until_idle(10)
    before = server.metric("llamacpp:tokens_predicted_total")
    with openai.OpenAI(base_url=server.v1, api_key=server.key, max_retries=0, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=MODEL, messages=user("Count to 20."), **LONG)
    freed(server, before)


def test_cancel_of_a_task(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.v1, api_key=server.key, max_retries=0) as client:
            work = client.chat.completions.create(model=MODEL, messages=user("Count to 20."), **LONG)
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0.3)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    server.wait_until_idle(10)
    before = server.metric("llamacpp:tokens_predicted_total")
    asyncio.run(ask())
    freed(server, before)


def test_a_slow_reader_stops_nobody(client, server):
    server.wait_until_idle(10)
    stream = client.chat.completions.create(model=MODEL, messages=user("Count to 20."), stream=True, **{**LONG, "n": 1})
    next(iter(stream))
    start = time.monotonic()
    for _ in range(5):
        answer = client.chat.completions.create(model=MODEL, messages=user("What is 7 + 8?"), temperature=0)
        assert answer.choices[0].message.content == "7 + 8 = 15."
    assert time.monotonic() - start < 5
    stream.close()
    server.wait_until_idle(1)

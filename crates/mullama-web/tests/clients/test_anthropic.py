"""The `anthropic` package: messages, streams, tools, counting, errors."""

import asyncio

import anthropic
import pytest

from conftest import LIGHT, MODEL, WEATHER, user

TOOLS = [
    {"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}
    for function in (WEATHER, LIGHT)
]


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key=server.key, max_retries=0, timeout=60) as client:
        yield client


# The package has no argument for it any more; the API has.
GREEDY = {"temperature": 0}


def ask(client, text, **more):
    messages = text if isinstance(text, list) else user(text)
    common = {"model": MODEL, "max_tokens": 160, "messages": messages, "extra_body": GREEDY}
    return client.messages.create(**{**common, **more})


def test_message(client):
    answer = ask(client, "What is 7 + 8?")
    assert answer.id.startswith("msg_") and (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    [block] = answer.content
    assert (block.type, block.text) == ("text", "7 + 8 = 15.")
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert answer.usage.output_tokens == 10 and answer._request_id
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) == 16


@pytest.mark.parametrize("system", ["Your name is Nova.", [{"type": "text", "text": "Your name is Nova."}]])
def test_system(client, system):
    assert ask(client, "What is your name?", system=system).content[0].text == "My name is Nova."


def test_blocks_and_turns(client):
    messages = user([{"type": "text", "text": "My name is Anna."}])
    messages += [{"role": "assistant", "content": [{"type": "text", "text": "Nice to meet you, Anna!"}]}]
    assert ask(client, messages + user("What is my name?")).content[0].text == "Your name is Anna."


def test_ends(client):
    answer = ask(client, "Count to 20.", stop_sequences=[", 5"])
    assert (answer.stop_reason, answer.stop_sequence, answer.content[0].text) == ("stop_sequence", ", 5", "1, 2, 3, 4")
    answer = ask(client, "Count to 20.", max_tokens=5)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 5


def test_stream_events(client):
    events = list(ask(client, "What is 7 + 8?", stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    begin, end = ["message_start", "content_block_start"], ["content_block_stop", "message_delta", "message_stop"]
    assert kinds[:2] == begin and kinds[-3:] == end and set(kinds[2:-3]) == {"content_block_delta"}
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == "7 + 8 = 15."
    [delta] = [event for event in events if event.type == "message_delta"]
    assert delta.delta.stop_reason == "end_turn" and delta.usage.output_tokens == 10


def test_stream_helper(client):
    with client.messages.stream(
        model=MODEL, max_tokens=160, messages=user("Count to 20."), extra_body=GREEDY
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == message.content[0].text and text.endswith("19, 20.") and message.stop_reason == "end_turn"


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_tools(client, choice):
    answer = ask(client, "What is the weather in Paris?", tools=TOOLS, tool_choice=choice)
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input, answer.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use") and call.id


def test_tools_streamed(client):
    question = user("What is the weather in Paris?")
    more = {"tools": TOOLS, "extra_body": GREEDY}
    with client.messages.stream(model=MODEL, max_tokens=160, messages=question, **more) as stream:
        partial = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input, message.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use") and partial


def test_tool_result(client):
    question = user("What is the weather in Oslo?")
    asked = ask(client, question, tools=TOOLS[:1])
    [call] = [block for block in asked.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"weather": "sunny", "temperature": 21}'}
    messages = question + [{"role": "assistant", "content": asked.content}] + user([result])
    assert ask(client, messages, tools=TOOLS[:1]).content[0].text == "It is sunny and 21 degrees in Oslo."


def test_count_tokens(client):
    assert client.messages.count_tokens(model=MODEL, messages=user("What is 7 + 8?")).input_tokens == 16
    more = client.messages.count_tokens(model=MODEL, messages=user("What is 7 + 8?"), tools=TOOLS, system="Be kind.")
    assert more.input_tokens > 16


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wrong", "error", "kind"),
    [
        ({"model": "claude-none"}, anthropic.NotFoundError, "not_found_error"),
        ({"max_tokens": -1}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"extra_body": {"temperature": "hot"}}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": user("word " * 20_000)}, anthropic.BadRequestError, "invalid_request_error"),
    ],
    ids=["model", "max_tokens", "messages", "temperature", "length"],
)
def test_errors(client, wrong, error, kind, stream):
    with pytest.raises(error) as caught:
        ask(client, "Hello!", **{"stream": stream, **wrong})
    body = caught.value.body
    assert caught.value.type == kind and caught.value.request_id
    assert body["type"] == "error" and body["error"]["type"] == kind and body["error"]["message"]


def test_wrong_key(server):
    with anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            ask(client, "Hello!")
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_cancel(client, server):
    server.wait_until_idle(10)
    before = server.metric("llamacpp:tokens_predicted_total")
    stream = ask(client, "Count to 20.", max_tokens=1_900, stream=True, extra_body={**GREEDY, "ignore_eos": True})
    next(iter(stream))
    stream.close()
    server.wait_until_idle(1)
    assert server.metric("llamacpp:tokens_predicted_total") - before < 1_900 * 0.75


def test_async_client(server):
    async def talk():
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key=server.key, max_retries=0) as client:
            answers = await asyncio.gather(*(ask(client, f"What is {n} + 1?") for n in range(1, 4)))
            return [answer.content[0].text for answer in answers]

    assert asyncio.run(talk()) == [f"{n} + 1 = {n + 1}." for n in range(1, 4)]

"""The `openai` package's Responses API."""

import json

import openai
import pytest
from pydantic import BaseModel

from conftest import LIGHT, MODEL, WEATHER

TOOLS = [{"type": "function", **function} for function in (WEATHER, LIGHT)]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.v1, api_key=server.key, max_retries=0, timeout=60) as client:
        yield client


def ask(client, text, **more):
    return client.responses.create(**{"model": MODEL, "input": text, "temperature": 0, **more})


def test_create(client):
    answer = ask(client, "What is 7 + 8?")
    assert answer.id.startswith("resp_") and (answer.object, answer.status) == ("response", "completed")
    assert answer.output_text == "7 + 8 = 15." and answer.error is None
    [message] = answer.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (16, 10, 26)


def test_instructions_and_items(client):
    answer = ask(client, [{"role": "user", "content": "What is your name?"}], instructions="Your name is Nova.")
    assert answer.output_text == "My name is Nova."
    parts = [{"role": "user", "content": [{"type": "input_text", "text": "What is 7 + 8?"}]}]
    assert ask(client, parts).output_text == "7 + 8 = 15."


def test_length(client):
    answer = ask(client, "Count to 20.", max_output_tokens=5)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"


def test_stream(client):
    events = list(ask(client, "What is 7 + 8?", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    order = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "output_item.done"]
    places = [kinds.index(f"response.{name}") for name in order]
    assert places == sorted(places)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "7 + 8 = 15."
    assert events[-1].response.id == events[0].response.id


def test_stream_helper(client):
    with client.responses.stream(model=MODEL, input="Count to 20.", temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    assert text.endswith("19, 20.")


def test_parse(client):
    answer = client.responses.parse(
        model=MODEL, input="Make JSON with name Anna and age 7.", text_format=Person, temperature=0
    )
    assert answer.output_parsed == Person(name="Anna", age=7)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "name": "get_weather"}])
def test_tools(client, choice):
    [call] = ask(client, "What is the weather in Paris?", tools=TOOLS, tool_choice=choice).output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Paris"})
    assert call.call_id


def test_tools_streamed(client):
    events = list(ask(client, "What is the weather in Paris?", tools=TOOLS, stream=True))
    deltas = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert json.loads(deltas) == json.loads(done.arguments) == {"city": "Paris"}
    assert events[-1].response.output[0].name == "get_weather"


def test_tool_result(client):
    question = {"role": "user", "content": "What is the weather in Oslo?"}
    [call] = ask(client, [question], tools=TOOLS[:1]).output
    result = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": '{"weather": "sunny", "temperature": 21}',
    }
    answer = ask(client, [question, call.model_dump(exclude_none=True), result], tools=TOOLS[:1])
    assert answer.output_text == "It is sunny and 21 degrees in Oslo."


def test_previous_response(client):
    first = ask(client, "My name is Anna.")
    second = ask(client, "What is my name?", previous_response_id=first.id)
    assert second.output_text == "Your name is Anna." and second.previous_response_id == first.id
    third = ask(client, "What is my name?")
    assert "Anna" not in third.output_text


def test_input_tokens(client):
    assert client.responses.input_tokens.count(model=MODEL, input="What is 7 + 8?").input_tokens == 16


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"previous_response_id": "resp_nobody"}, "previous_response_id"),
        ({"input": 7}, "input"),
        ({"temperature": 99}, "temperature"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
    ],
)
def test_errors(client, wrong, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**{"model": MODEL, "input": "Hello!", **wrong})
    assert caught.value.status_code in (400, 404) and caught.value.param == param


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "Hello!", model="gpt-none")
    assert caught.value.code == "model_not_found"

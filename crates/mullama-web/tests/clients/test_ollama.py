"""The `ollama` package."""

import json

import ollama
import pytest

from conftest import MODEL, TOOLS, user

GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(host=server.url, headers=server.headers, timeout=60)


def test_list_and_show(client):
    names = [model.model for model in client.list().models]
    [name] = [name for name in names if name.partition(":")[0] == MODEL]
    for asked in (name, MODEL):
        shown = client.show(asked)
        assert "completion" in shown.capabilities and shown.modelinfo["general.architecture"] == "llama"
        assert shown.details.format == "gguf"
        assert client.chat(asked, messages=user("What is 7 + 8?"), options=GREEDY).message.content == "7 + 8 = 15."
    assert client.ps().models is not None


def test_chat(client):
    answer = client.chat(MODEL, messages=user("What is 7 + 8?"), options=GREEDY)
    assert (answer.message.role, answer.message.content) == ("assistant", "7 + 8 = 15.")
    assert answer.done and answer.done_reason == "stop" and answer.created_at
    assert (answer.prompt_eval_count, answer.eval_count) == (16, 10) and answer.total_duration > 0


def test_chat_streamed(client):
    parts = list(client.chat(MODEL, messages=user("Count to 20."), stream=True, options=GREEDY))
    assert "".join(part.message.content for part in parts).endswith("19, 20.")
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True] and len(parts) > 5


def test_options(client):
    answer = client.chat(MODEL, messages=user("Count to 20."), options={**GREEDY, "num_predict": 5})
    assert answer.done_reason == "length" and answer.eval_count == 5
    stopped = client.chat(MODEL, messages=user("Count to 20."), options={**GREEDY, "stop": [", 5"]})
    assert stopped.message.content == "1, 2, 3, 4"


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client, stream):
    answer = client.chat(
        MODEL, messages=user("What is the weather in Paris?"), tools=TOOLS, options=GREEDY, stream=stream
    )
    parts = list(answer) if stream else [answer]
    [call] = [call for part in parts for call in part.message.tool_calls or []]
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Paris"})


PROPERTIES = {"name": {"type": "string"}, "age": {"type": "integer"}}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": ["name", "age"]}


@pytest.mark.parametrize("form", ["json", SCHEMA], ids=["json", "schema"])
def test_format(client, form):
    answer = client.chat(MODEL, messages=user("Make JSON with name Anna and age 7."), format=form, options=GREEDY)
    assert json.loads(answer.message.content) == {"name": "Anna", "age": 7}


def test_generate(client):
    answer = client.generate(MODEL, prompt="What is 7 + 8?", options=GREEDY)
    assert answer.response == "7 + 8 = 15." and answer.done
    parts = list(client.generate(MODEL, prompt="What is 7 + 8?", options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == answer.response and parts[-1].done


def test_embed(embedder):
    client = ollama.Client(host=embedder.url)
    answer = client.embed(embedder.model, input=["A cat sits.", "Stocks fell on Monday."])
    assert [len(vector) for vector in answer.embeddings] == [384, 384]
    alone = client.embed(embedder.model, input="A cat sits.").embeddings
    assert list(alone[0]) == pytest.approx(list(answer.embeddings[0]), abs=1e-4)


def test_errors(client, server):
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("nobody", messages=user("Hello!"))
    assert caught.value.status_code == 404 and "nobody" in caught.value.error
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat(MODEL, messages=user("Hello!"), options={"temperature": "hot"})
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=server.url, headers={"authorization": "Bearer wrong"}).list()
    assert caught.value.status_code == 401

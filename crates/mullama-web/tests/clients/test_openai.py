"""The `openai` package: chat, streams, tools, structured output, embeddings, models."""

import asyncio
import base64
import json
import struct

import openai
import pytest
from pydantic import BaseModel

from conftest import MODEL, TOOLS, user

PARIS = user("What is the weather in Paris?")
COUNT = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20."


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.v1, api_key=server.key, max_retries=0, timeout=60) as client:
        yield client


def chat(client, text, **more):
    messages = text if isinstance(text, list) else user(text)
    return client.chat.completions.create(**{"model": MODEL, "messages": messages, "temperature": 0, **more})


def test_chat(client):
    answer = chat(client, "What is 7 + 8?")
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.model == MODEL
    assert isinstance(answer.created, int) and answer.system_fingerprint
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content, choice.message.refusal) == ("assistant", "7 + 8 = 15.", None)
    assert choice.message.tool_calls is None
    assert answer.usage.prompt_tokens == 16 and answer.usage.completion_tokens == 10
    assert answer.usage.total_tokens == 26
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_chat_remembers_the_conversation(client):
    messages = user("My name is Anna.") + [{"role": "assistant", "content": "Nice to meet you, Anna!"}]
    answer = chat(client, messages + user("What is my name?"))
    assert answer.choices[0].message.content == "Your name is Anna."


def test_content_may_be_parts(client):
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "7 + 8?"}]
    assert "15" in chat(client, [{"role": "user", "content": parts}]).choices[0].message.content


def test_developer_is_system(client):
    answer = chat(client, [{"role": "developer", "content": "Your name is Nova."}] + user("What is your name?"))
    assert answer.choices[0].message.content == "My name is Nova."


def test_stream(client):
    chunks = list(chat(client, "Count to 20.", stream=True))
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {(chunks[0].id, chunks[0].created, MODEL)}
    assert all(len(chunk.choices) == 1 and chunk.choices[0].delta is not None for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks), "usage that nobody asked for"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == COUNT
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.choices[0].index for chunk in chunks} == {0}
    assert not chunks[-1].choices[0].delta.content


def test_stream_usage_when_asked_for(client):
    *chunks, last = chat(client, "What is 7 + 8?", stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens) == (16, 10)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_stream_helper_accumulates(client):
    with client.chat.completions.stream(model=MODEL, messages=user("Count to 20."), temperature=0) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert message.role == "assistant" and message.content == COUNT
    assert "content.delta" in kinds and kinds.count("content.done") == 1


def test_streamed_text_is_whole_utf8(client):
    text = chat(client, "Repeat: café 東京 😀").choices[0].message.content
    streamed = chat(client, "Repeat: café 東京 😀", stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == text
    assert text.startswith("café") and text.endswith("😀")


def test_n(client):
    answer = chat(client, "What is 7 + 8?", n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.message.content for choice in answer.choices} == {"7 + 8 = 15."}
    assert answer.usage.completion_tokens == 20, "usage is of all answers"


def test_n_streamed(client):
    with client.chat.completions.stream(model=MODEL, messages=user("What is 7 + 8?"), temperature=0, n=2) as stream:
        answer = stream.get_final_completion()
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == ["7 + 8 = 15."] * 2
    assert [choice.message.role for choice in answer.choices] == ["assistant"] * 2


@pytest.mark.parametrize("stop", [", 5", ["nothing", ", 5"]])
def test_stop(client, stop):
    answer = chat(client, "Count to 20.", stop=stop).choices[0]
    assert (answer.message.content, answer.finish_reason) == ("1, 2, 3, 4", "stop")
    streamed = chat(client, "Count to 20.", stop=stop, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "1, 2, 3, 4"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_length(client, field):
    answer = chat(client, "Count to 20.", **{field: 5})
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5
    assert COUNT.startswith(answer.choices[0].message.content)


def test_seed(client):
    def once(seed):
        # All tokens stay possible: of what is likely at all, this model knows little else than its greedy answer.
        wild = {"temperature": 2, "top_p": 1, "extra_body": {"top_k": 0, "min_p": 0}}
        return chat(client, "Tell me a story.", seed=seed, max_tokens=40, **wild).choices[0].message.content

    assert once(7) == once(7)
    assert len({once(seed) for seed in range(6)}) > 1, "six seeds, one answer"


def test_logit_bias(client, server):
    def first(**more):
        return chat(client, "What is 7 + 8?", logprobs=True, max_tokens=1, **more).choices[0].logprobs.content[0].token

    likeliest = first()
    ids = server.post("/tokenize", {"content": likeliest}).json()["tokens"]
    assert first(logit_bias={str(token): -100 for token in ids}) != likeliest


def test_logprobs(client):
    choice = chat(client, "What is 7 + 8?", logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens).strip().startswith("7 + 8 = 15.")
    assert b"".join(bytes(token.bytes) for token in tokens).decode().strip().startswith("7 + 8 = 15.")
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token, "greedy chooses the likeliest"
        assert token.top_logprobs == sorted(token.top_logprobs, key=lambda top: -top.logprob)


def test_logprobs_streamed(client):
    whole = chat(client, "What is 7 + 8?", logprobs=True).choices[0].logprobs.content
    chunks = chat(client, "What is 7 + 8?", logprobs=True, stream=True)
    parts = [part for chunk in chunks if chunk.choices[0].logprobs for part in chunk.choices[0].logprobs.content]
    assert [part.token for part in parts] == [part.token for part in whole]
    assert all(part.top_logprobs == [] for part in parts)


def call_of(message):
    [call] = message.tool_calls
    assert call.id and call.type == "function" and isinstance(call.function.arguments, str)
    return call.function.name, json.loads(call.function.arguments)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_tools(client, choice):
    answer = chat(client, PARIS, tools=TOOLS, tool_choice=choice).choices[0]
    assert call_of(answer.message) == ("get_weather", {"city": "Paris"})
    assert answer.message.content is None and answer.finish_reason == "tool_calls"


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_tools_streamed(client, choice):
    chunks = [chunk.choices[0] for chunk in chat(client, PARIS, tools=TOOLS, tool_choice=choice, stream=True)]
    deltas = [call for chunk in chunks for call in chunk.delta.tool_calls or []]
    first, *rest = deltas
    assert first.id and first.type == "function" and first.function.name == "get_weather"
    assert all(delta.index == 0 for delta in deltas)
    assert all(delta.id is None and delta.function.name is None for delta in rest), "id and name come once"
    assert json.loads("".join(delta.function.arguments or "" for delta in deltas)) == {"city": "Paris"}
    assert chunks[-1].finish_reason == "tool_calls"


def test_tools_streamed_by_the_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=PARIS, tools=TOOLS, temperature=0) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.role == "assistant" and call_of(message) == ("get_weather", {"city": "Paris"})


def test_parallel_tools(client):
    question = user("What is the weather in Paris and Rome?")
    more = {"tools": TOOLS[:1], "parallel_tool_calls": True}
    calls = chat(client, question, **more).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Rome"]
    assert len({call.id for call in calls}) == 2
    with client.chat.completions.stream(model=MODEL, messages=question, temperature=0, **more) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in streamed] == ["Paris", "Rome"]


def test_tool_result(client):
    asked = chat(client, "What is the weather in Oslo?", tools=TOOLS[:1]).choices[0].message
    result = {
        "role": "tool",
        "tool_call_id": asked.tool_calls[0].id,
        "content": '{"weather": "sunny", "temperature": 21}',
    }
    messages = user("What is the weather in Oslo?") + [asked.model_dump(exclude_none=True), result]
    assert chat(client, messages, tools=TOOLS[:1]).choices[0].message.content == "It is sunny and 21 degrees in Oslo."


def test_tools_may_stay_unused(client):
    answer = chat(client, "What is 2 + 2?", tools=TOOLS).choices[0]
    assert (answer.message.content, answer.message.tool_calls, answer.finish_reason) == ("2 + 2 = 4.", None, "stop")
    forbidden = chat(client, PARIS, tools=TOOLS, tool_choice="none").choices[0]
    assert forbidden.message.tool_calls is None and forbidden.finish_reason == "stop"


def test_json_schema(client):
    schema = {"name": "person", "strict": True, "schema": {**Person.model_json_schema(), "additionalProperties": False}}
    form = {"type": "json_schema", "json_schema": schema}
    answer = chat(client, "Make JSON with name Anna and age 7.", response_format=form)
    assert json.loads(answer.choices[0].message.content) == {"name": "Anna", "age": 7}
    # It holds where the model would say something else, too.
    forced = chat(client, "What is 7 + 8?", response_format=form, max_tokens=200).choices[0]
    if forced.finish_reason == "stop":
        Person.model_validate_json(forced.message.content, strict=True)
    assert forced.message.content.lstrip().startswith("{")


def test_json_object(client):
    answer = chat(client, "Make JSON with name Ben and age 30.", response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content) == {"name": "Ben", "age": 30}


def test_parse(client):
    answer = client.chat.completions.parse(
        model=MODEL, messages=user("Make JSON with name Anna and age 7."), response_format=Person, temperature=0
    )
    assert answer.choices[0].message.parsed == Person(name="Anna", age=7)


def test_parse_streamed(client):
    messages = user("Make JSON with name Anna and age 7.")
    with client.chat.completions.stream(
        model=MODEL, messages=messages, response_format=Person, temperature=0
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Person(name="Anna", age=7)


def test_parse_of_half_an_answer(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=MODEL, messages=user("Make JSON with name Anna and age 7."), response_format=Person, max_tokens=3
        )


def test_parse_tools(client):
    tool = openai.pydantic_function_tool(type("get_weather", (BaseModel,), {"__annotations__": {"city": str}}))
    answer = client.chat.completions.parse(model=MODEL, messages=PARIS, tools=[tool], temperature=0)
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments.city == "Paris"


def test_extensions(client):
    answer = chat(
        client, "What is 7 + 8?", extra_body={"top_k": 1, "min_p": 0.1, "cache_prompt": False, "unheard_of": 1}
    )
    assert answer.choices[0].message.content == "7 + 8 = 15."


def test_completions(client):
    prompt = "<|im_start|>user\nWhat is 7 + 8?<|im_end|>\n<|im_start|>assistant\n"
    common = {"model": MODEL, "prompt": prompt, "temperature": 0}
    answer = client.completions.create(**common)
    assert answer.id.startswith("cmpl-") and answer.object == "text_completion"
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("7 + 8 = 15.", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (16, 10)
    short = client.completions.create(**common, max_tokens=3).choices[0]
    assert short.finish_reason == "length" and answer.choices[0].text.startswith(short.text) and short.text
    chunks = list(client.completions.create(**common, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


def test_completions_echo_and_logprobs(client):
    answer = client.completions.create(
        model=MODEL, prompt="One two", max_tokens=4, temperature=0, echo=True, logprobs=2
    )
    choice = answer.choices[0]
    assert choice.text.startswith("One two") and len(choice.text) > len("One two")
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset)
    assert all(logprob <= 0 for logprob in told.token_logprobs if logprob is not None)


def test_completions_of_several_prompts(client):
    prompts = ["One two", "The colour"]
    both = client.completions.create(model=MODEL, prompt=prompts, max_tokens=4, temperature=0)
    single = [client.completions.create(model=MODEL, prompt=text, max_tokens=4, temperature=0) for text in prompts]
    assert [choice.index for choice in both.choices] == [0, 1]
    assert [choice.text for choice in both.choices] == [answer.choices[0].text for answer in single]


def dot(one, other):
    return sum(x * y for x, y in zip(one, other, strict=True))


def test_embeddings(embedder):
    client = openai.OpenAI(base_url=embedder.v1, api_key=embedder.key, max_retries=0)
    texts = ["A cat sits on the mat.", "Stocks fell on Monday.", "A kitten lies on the rug."]
    answer = client.embeddings.create(model=embedder.model, input=texts)
    assert [item.index for item in answer.data] == [0, 1, 2] and answer.object == "list"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    cat, stocks, kitten = (item.embedding for item in answer.data)
    assert len(cat) == 384 and sum(x * x for x in cat) == pytest.approx(1, abs=1e-3)
    assert dot(cat, kitten) > dot(cat, stocks) + 0.2

    floats = client.embeddings.create(model=embedder.model, input=texts[0], encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(cat, abs=1e-4)
    raw = embedder.post("/v1/embeddings", {"model": embedder.model, "input": texts[0], "encoding_format": "base64"})
    packed = base64.b64decode(raw.json()["data"][0]["embedding"])
    assert struct.unpack("<384f", packed) == pytest.approx(cat, abs=1e-4)
    plain = embedder.post("/v1/embeddings", {"model": embedder.model, "input": texts[0]}).json()["data"][0]["embedding"]
    assert plain == pytest.approx(cat, abs=1e-4), "float is the default of the API"


def test_embeddings_errors(embedder):
    client = openai.OpenAI(base_url=embedder.v1, api_key=embedder.key, max_retries=0)
    for wrong in ({"dimensions": 100_000}, {"dimensions": 0}, {"input": []}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(**{"model": embedder.model, "input": "text", **wrong})
        assert caught.value.param == next(iter(wrong))


def test_models(client):
    models = client.models.list().data
    assert MODEL in [model.id for model in models]
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object) == (MODEL, "model") and isinstance(model.created, int) and model.owned_by


def test_async_client(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.v1, api_key=server.key, max_retries=0) as client:
            answers = await asyncio.gather(*(chat(client, f"What is {n} + 1?") for n in range(1, 5)))
            stream = await chat(client, "Count to 20.", stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return [answer.choices[0].message.content for answer in answers], text

    sums, text = asyncio.run(ask())
    assert sums == [f"{n} + 1 = {n + 1}." for n in range(1, 5)] and text == COUNT

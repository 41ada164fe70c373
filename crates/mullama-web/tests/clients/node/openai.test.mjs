// The package `openai` for JavaScript.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { COUNT, MODEL, anna, chatServer, embedServer, metric, paris } from './common.mjs';
import { user, waitUntilIdle, withoutEmbedder } from './common.mjs';

const client = new OpenAI({ baseURL: `${chatServer.url}/v1`, apiKey: chatServer.apiKey, maxRetries: 0 });
const common = { model: MODEL, temperature: 0 };
const Person = z.object({ name: z.string(), age: z.int() });
const tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the weather for a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

test('openai: chat', async () => {
  const answer = await client.chat.completions.create({ ...common, messages: user('What is 7 + 8?') });
  assert.equal(answer.choices[0].message.content, '7 + 8 = 15.');
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [16, 10]);
});

test('openai: stream', async () => {
  const stream = await client.chat.completions.create({ ...common, messages: user('Count to 20.'), stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
  assert.equal(text, COUNT);
});

test('openai: stream helper, two choices', async () => {
  const stream = client.chat.completions.stream({
    ...common, messages: user('What is 7 + 8?'), n: 2, stream_options: { include_usage: true },
  });
  const answer = await stream.finalChatCompletion();
  assert.deepEqual(answer.choices.map(({ index, message }) => [index, message.role, message.content]), [
    [0, 'assistant', '7 + 8 = 15.'],
    [1, 'assistant', '7 + 8 = 15.'],
  ]);
  assert.equal(answer.usage.completion_tokens, 20);
});

test('openai: tools', async () => {
  for (const tool_choice of ['auto', 'required', { type: 'function', function: { name: 'get_weather' } }]) {
    const request = { ...common, messages: paris, tools: [tool], tool_choice };
    const whole = (await client.chat.completions.create(request)).choices[0];
    const streamed = (await client.chat.completions.stream(request).finalChatCompletion()).choices[0];
    for (const choice of [whole, streamed]) {
      assert.equal(choice.finish_reason, 'tool_calls');
      const [call, ...more] = choice.message.tool_calls;
      assert.equal(more.length, 0);
      assert.ok(call.id);
      assert.equal(call.function.name, 'get_weather');
      assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' });
    }
  }
});

test('openai: runTools', async () => {
  const runner = client.chat.completions.runTools({
    ...common,
    messages: user('What is the weather in Oslo?'),
    tools: [
      zodFunction({
        name: 'get_weather',
        description: 'Get the weather for a city',
        parameters: z.object({ city: z.string() }),
        function: ({ city }) => `{"weather": "sunny", "temperature": ${17 + city.length}}`,
      }),
    ],
  });
  assert.equal(await runner.finalContent(), 'It is sunny and 21 degrees in Oslo.');
});

test('openai: structured output', async () => {
  const response_format = zodResponseFormat(Person, 'person');
  const parsed = await client.chat.completions.parse({ ...common, messages: anna, response_format });
  assert.deepEqual(parsed.choices[0].message.parsed, { name: 'Anna', age: 7 });
  const stream = client.chat.completions.stream({ ...common, messages: anna, response_format });
  const streamed = await stream.finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, { name: 'Anna', age: 7 });
});

test('openai: responses', async () => {
  const answer = await client.responses.create({ ...common, input: 'What is 7 + 8?' });
  assert.equal(answer.output_text, '7 + 8 = 15.');
  const streamed = await client.responses.stream({ ...common, input: 'Count to 20.' }).finalResponse();
  assert.equal(streamed.output_text, COUNT);
  const parsed = await client.responses.parse({
    ...common, input: anna[0].content, text: { format: zodTextFormat(Person, 'person') },
  });
  assert.deepEqual(parsed.output_parsed, { name: 'Anna', age: 7 });
});

test('openai: models', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes(MODEL));
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(client.models.retrieve('a/b'), { status: 404, code: 'model_not_found' });
});

test('openai: embeddings', { skip: withoutEmbedder }, async () => {
  const embedder = new OpenAI({ baseURL: `${embedServer.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const input = ['A cat sits on the mat.', 'Stocks fell on Monday.'];
  // The package asks for base64 by itself, and decodes it.
  const { data } = await embedder.embeddings.create({ model: embedServer.model, input });
  assert.deepEqual(data.map(({ index, embedding }) => [index, embedding.length]), [[0, 384], [1, 384]]);
  const float = await embedder.embeddings.create({ model: embedServer.model, input, encoding_format: 'float' });
  float.data[0].embedding.forEach((value, at) => assert.ok(Math.abs(value - data[0].embedding[at]) < 1e-4));
});

test('openai: errors', async () => {
  const ask = (more) => client.chat.completions.create({ ...common, messages: user('Hello!'), ...more });
  await assert.rejects(ask({ model: 'gpt-none' }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.deepEqual([error.code, error.type, error.param], ['model_not_found', 'not_found_error', 'model']);
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(ask({ temperature: -1 }), { status: 400, param: 'temperature' });
  await assert.rejects(ask({ n: 0, stream: true }), { status: 400, param: 'n' });
  const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: 'wrong' });
  await assert.rejects(stranger.models.list(), (error) => error instanceof OpenAI.AuthenticationError);
});

test('openai: abort', async () => {
  await waitUntilIdle(10_000);
  const before = await metric('llamacpp:tokens_predicted_total');
  const stream = await client.chat.completions.create({
    ...common, messages: user('Count to 20.'), n: 4, max_tokens: 1_900, ignore_eos: true, stream: true,
  });
  for await (const chunk of stream) {
    assert.ok(chunk.choices);
    stream.controller.abort();
  }
  await waitUntilIdle(1_000);
  const tokens = (await metric('llamacpp:tokens_predicted_total')) - before;
  assert.ok(tokens < 4 * 1_900 * 0.75, `${tokens} tokens were computed for nobody`);
});

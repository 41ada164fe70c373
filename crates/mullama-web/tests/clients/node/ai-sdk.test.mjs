// The Vercel AI SDK, with both of its packages for OpenAI's API.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, embedMany, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { COUNT, MODEL, chatServer, embedServer, metric, waitUntilIdle, withoutEmbedder } from './common.mjs';

const settings = { baseURL: `${chatServer.url}/v1`, apiKey: chatServer.apiKey };
const openai = createOpenAI(settings);
const asked = { includeUsage: true, supportsStructuredOutputs: true };
const compatible = createOpenAICompatible({ ...settings, ...asked, name: 'mullama' });
const common = { temperature: 0, maxRetries: 0 };
const get_weather = tool({
  description: 'Get the weather for a city',
  inputSchema: z.object({ city: z.string() }),
  // A text: as JSON, written without blanks, the model reads it less well.
  execute: async ({ city }) => `{"weather": "sunny", "temperature": ${17 + city.length}}`,
});

const models = {
  compatible: compatible(MODEL),
  'openai, chat': openai.chat(MODEL),
  'openai, responses': openai.responses(MODEL),
};
for (const [name, model] of Object.entries(models)) {
  test(`ai (${name}): text`, async () => {
    const answer = await generateText({ ...common, model, prompt: 'What is 7 + 8?' });
    assert.equal(answer.text, '7 + 8 = 15.');
    assert.equal(answer.finishReason, 'stop');
    assert.deepEqual([answer.usage.inputTokens, answer.usage.outputTokens], [16, 10]);
  });

  test(`ai (${name}): stream`, async () => {
    const answer = streamText({ ...common, model, prompt: 'Count to 20.' });
    const parts = [];
    for await (const part of answer.textStream) parts.push(part);
    assert.equal(parts.join(''), COUNT);
    assert.ok(parts.length > 5, `${parts.length} parts`);
    assert.equal(await answer.finishReason, 'stop');
    assert.ok((await answer.usage).outputTokens > 0);
  });

  test(`ai (${name}): tools`, async () => {
    const asked = { ...common, model, prompt: 'What is the weather in Oslo?', tools: { get_weather } };
    for (const toolChoice of ['required', { type: 'tool', toolName: 'get_weather' }]) {
      const { toolCalls } = await generateText({ ...asked, toolChoice });
      assert.deepEqual(toolCalls.map(({ toolName, input }) => [toolName, input]), [['get_weather', { city: 'Oslo' }]]);
    }
    const whole = await generateText({ ...asked, stopWhen: stepCountIs(2) });
    assert.equal(whole.text, 'It is sunny and 21 degrees in Oslo.');
    const streamed = streamText({ ...asked, stopWhen: stepCountIs(2) });
    await streamed.consumeStream();
    const steps = await streamed.steps;
    assert.deepEqual(steps[0].toolCalls.map(({ input }) => input), [{ city: 'Oslo' }]);
    assert.equal(await streamed.text, 'It is sunny and 21 degrees in Oslo.');
  });

  test(`ai (${name}): structured output`, async () => {
    const output = Output.object({ schema: z.object({ name: z.string(), age: z.int() }) });
    const asked = { ...common, model, prompt: 'Make JSON with name Anna and age 7.', output };
    assert.deepEqual((await generateText(asked)).output, { name: 'Anna', age: 7 });
    assert.deepEqual(await streamText(asked).output, { name: 'Anna', age: 7 });
  });
}

test('ai: errors', async () => {
  const nobody = generateText({ ...common, model: compatible('nobody'), prompt: 'Hello!' });
  await assert.rejects(nobody, (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 404);
    assert.equal(error.isRetryable, false);
    assert.match(error.message, /nobody/);
    return true;
  });
  const wrong = generateText({ ...common, model: models.compatible, prompt: 'Hello!', temperature: -1 });
  await assert.rejects(wrong, { statusCode: 400 });
});

test('ai: embeddings', { skip: withoutEmbedder }, async () => {
  const provider = createOpenAICompatible({ name: 'mullama', baseURL: `${embedServer.url}/v1` });
  const values = ['A cat sits on the mat.', 'Stocks fell on Monday.'];
  const { embeddings, usage } = await embedMany({ model: provider.embeddingModel(embedServer.model), values });
  assert.deepEqual(embeddings.map((vector) => vector.length), [384, 384]);
  assert.ok(usage.tokens > 0);
});

test('ai: abort', async () => {
  await waitUntilIdle(10_000);
  const before = await metric('llamacpp:tokens_predicted_total');
  const controller = new AbortController();
  const providerOptions = { mullama: { ignore_eos: true, n: 4 } };
  const answer = streamText({
    ...common, model: models.compatible, prompt: 'Count to 20.', maxOutputTokens: 1_900, providerOptions,
    abortSignal: controller.signal, onError: () => {},
  });
  for await (const part of answer.textStream) {
    assert.ok(part.length > 0);
    controller.abort();
    break;
  }
  await waitUntilIdle(1_000);
  const tokens = (await metric('llamacpp:tokens_predicted_total')) - before;
  assert.ok(tokens < 4 * 1_900 * 0.75, `${tokens} tokens were computed for nobody`);
});

// The servers' addresses, and what all files ask for.
export const MODEL = 'mullama-tiny';
export const COUNT = Array.from({ length: 20 }, (_, index) => index + 1).join(', ') + '.';
export const chatServer = { url: process.env.MULLAMA_CHAT_URL, apiKey: process.env.MULLAMA_CHAT_KEY };
export const embedServer = { url: process.env.MULLAMA_EMBED_URL, model: process.env.MULLAMA_EMBED_MODEL };
export const withoutEmbedder = embedServer.url ? false : 'the model for embeddings is not here (../shared)';

export const user = (content) => [{ role: 'user', content }];
export const paris = user('What is the weather in Paris?');
export const anna = user('Make JSON with name Anna and age 7.');

// The sum of all samples of a metric.
export async function metric(name) {
  const headers = { authorization: `Bearer ${chatServer.apiKey}` };
  const text = await (await fetch(`${chatServer.url}/metrics`, { headers })).text();
  const samples = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  if (samples.length === 0) throw new Error(`/metrics has no ${name}`);
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

// Waits until nothing is computed; fails after so long.
export async function waitUntilIdle(ms) {
  const deadline = Date.now() + ms;
  for (let running; (running = await metric('llamacpp:requests_processing')) > 0; ) {
    if (Date.now() > deadline) throw new Error(`${running} sequences still run after ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

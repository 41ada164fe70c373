// One line a case, as the Python clients print it: `cargo xtask clients` counts these lines.
const MOST_LINES = 30; // Of what a case prints itself: the AI SDK tells all of a schema that does not fit.

export default async function* report(source) {
  let lines = 0;
  for await (const { type, data } of source) {
    // A file is a test of its own in the runner's eyes; it counts only where it fails outside of its cases.
    const isFile = data.name?.endsWith('.mjs');
    if (type === 'test:fail' || (type === 'test:pass' && !isFile)) {
      const word = type === 'test:fail' ? 'FAIL' : data.skip !== undefined ? 'skip' : 'pass';
      yield `case ${word} node: ${data.name} (${(data.details.duration_ms / 1000).toFixed(2)} s)\n`;
      lines = 0;
    }
    if (type === 'test:fail') {
      const { error } = data.details;
      yield `${error?.cause?.stack ?? error?.cause ?? error?.message}\n`;
    }
    if (type === 'test:stdout' || type === 'test:stderr') {
      for (const line of data.message.split('\n')) {
        if (lines++ < MOST_LINES) yield `${line}\n`;
      }
    }
  }
}

/**
 * The lines of a stream of UTF-8, without the line feed that ends each and a carriage return before it. Nothing else
 * ends a line: U+2028, U+2029 and U+0085 are text, as in JSON Lines (Node's readline splits at the first two since
 * 24). A byte order mark at the beginning is removed; text after the last line feed is a line unless it is empty.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array | string>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder('utf-8');
  let pieces: string[] = [];
  for await (const chunk of chunks) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    for (const end of lines.slice(0, -1)) {
      yield withoutReturn(pieces.join('') + end);
      pieces = [];
    }
    // A long line is joined once, at its end.
    pieces.push(lines.at(-1)!);
  }
  const rest = pieces.join('') + decoder.decode();
  if (rest !== '') yield withoutReturn(rest);
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

/**
 * Finds a duplicate key in an object of a JSON text. `JSON.parse` silently keeps the last one; in a checkpoint, two
 * readers might then see different tensors.
 * @param text valid JSON: parse it first
 * @returns the first such key, or undefined
 */
export function findDuplicateKey(text: string): string | undefined {
  // The keys so far of each open object; null for an array.
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
        open.push(new Set());
        break;
      case '[':
        open.push(null);
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case '"': {
        const start = at;
        for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
        if (!isKey(text, at + 1)) break;
        const raw = text.slice(start, at + 1);
        const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
        const keys = open.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
        break;
      }
    }
  }
  return undefined;
}

/** Whether the string that ends before `at` is followed by a colon. */
function isKey(text: string, at: number): boolean {
  let next = at;
  while (' \n\r\t'.includes(text[next] ?? 'x')) next++;
  return text[next] === ':';
}

/** llama.cpp's token types. */
const NORMAL = 1;
const CONTROL = 3;

/** The printable characters for the 256 bytes in byte-level BPE (GPT-2's `bytes_to_unicode`). */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/**
 * A byte-level BPE vocabulary of realistic size, so that loading it has a realistic cost: all bytes, then pairs of
 * bytes, then pairs with a third, each with its merge; the last two tokens are special.
 */
export function syntheticVocabulary(size: number): { tokens: string[]; types: Int32Array; merges: string[] } {
  const bytes = byteCharacters();
  const tokens = [...bytes];
  const merges: string[] = [];
  const special = ['<|begin_of_text|>', '<|end_of_text|>'];
  for (let i = 0; tokens.length < size - special.length; i++) {
    const left = tokens[i >> 8]!;
    const right = bytes[i & 255]!;
    tokens.push(left + right);
    merges.push(`${left} ${right}`);
  }
  tokens.push(...special);
  const types = new Int32Array(size).fill(NORMAL);
  types.fill(CONTROL, size - special.length);
  return { tokens, types, merges };
}

/** The ids of the tokens `<0x00>` … `<0xFF>`, used by SentencePiece's byte fallback for characters without a token. */
export function byteTokens(idOf: (token: string) => number | undefined): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}

/**
 * GPT-2's reversible map between bytes and printable characters (Radford et al. 2019, `bytes_to_unicode`): a byte
 * whose Latin-1 character is visible maps to it, the other 68 map to U+0100 onwards in order. Byte-level BPE writes
 * its vocabulary in these characters.
 */
function isVisibleLatin1(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/** `BYTE_TO_CHAR[byte]` is the character of the byte. */
export const BYTE_TO_CHAR: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isVisibleLatin1(byte) ? byte : next++));
})();

/** The byte of each character of the alphabet. */
export const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(
  BYTE_TO_CHAR.map((char, byte) => [char, byte] as const),
);

/** The beginning of a pointer that replaces a file in Git LFS (git-lfs.com, "Git LFS Specification"). */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/';

/** Bytes at a file's beginning that {@link inPlaceOf} examines. */
export const HEAD_BYTES = 64;

/**
 * What a file contains instead of weights, with the remedy; undefined if nothing is recognized.
 *
 * @param head the file's first bytes, up to {@link HEAD_BYTES}.
 */
export function inPlaceOf(head: Uint8Array): string | undefined {
  const text = String.fromCharCode(...head.subarray(0, HEAD_BYTES));
  if (text.startsWith(LFS_POINTER)) {
    return 'it is a Git LFS pointer, not the file itself; run "git lfs install" and "git lfs pull" in its folder, or get the model with "ropewalk pull"';
  }
  if (/^\s*<(?:!doctype html|html|head|\?xml)/i.test(text)) {
    return 'it is a web page, saved instead of the file; use its download link (…/resolve/main/…), or get the model with "ropewalk pull"';
  }
  // The length of a valid safetensors header may begin with the same bytes: 640 is 80 02 00 …
  if (head[8] === 0x7b && head.subarray(5, 8).every((byte) => byte === 0)) return undefined;
  const [first, second = 0] = head;
  // A safetensors header of 640 bytes begins with the same two; its brace follows eight bytes of length.
  const isHeader = text[8] === '{' && text.slice(4, 8) === '\0\0\0\0';
  if ((first === 0x80 && second >= 2 && second <= 5 && !isHeader) || text.startsWith('PK\u0003\u0004')) {
    return 'it is a Python pickle (PyTorch) under another name, which can run code and is never opened; convert it in Python (AutoModelForCausalLM.from_pretrained(…).save_pretrained(…))';
  }
  return undefined;
}

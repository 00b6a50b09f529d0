/** Variables that affect Ropewalk, Node, ONNX Runtime and graphics drivers. */
const THAT_MATTER =
  /^(?:HF_|HUGGING_?FACE_|TRANSFORMERS_|ORT_|ONNXRUNTIME_|ROPEWALK_|NODE_|VK_|MESA_|OMP_|UV_)|_PROXY$|^(?:XDG_CACHE_HOME|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|LANG|LC_ALL|TERM|NO_COLOR|FORCE_COLOR|CI)$/i;
/** Variables whose values must not be shown. A variable with the path of a token's file may be. */
const SECRET = /TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|KEY/i;

/**
 * The environment variables for a bug report. Tokens and similar ones are only reported as set; names and passwords in
 * addresses are removed.
 */
export function environmentReport(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(env).flatMap(([name, value]): [string, string][] => {
    if (value === undefined || value === '' || !THAT_MATTER.test(name)) return [];
    if (SECRET.test(name) && !/_PATH$/i.test(name)) return [[name, '(set, not shown)']];
    return [[name, withoutCredentials(value)]];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `http://name:password@host` → `http://***@host`, anywhere in a text, also without a scheme; hub tokens too. */
export function withoutCredentials(value: string): string {
  return value
    .replace(/\/\/[^/\s]*@/g, '//***@')
    .replace(/^[^/\s@]*:[^/\s@]*@/, '***@')
    .replace(/\bhf_[A-Za-z0-9]{8,}/g, 'hf_***');
}

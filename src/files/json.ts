/** JSON for infinity: a number that JavaScript and Python round to it. */
const INFINITE = '1e999';

/**
 * The problem that `JSON.parse` found, on one line and printable: its own message quotes the text, including line
 * breaks.
 */
export function jsonProblem(error: SyntaxError): string {
  return error.message.replace(/[\p{Cc}\s]+/gu, ' ');
}

/**
 * Parses JSON as Python writes it, with `Infinity` and `NaN`. Infinities become numbers; NaN, which JSON cannot
 * express, becomes the string "NaN", so that a numeric field is refused by name.
 *
 * @throws SyntaxError like `JSON.parse`.
 */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = text.replace(PYTHON_CONSTANTS, (found) => CONSTANTS[found] ?? found);
    if (plain === text) throw error;
    return JSON.parse(plain);
  }
}

/** Strings, which are kept, and Python's constants outside them. */
const PYTHON_CONSTANTS = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/gs;
const CONSTANTS: Readonly<Record<string, string>> = {
  Infinity: INFINITE,
  '-Infinity': `-${INFINITE}`,
  NaN: '"NaN"',
};

/**
 * Fields of Hugging Face configurations that are floating-point. JavaScript writes 30 where Python wrote 30.0, and
 * `transformers` 5 refuses an integer for these (Gemma 2's `final_logit_softcapping`, for example).
 */
const FLOAT_FIELDS =
  /^(\s*"(?:\w+_softcapping|initializer_range|\w*_eps|\w*_epsilon|rope_theta|(?:\w+_)?factor|\w*dropout|\w+_pdrop|beta_\w+|temperature|top_p|min_p|repetition_penalty)": -?\d+)(,?)$/gm;

/** JSON as Hugging Face writes it: indented by two, float fields with a decimal point, a newline at the end. */
export function toConfigJson(value: unknown): string {
  // Replacing line by line is safe: in indented JSON each field starts a line, and no string contains a line break.
  const text = JSON.stringify(value, infinitiesAsText, 2).replace(FLOAT_FIELDS, '$1.0$2');
  return `${text.replaceAll(INFINITY_TEXTS, `$1${INFINITE}`)}\n`;
}

const INFINITY_TEXTS = /"(-?)\u221e ropewalk infinity"/g;

/** `JSON.stringify` would write null. */
function infinitiesAsText(_key: string, value: unknown): unknown {
  if (value === Number.POSITIVE_INFINITY) return '\u221e ropewalk infinity';
  return value === Number.NEGATIVE_INFINITY ? '-\u221e ropewalk infinity' : value;
}

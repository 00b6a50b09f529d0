/** What `JSON.parse` found wrong, on one line and printable: its own message quotes the text, line breaks and all. */
export function jsonProblem(error: SyntaxError): string {
  return error.message.replace(/[\p{Cc}\s]+/gu, ' ');
}

/**
 * Fields of Hugging Face configurations that are floating-point. JavaScript writes 30 where Python wrote 30.0, and
 * `transformers` 5 refuses an integer for these (Gemma 2's `final_logit_softcapping`, for one).
 */
const FLOAT_FIELDS =
  /^(\s*"(?:\w+_softcapping|initializer_range|\w*_eps|\w*_epsilon|rope_theta|(?:\w+_)?factor|\w*dropout|\w+_pdrop|temperature|top_p|min_p|repetition_penalty)": -?\d+)(,?)$/gm;

/** JSON as Hugging Face writes it: indented by two, float fields with a decimal point, a newline at the end. */
export function toConfigJson(value: unknown): string {
  // Line by line is safe: in indented JSON each field starts a line, and no string holds a line break.
  return `${JSON.stringify(value, null, 2).replace(FLOAT_FIELDS, '$1.0$2')}\n`;
}

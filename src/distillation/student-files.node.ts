import { chatStopTokens } from '../chat/encode.ts';
import { ChatTemplate } from '../chat/template.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { tokenizerFiles } from '../tokenizer/tokenizer-files.ts';
import type { OpenedTeacher } from './open-teacher.node.ts';
import type { Student } from './student.node.ts';

/** The files that a student is saved with, in addition to its weights and config. */
export interface StudentFiles {
  readonly files: { readonly name: string; readonly data: string }[];
  readonly generationConfig: Record<string, unknown> | undefined;
}

/**
 * The tokenizer files and the generation config that a student is saved with. As with `finetune`, the token that ends
 * a turn in the chat template is a stop token.
 *
 * @param tokenizer the student's, or its teacher's.
 * @param template saved in place of the tokenizer's.
 */
export function studentFiles(
  student: Student,
  tokenizer: Tokenizer,
  { teacher, template: given }: { readonly teacher?: OpenedTeacher; readonly template?: ChatTemplate } = {},
): StudentFiles {
  const template = given ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the teacher');
  const files = tokenizerFiles(tokenizer, { chatTemplate: given?.source });
  // The student's own stop tokens; otherwise the teacher's, whose vocabulary it has.
  const own = student.stopTokens.length > 0 ? student.stopTokens : (teacher?.opened.stopTokens ?? []);
  const stops = template ? chatStopTokens(tokenizer, template, own) : own;
  if (stops.length === 0) return { files, generationConfig: student.generationConfig };
  const { bos_token_id: bos, pad_token_id: pad } = student.config;
  const begin = student.generationConfig ?? {
    ...(bos !== null && { bos_token_id: bos }),
    ...(pad !== null && { pad_token_id: pad }),
  };
  return { files, generationConfig: { ...begin, eos_token_id: stops.length === 1 ? stops[0] : stops } };
}

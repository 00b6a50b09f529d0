import type { TaskConfig, Wording } from './config.ts';
import { TaskTemplate } from './template.ts';

/**
 * Parses all templates of a task before its rows are read.
 *
 * @throws RopewalkError naming the task and the field.
 */
export function checkTemplates({ name, description, wording, fewshot }: TaskConfig): void {
  const check = (field: string, source: unknown) => {
    if (typeof source === 'string') new TaskTemplate(source, { task: name, field });
  };
  check('description', description);
  for (const { docToText, docToTarget, docToChoice, genPrefix } of [wording, fewshot.wording] as Wording[]) {
    check('doc_to_text', docToText);
    check('doc_to_target', docToTarget);
    check('doc_to_choice', docToChoice);
    check('gen_prefix', genPrefix);
  }
}

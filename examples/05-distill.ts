/*
 * Distills a model into a student of one layer, trained on the probabilities of the teacher.
 *
 *     node examples/05-distill.ts runs/tiny runs/student      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { distill, distillation, text } from 'ropewalk';
import { TEXT } from './text.ts';

/** @returns the loss of each step: the teacher's share of it, KL(teacher ‖ student). */
export async function distillInto(path: string, out: string, steps: number): Promise<number[]> {
  const teacher = await distillation.openTeacher(path);
  const losses: number[] = [];
  try {
    const student = await distillation.openStudent({ kind: 'layers', path, layers: 1 });
    const tokens = text.encodeCorpus(teacher.tokenizer, [TEXT]);
    const settings = { batch: 2, seq: 32, validation: 0, seed: 0 };
    const rows = distillation.teachingText(tokens, settings);
    const { files, generationConfig } = distillation.studentFiles(student, teacher.tokenizer, { teacher });
    const run = distill({
      student: { ...student, generationConfig },
      teaching: distillation.onlineTeaching(teacher, rows),
      ...{ files, out, steps, ...settings },
    });
    for await (const event of run) if (event.type === 'step') losses.push(event.loss);
  } finally {
    await teacher.close();
  }
  return losses;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [teacher, out = 'runs/student'] = process.argv.slice(2);
  if (!teacher) throw new Error('usage: 05-distill.ts <teacher> [out]');
  for (const [step, loss] of (await distillInto(teacher, out, 100)).entries())
    console.log(`step ${step + 1}: ${loss.toFixed(3)}`);
}

import { createHash } from 'node:crypto';
import { type OpenedModel, openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { modelIdentity } from '../checkpoint/model-identity.node.ts';
import { weightSources } from '../checkpoint/weight-sources.node.ts';
import { RopewalkError } from '../errors.ts';
import type { Engine } from '../runtime/engine.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { differingToken, tokenText } from '../tokenizer/vocabulary.ts';
import type { SequenceShape } from '../training/graph.ts';
import { Teacher } from './teacher.ts';

/** A teacher's checkpoint; its files stay open until it is closed. */
export interface OpenedTeacher {
  readonly opened: OpenedModel;
  readonly name: string;
  readonly tokenizer: Tokenizer;
  /** SHA-256 of its configuration and some of its weights, to distinguish it from other models. */
  readonly identity: string;
  close(): Promise<void>;
}

/** Opens a Hugging Face model directory or a GGUF file. @throws RopewalkError if it has no tokenizer. */
export async function openTeacher(path: string): Promise<OpenedTeacher> {
  const opened = await openModel(path);
  const close = () => opened.checkpoint.tensors.close();
  try {
    const tokenizer = await tokenizerOf(opened.checkpoint);
    if (!tokenizer) {
      throw new RopewalkError(`${path}: the teacher has no tokenizer.json, which defines its ids; add it.`);
    }
    return { opened, name: path, tokenizer, identity: await modelIdentity(opened), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Prepares it to teach rows of this shape. Release the teacher when done; the checkpoint may be closed earlier. */
export async function startTeacher(
  engine: Engine,
  { opened }: OpenedTeacher,
  shape: SequenceShape,
): Promise<{ readonly teacher: Teacher; release(): Promise<void> }> {
  const { model, names, checkpoint } = opened;
  const { weights, folder, close } = await weightSources(opened);
  try {
    const memory = new HostMemory();
    const read = async (path: string, size: number) => {
      const values = memory.allocFloat32(size);
      await checkpoint.tensors.readFloat32Into(names.get(path)!, values);
      return values;
    };
    const { weight, bias } = model.head;
    const head = {
      weight: await read(weight.path, weight.size),
      ...(bias && { bias: await read(bias.path, bias.size) }),
    };
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    const teacher = await Teacher.create(engine, model, shape, { weights, head }, settings);
    const release = async () => {
      await teacher.release();
      close();
    };
    return { teacher, release };
  } catch (error) {
    close();
    throw error;
  }
}

/** SHA-256 of the meanings of all ids. */
export function vocabularyHash(tokenizer: Tokenizer): string {
  const hash = createHash('sha256');
  for (let id = 0; id < tokenizer.vocabSize; id++)
    hash.update(`${JSON.stringify(tokenizer.idToToken(id))}\n`);
  return hash.digest('hex');
}

/**
 * Refuses a student whose ids mean different texts than the teacher's.
 *
 * @throws RopewalkError naming the first id that differs.
 */
export function checkSameTokenizer(teacher: Tokenizer, student: Tokenizer): void {
  const difference = differingToken(teacher, student);
  if (!difference) return;
  const { id, first, second } = difference;
  throw new RopewalkError(
    `teacher and student have different tokenizers: id ${id} is ${tokenText(first)} for the teacher, but ${tokenText(second)} for the student. A student learns probabilities by id: use one with the teacher's tokenizer, or train one from scratch.`,
  );
}

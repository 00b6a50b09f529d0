import { readFileSync, statSync } from 'node:fs';
import { RopewalkError } from '../../errors.ts';
import { type CompiledJsonSchema, compileJsonSchema } from '../../structured/json-schema.ts';
import type { JsonSchema } from '../../structured/schema/keywords.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** Schemas written by hand are far smaller. */
const MOST_BYTES = 1_000_000;

/** Reads and compiles the file of `--json-schema`. @throws RopewalkError naming the file and the location in it. */
export function compileSchemaFile(path: string, tokenizer: Tokenizer): CompiledJsonSchema {
  try {
    return compileJsonSchema(parseSchema(path), tokenizer);
  } catch (error) {
    throw inFile(error, path);
  }
}

/** Reads the file of `--json-schema`. @throws RopewalkError naming the file. */
export function readSchema(path: string): JsonSchema {
  try {
    return parseSchema(path);
  } catch (error) {
    throw inFile(error, path);
  }
}

function inFile(error: unknown, path: string): unknown {
  if (!(error instanceof RopewalkError)) return error;
  return new RopewalkError(`${path}: ${error.message}`, { cause: error });
}

function parseSchema(path: string): JsonSchema {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > MOST_BYTES)
      throw new RopewalkError(`a schema of ${size} bytes; at most ${MOST_BYTES} are read.`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof RopewalkError) throw error;
    throw new RopewalkError(`cannot be read (${(error as NodeJS.ErrnoException).code}).`, { cause: error });
  }
  try {
    return JSON.parse(text.replace(/^\ufeff/, '')) as JsonSchema;
  } catch (error) {
    throw new RopewalkError('it is not JSON; --json-schema takes a file with a JSON Schema.', {
      cause: error,
    });
  }
}

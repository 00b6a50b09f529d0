import { isMap, parseDocument, type ScalarTag } from 'yaml';
import { RopewalkError } from '../../errors.ts';
import { PythonFunction, type TaskFile } from './task-file.ts';

const scalar = (tag: string, test: RegExp, resolve: (text: string) => unknown): ScalarTag => ({
  ...{ tag, test, resolve, default: true },
});

const integer = (text: string): number => {
  const [, sign, digits] = /^([-+]?)(.*)$/.exec(text.replaceAll('_', ''))!;
  const value = digits!.includes(':')
    ? digits!.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
    : Number(/^0[0-7]+$/.test(digits!) ? `0o${digits}` : digits);
  return sign === '-' ? -value : value;
};

const float = (text: string): number => {
  const word = /^([-+]?)\.(inf|nan)$/i.exec(text);
  if (!word) return Number(text.replaceAll('_', ''));
  if (word[2]!.toLowerCase() === 'nan') return Number.NaN;
  return word[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
};

/**
 * Plain scalars as PyYAML 6 reads them, which is YAML 1.1 with exceptions: `y` and `n` are texts, and so is `1e5`,
 * since a float needs its point.
 */
const PYYAML_TAGS: readonly ScalarTag[] = [
  scalar('tag:yaml.org,2002:null', /^(?:~|null|Null|NULL)?$/, () => null),
  scalar(
    'tag:yaml.org,2002:bool',
    /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/,
    (text) => /^(?:yes|true|on)$/i.test(text),
  ),
  scalar(
    'tag:yaml.org,2002:int',
    /^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$/,
    integer,
  ),
  scalar(
    'tag:yaml.org,2002:float',
    /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
    float,
  ),
  { tag: '!function', resolve: (text: string) => new PythonFunction(text) },
];

/**
 * Reads a task file like the harness, which uses PyYAML.
 *
 * @param name the file's name in messages.
 * @throws RopewalkError if it is not YAML, or not a mapping.
 */
export function parseTaskFile(text: string, name: string): TaskFile {
  const document = parseDocument(text, {
    ...{ schema: 'failsafe', customTags: (tags) => [...tags, ...PYYAML_TAGS], merge: true },
    ...{ uniqueKeys: false, logLevel: 'silent', version: '1.1' },
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new RopewalkError(`${name}: not a task file: ${problem.message.split('\n')[0]}`);
  if (!isMap(document.contents)) throw new RopewalkError(`${name}: not a task file: it has no fields`);
  try {
    return document.toJS({ maxAliasCount: 1000 }) as TaskFile;
  } catch (error) {
    throw new RopewalkError(`${name}: not a task file: ${(error as Error).message}`, { cause: error });
  }
}

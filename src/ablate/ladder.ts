import { option, RopewalkError, said } from '../errors.ts';
import type { DecoderParts } from '../families/decoder.ts';
import { exchangeParts, type PartChanges } from '../families/exchange.ts';
import { families, findPreset } from '../families/registry.ts';

/** A model on the way from one family to another. */
interface Rung {
  /** The preset's name, with all parts exchanged so far: `gpt/tiny+positions=rotary,norm=RMSNorm`. */
  readonly name: string;
  /** What changes from the previous model, such as `norm=RMSNorm`; null for the first. */
  readonly change: string | null;
}

export interface Ladder {
  readonly rungs: readonly Rung[];
  /**
   * What the last step, to the other family itself, changes all at once: sizes and settings that are not exchangeable
   * parts.
   */
  readonly rest: readonly string[];
}

/** Parts in the order in which they are exchanged, from input to output. */
const ORDER = [
  'positions',
  'norm',
  'layerNorms',
  'headNorm',
  'kvHeads',
  'window',
  'attentionCap',
  'activation',
  'gated',
  'finalCap',
  'tied',
] as const satisfies readonly (keyof PartChanges)[];

/** A model's parts, as the changes that would make them. */
export function partsAsChanges(parts: DecoderParts): Required<PartChanges> {
  const [first] = parts.layers;
  if (!first) throw new RopewalkError('a model without layers has no parts to exchange.');
  const { norms, attention, mlp } = first;
  const [before, after] = ['attentionNorm' in norms, 'attentionPostNorm' in norms];
  const windows = parts.layers.map((layer) => layer.attention.window);
  const window = windows.find((each) => each !== null) ?? null;
  const firstGlobal = windows.indexOf(null) + 1;
  return {
    norm: parts.norm.kind,
    layerNorms: before ? (after ? 'both' : 'before') : after ? 'after' : 'none',
    positions: parts.positions ?? (parts.layers.some(({ rope }) => rope) ? 'rotary' : 'none'),
    kvHeads: attention.kvHeads,
    window,
    globalEvery: window === null ? 0 : firstGlobal,
    headNorm: attention.headNorm !== undefined,
    activation: mlp.activation,
    gated: mlp.gated,
    attentionCap: attention.softcap,
    finalCap: parts.head.softcap,
    tied: parts.head.tied,
  };
}

/**
 * Single changes that lead from one family's tiny model to another's.
 *
 * @throws RopewalkError for an unknown family, and for two identical families.
 */
export function ladder(from: string, to: string): Ladder {
  const [start, end] = [tiny(from), tiny(to)];
  if (start.name === end.name) {
    throw new RopewalkError(
      said`from ${from} to ${to} nothing changes; name two different families (${option('from')}, ${option('to')}).`,
    );
  }
  const own = partsAsChanges(start.parts);
  const wanted = partsAsChanges(end.parts);
  const rungs: Rung[] = [{ name: start.name, change: null }];
  let all: PartChanges = {};
  const taken: string[] = [];
  for (const part of ORDER) {
    if (own[part] === wanted[part] && (part !== 'window' || own.globalEvery === wanted.globalEvery)) continue;
    const step: PartChanges = { [part]: wanted[part] };
    const isPattern = part === 'window' && wanted.globalEvery > 0;
    const change = `${part}=${String(wanted[part])}${isPattern ? `,globalEvery=${wanted.globalEvery}` : ''}`;
    all = { ...all, ...step, ...(isPattern && { globalEvery: wanted.globalEvery }) };
    taken.push(change);
    rungs.push({ name: `${start.name}+${taken.join(',')}`, change });
  }
  const rest = differences(exchangeParts(start.parts, all), end.parts);
  if (rest.length > 0) rungs.push({ name: end.name, change: rest.join(', ') });
  return { rungs, rest };
}

function tiny(name: string): { name: string; parts: DecoderParts } {
  const found = findPreset(`${name}/tiny`);
  if (!found)
    throw new RopewalkError(
      `there is no family "${name}"; the families are ${families.map((family) => family.name).join(', ')}.`,
    );
  return { name: `${found.family.name}/tiny`, parts: found.family.parts(found.preset.config) };
}

/** Paths of the remaining differences, in the first layer and in the model. Initialization is not a part. */
function differences(a: DecoderParts, b: DecoderParts): string[] {
  const plain = ({ layers, initial: _, dropout: __, ...rest }: DecoderParts) => ({
    ...rest,
    layer: layers[0],
  });
  const found: string[] = [];
  const visit = (left: unknown, right: unknown, path: string) => {
    if (isObject(left) && isObject(right)) {
      for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
        visit(left[key], right[key], path === '' ? key : `${path}.${key}`);
      }
    } else if ((left ?? null) !== (right ?? null)) found.push(path);
  };
  visit(plain(a), plain(b), '');
  return found.filter((path) => !path.startsWith('paddingId'));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

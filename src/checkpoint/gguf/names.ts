import type { GgufForm, GgufTransform } from '../../families/common/gguf.ts';

/** A tensor's name in GGUF and how it is stored there; undefined for an unknown name. */
export function toGguf(
  form: Pick<GgufForm, 'tensors'>,
  ours: string,
): { name: string; transform: GgufTransform } | undefined {
  const found = match(form, ours, 'ours');
  return found && { name: found.rule.theirs.replace('{n}', found.layer), transform: found.rule.transform };
}

/** The Hugging Face name of a GGUF tensor; undefined for one that is not a weight of the model. */
export function fromGguf(form: Pick<GgufForm, 'tensors'>, theirs: string): string | undefined {
  const found = match(form, theirs, 'theirs');
  return found?.rule.ours.replace('{n}', found.layer);
}

function match({ tensors }: Pick<GgufForm, 'tensors'>, name: string, side: 'ours' | 'theirs') {
  const layer = /\.(\d{1,6})\./.exec(name)?.[1] ?? '';
  const pattern = layer === '' ? name : name.replace(`.${layer}.`, '.{n}.');
  const rule = tensors.find((each) => each[side] === pattern);
  return rule && { rule, layer };
}

/** The index in interleaved order of a row in half order: within a head, row s · half + i (s: 0 or 1) is at 2i + s. */
export function rotaryRow(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  const second = inHead >= half ? 1 : 0;
  return row - inHead + 2 * (inHead - second * half) + second;
}

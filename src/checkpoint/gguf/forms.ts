import { RopewalkError } from '../../errors.ts';
import type { GgufForm } from '../../families/common/gguf.ts';
import type { Family } from '../../families/family.ts';
import { families } from '../../families/registry.ts';

/** A family with its GGUF form. */
export interface FamilyForm {
  readonly family: Family;
  readonly form: GgufForm;
}

/** The families with a GGUF form. */
export function familyForms(): FamilyForm[] {
  return families.flatMap((family) => ('none' in family.gguf ? [] : [{ family, form: family.gguf }]));
}

/** The supported architecture names of GGUF files. */
export function architectures(): string {
  return [...new Set(familyForms().map(({ form }) => form.architecture))].join(', ');
}

/**
 * A family's GGUF form.
 *
 * @param path the model, for the message.
 * @throws RopewalkError for a family without one, saying why.
 */
export function ggufForm({ gguf, modelType }: Pick<Family, 'gguf' | 'modelType'>, path: string): GgufForm {
  if (!('none' in gguf)) return gguf;
  throw new RopewalkError(
    `${path}: llama.cpp has no architecture for the family "${modelType}": ${gguf.none}; GGUF supports ${architectures()}: export it as a Hugging Face directory or as ONNX.`,
  );
}

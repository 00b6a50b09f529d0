import type { NamedModel } from '../../../src/inspect/named-model.ts';
import { summarize } from '../../../src/inspect/summary.ts';
import type { en } from '../../text/compare.ts';

type Reason = keyof typeof en.why;

/** Why a model has what it has in a place of the diagram. */
export function reasonsFor(slot: string, model: NamedModel): Reason[] {
  const s = summarize(model, model.name);
  if (slot === 'query and key norms') return ['headNorm'];
  if (slot.includes('norm')) {
    const kind: Reason = s.norm.kind === 'LayerNorm' ? 'layerNorm' : 'rmsNorm';
    return slot.endsWith('post-norm') ? [kind, 'postNorm'] : [kind];
  }
  switch (slot) {
    case 'tokens':
    case 'logits':
      return [slot];
    case 'embedding':
      return s.embeddingScale === 1 ? ['embedding'] : ['embedding', 'scaledEmbedding'];
    case 'added positions':
    case 'turned positions':
      return s.position ? [s.position.kind] : [];
    case 'attention': {
      const sharing: Reason =
        s.kvHeads === s.heads ? 'multiHead' : s.kvHeads === 1 ? 'multiQuery' : 'groupedQuery';
      const local = s.windows.some((window) => window !== null);
      const capped = s.attentionSoftcap !== null;
      return [sharing, ...(local ? (['local'] as const) : []), ...(capped ? (['capped'] as const) : [])];
    }
    case 'mlp':
      if (!s.gated) return s.activation === 'relu' ? ['relu'] : ['gelu'];
      return s.activation === 'silu' ? ['swiglu'] : ['geglu'];
    case 'head':
      return s.tiedHead ? ['head', 'tied'] : ['head'];
    case 'final cap':
      return ['cap'];
    default:
      return [];
  }
}

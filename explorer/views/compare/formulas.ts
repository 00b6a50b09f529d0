import type { NamedModel } from '../../../src/inspect/named-model.ts';
import { type ModelSummary, summarize } from '../../../src/inspect/summary.ts';

/** Formulas of the parts, in MathML. */

const i = (name: string) => `<mi>${name}</mi>`;
const n = (value: string | number) => `<mn>${value}</mn>`;
const o = (sign: string) => `<mo>${sign}</mo>`;
const f = (name: string) => `<mi mathvariant="normal">${name}</mi>${o('&#x2061;')}`;
const row = (...parts: string[]) => `<mrow>${parts.join('')}</mrow>`;
const of = (...parts: string[]) => row(o('('), ...parts, o(')'));
/** Within an index, brackets do not grow. */
const groupOf = row(i('g'), '<mo stretchy="false">(</mo>', i('h'), '<mo stretchy="false">)</mo>');
const subsup = (base: string, index: string, power: string) => `<msubsup>${base}${index}${power}</msubsup>`;
const frac = (top: string, bottom: string) => `<mfrac>${top}${bottom}</mfrac>`;
const sub = (base: string, index: string) => `<msub>${base}${index}</msub>`;
const sup = (base: string, power: string) => `<msup>${base}${power}</msup>`;
const sqrt = (...parts: string[]) => `<msqrt>${parts.join('')}</msqrt>`;
const math = (...parts: string[]) => `<math display="block">${row(...parts)}</math>`;
const W = (name: string) => sub(i('W'), i(name));

const x = i('x');

function norm(kind: string, offset: number): string {
  if (kind === 'LayerNorm') {
    const centered = row(x, o('−'), f('mean'), of(x));
    return math(
      i('y'),
      o('='),
      frac(centered, sqrt(f('var'), of(x), o('+'), i('ε'))),
      o('⊙'),
      i('w'),
      o('+'),
      i('b'),
    );
  }
  const weight = offset === 0 ? i('w') : of(n(offset), o('+'), i('w'));
  return math(i('y'), o('='), frac(x, sqrt(f('mean'), of(sup(x, n(2))), o('+'), i('ε'))), o('⊙'), weight);
}

function position(kind: 'sinusoidal' | 'learned' | 'rotary', theta: number | undefined): string {
  const angle = row(i('t'), o('·'), sup(n(theta ?? 10000), row(o('−'), frac(row(n(2), i('i')), i('d')))));
  if (kind === 'learned')
    return math(sub(x, i('t')), o('='), sub(i('e'), i('t')), o('+'), sub(i('p'), i('t')));
  if (kind === 'sinusoidal') {
    return (
      math(sub(i('p'), row(i('t'), o(','), i('i'))), o('='), f('sin'), of(angle)) +
      math(sub(i('p'), row(i('t'), o(','), frac(i('d'), n(2)), o('+'), i('i'))), o('='), f('cos'), of(angle))
    );
  }
  const turn = row(i('R'), of(angle));
  return (
    math(
      sub(i('q′'), i('t')),
      o('='),
      turn,
      sub(i('q'), i('t')),
      o(','),
      sub(i('k′'), i('t')),
      o('='),
      turn,
      sub(i('k'), i('t')),
    ) +
    math(
      sup(sub(i('q′'), i('t')), i('⊤')),
      sub(i('k′'), i('s')),
      o('='),
      sup(sub(i('q'), i('t')), i('⊤')),
      i('R'),
      of(i('s'), o('−'), i('t')),
      sub(i('k'), i('s')),
    )
  );
}

function attention({ attentionSoftcap: cap, windows, heads, kvHeads }: ModelSummary): string {
  const score = row(
    i('s'),
    o('·'),
    sub(i('q'), i('h')),
    subsup(i('k'), heads === kvHeads ? i('h') : groupOf, i('⊤')),
  );
  const capped = cap === null ? score : row(n(cap), o('·'), f('tanh'), of(frac(score, n(cap))));
  const window = windows.find((each) => each !== null);
  const seen = window ? row(o(','), i('t'), o('−'), i('j'), o('&lt;'), n(window)) : '';
  return (
    math(
      sub(i('y'), i('h')),
      o('='),
      f('softmax'),
      of(capped, o('+'), i('M')),
      sub(i('v'), heads === kvHeads ? i('h') : groupOf),
    ) +
    math(sub(i('M'), row(i('t'), i('j'))), o('='), n(0), o('&nbsp;'), i('j'), o('≤'), i('t'), seen) +
    (heads === kvHeads ? '' : math(groupOf, o('='), o('⌊'), i('h'), o('/'), n(heads / kvHeads), o('⌋')))
  );
}

const ACTIVATIONS = { relu: 'ReLU', gelu: 'GELU', silu: 'SiLU' } as const;

function mlp({ activation, gated, biases }: ModelSummary): string {
  const act = f(ACTIVATIONS[activation]);
  const bias = biases.mlp ? row(o('+'), i('b')) : '';
  const inner = gated
    ? of(act, of(W('gate'), x, bias), o('⊙'), W('up'), x, bias)
    : row(act, of(W('up'), x, bias));
  const definition = {
    relu: math(f('ReLU'), of(i('z')), o('='), f('max'), of(n(0), o(','), i('z'))),
    gelu: math(f('GELU'), of(i('z')), o('='), i('z'), o('·'), i('Φ'), of(i('z'))),
    silu: math(
      f('SiLU'),
      of(i('z')),
      o('='),
      frac(i('z'), row(n(1), o('+'), sup(i('e'), row(o('−'), i('z'))))),
    ),
  }[activation];
  return math(i('y'), o('='), W('down'), inner, bias) + definition;
}

/** The formula of a place of the diagram in this model; undefined where there is nothing to compute. */
export function formulaOf(slot: string, model: NamedModel): string | undefined {
  const s = summarize(model, model.name);
  if (slot.includes('norm')) {
    const kind = slot === 'query and key norms' ? (s.headNorm ?? s.norm.kind) : s.norm.kind;
    return norm(kind, s.norm.weightOffset);
  }
  switch (slot) {
    case 'embedding': {
      const scale = s.embeddingScale === 1 ? '' : row(n(Number(s.embeddingScale.toPrecision(4))), o('·'));
      return math(sub(x, i('t')), o('='), scale, sub(i('E'), i('token')));
    }
    case 'added positions':
    case 'turned positions':
      return s.position ? position(s.position.kind, s.position.theta) : undefined;
    case 'attention':
      return attention(s);
    case 'mlp':
      return mlp(s);
    case 'head':
      return math(i('z'), o('='), s.tiedHead ? i('E') : W('head'), x);
    case 'final cap':
      return math(
        i('z′'),
        o('='),
        n(s.finalSoftcap ?? 0),
        o('·'),
        f('tanh'),
        of(frac(i('z'), n(s.finalSoftcap ?? 0))),
      );
    default:
      return undefined;
  }
}

import type { ComponentType } from 'preact';
import { useApp } from '../../app/context.ts';
import { Choice } from '../../ui/choice.tsx';
import { NoModels } from '../../ui/no-models.tsx';
import { ActivationPart } from './activation.tsx';
import { CachePart } from './cache.tsx';
import { CapPart } from './cap.tsx';
import { HeadsPart } from './heads.tsx';
import { NormPart } from './norm.tsx';
import { Rope } from './rope.tsx';

const PARTS = ['rope', 'activation', 'norm', 'cap', 'heads', 'cache'] as const;
type PartName = (typeof PARTS)[number];

const components: Readonly<Record<PartName, ComponentType>> = {
  rope: Rope,
  activation: ActivationPart,
  norm: NormPart,
  cap: CapPart,
  heads: HeadsPart,
  cache: CachePart,
};

/** Those that show values of a model that runs. */
const REAL: readonly PartName[] = ['activation', 'norm', 'cap'];

export function PartsView() {
  const { t, route, setParams, siteModels, ownModels } = useApp();
  const part = PARTS.find((name) => name === route.params.get('part')) ?? 'rope';
  const Part = components[part];
  const missing = REAL.includes(part) && siteModels?.length === 0 && ownModels.length === 0;
  return (
    <>
      <p class="lead">{t.parts.lead}</p>
      <div class="chooser">
        <Choice
          label={t.parts.part}
          hideLabel
          options={PARTS.map((name) => ({ value: name, text: t.parts.parts[name] }))}
          value={part}
          onChange={(value) => setParams({ part: value }, { push: true })}
        />
      </div>
      <h2>{t.parts.parts[part]}</h2>
      {missing ? <NoModels /> : <Part key={part} />}
    </>
  );
}

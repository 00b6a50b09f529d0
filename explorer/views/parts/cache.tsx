import { useMemo } from 'preact/hooks';
import { cacheBytes, cacheBytesPerToken } from '../../../src/inspect/costs.ts';
import { bytes, whole } from '../../../src/inspect/format.ts';
import { partsOf } from '../../../src/inspect/model-parts.ts';
import { namedPreset } from '../../../src/inspect/named-model.ts';
import { useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { PresetChoice } from '../../ui/preset-choice.tsx';
import { Slider } from '../../ui/slider.tsx';

/** What the caches hold, layer by layer, as the context grows. */
export function CachePart() {
  const { t, route, setParams } = useApp();
  const words = t.parts.cache;
  const name = route.params.get('preset') ?? 'gemma2';
  const { model } = useMemo(() => namedPreset(name) ?? namedPreset('gemma2')!, [name]);
  const { maxPositions } = model;
  const context = Math.min(numberParam(route.params, 'context', 1, 2 ** 24) ?? 8192, maxPositions);
  const { attentions } = partsOf(model);
  const local = attentions.filter(({ window }) => window !== null);
  const steps = Math.log2(maxPositions);
  const allGlobal = cacheBytesPerToken(model, 'bfloat16') * context;
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <PresetChoice
          label={t.shell.model}
          value={name}
          onChange={(preset) => setParams({ preset }, { push: true })}
        />
        <Slider
          label={words.context}
          value={Math.log2(context)}
          min={6}
          max={steps}
          step={0.25}
          shown={whole(context)}
          onInput={(value) => setParams({ context: String(Math.round(2 ** value)) })}
        />
      </form>
      <section class="card">
        <h3>{words.layers}</h3>
        <ol class="layer-bars">
          {attentions.map(({ window }, i) => {
            const kept = window === null ? context : Math.min(window, context);
            return (
              <li
                key={i}
                class={window === null ? 'global' : 'local'}
                style={{ height: `${Math.max(1, (100 * kept) / maxPositions)}%` }}
                title={`${i}: ${whole(kept)}`}
              >
                <span class="hidden">
                  {i}: {whole(kept)}
                </span>
              </li>
            );
          })}
        </ol>
        <p class="soft">
          <span class="swatch kind-0" aria-hidden="true" /> {words.global(attentions.length - local.length)}
          {local.length > 0 && (
            <>
              {' · '}
              <span class="swatch kind-1" aria-hidden="true" />{' '}
              {words.local(local.length, whole(local[0]!.window!))}
            </>
          )}
        </p>
        <dl class="facts">
          <dt>{words.total}</dt>
          <dd>{bytes(cacheBytes(model, context, 'bfloat16'))}</dd>
          {local.length > 0 && (
            <>
              <dt>{words.allGlobal}</dt>
              <dd>{bytes(allGlobal)}</dd>
            </>
          )}
        </dl>
      </section>
    </>
  );
}

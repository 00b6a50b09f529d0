import { useMemo } from 'preact/hooks';
import { BYTES_PER_NUMBER, cacheBytes } from '../../../src/inspect/costs.ts';
import { bytes, short, whole } from '../../../src/inspect/format.ts';
import { namedPreset } from '../../../src/inspect/named-model.ts';
import { summarize } from '../../../src/inspect/summary.ts';
import { useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { PresetChoice } from '../../ui/preset-choice.tsx';
import { Slider } from '../../ui/slider.tsx';

/** Query heads that share key and value heads. */
export function HeadsPart() {
  const { t, route, setParams } = useApp();
  const words = t.parts.heads;
  const name = route.params.get('preset') ?? 'llama';
  const model = useMemo(() => namedPreset(name) ?? namedPreset('llama')!, [name]);
  const summary = useMemo(() => summarize(model, model.name), [model]);
  const { heads, kvHeads, headDim, layers, maxPositions } = summary;
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter((count) => heads % count === 0);
  const wanted = numberParam(route.params, 'kv', 1, heads) ?? kvHeads;
  const kv = divisors.includes(wanted) ? wanted : kvHeads;
  const perToken = 2 * kv * headDim * layers * BYTES_PER_NUMBER.bfloat16;
  // In proportion: windows stay what they are.
  const context = Math.min(8192, maxPositions);
  const atContext = (cacheBytes(model.model, context, 'bfloat16') / kvHeads) * kv;
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <PresetChoice
          label={t.shell.model}
          value={name}
          onChange={(preset) => setParams({ preset, kv: null }, { push: true })}
        />
        <Slider
          label={words.kv}
          value={divisors.indexOf(kv)}
          min={0}
          max={divisors.length - 1}
          step={1}
          shown={String(kv)}
          onInput={(at) => setParams({ kv: String(divisors[at]) })}
        />
      </form>
      <section class="card">
        <Sharing heads={heads} kv={kv} />
        <dl class="facts">
          <dt>{words.perToken}</dt>
          <dd>{bytes(perToken)}</dd>
          <dt>{words.at(whole(context))}</dt>
          <dd>{bytes(atContext)}</dd>
        </dl>
        <p class="soft">
          {words.own(kvHeads)} {kv < heads && words.saved(short(heads / kv))}
        </p>
      </section>
    </>
  );
}

function Sharing({ heads, kv }: { heads: number; kv: number }) {
  const words = useApp().t.parts.heads;
  const group = heads / kv;
  const step = 720 / heads;
  const size = Math.min(15, step * 0.38);
  const query = (head: number) => 20 + (head + 0.5) * step;
  const key = (head: number) => 20 + (head + 0.5) * step * group;
  return (
    <>
      <p class="soft">
        {words.queries} × {heads}
      </p>
      <svg class="sharing" viewBox="0 30 760 125" role="img" aria-label={words.picture(heads, kv)}>
        {Array.from({ length: heads }, (_, head) => (
          <path
            key={head}
            class={Math.floor(head / group) % 2 ? 'odd' : undefined}
            d={`M${query(head)} 50C${query(head)} 100 ${key(Math.floor(head / group))} 90 ${key(Math.floor(head / group))} 140`}
          />
        ))}
        {Array.from({ length: heads }, (_, head) => (
          <circle key={head} class="query" cx={query(head)} cy={50} r={size} />
        ))}
        {Array.from({ length: kv }, (_, head) => (
          <rect
            key={head}
            class={head % 2 ? 'key odd' : 'key'}
            x={key(head) - Math.max(size, 6)}
            y={140 - Math.max(size, 6)}
            width={2 * Math.max(size, 6)}
            height={2 * Math.max(size, 6)}
            rx="3"
          />
        ))}
      </svg>
      <p class="soft">
        {words.keys} × {kv}
      </p>
    </>
  );
}

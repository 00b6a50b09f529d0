import { useId } from 'preact/hooks';
import { type Estimate, MEMORY_MODES, PARAMETER_PARTS } from '../../../src/estimate/estimate.ts';
import { estimateRows, modeLabels, partLabels } from '../../../src/estimate/rows.ts';
import { bytes, sizeName, whole } from '../../../src/inspect/format.ts';
import { namedPreset } from '../../../src/inspect/named-model.ts';
import { useApp, useLoaded } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { builtModel } from '../../ui/built-model.ts';
import { PresetChoice } from '../../ui/preset-choice.tsx';
import { Slider } from '../../ui/slider.tsx';
import { StackedBar } from '../../ui/stacked-bar.tsx';
import type { EstimateRequest } from '../../worker/protocol.ts';

const OPTIMIZERS = [
  'adamw float32',
  'adamw bfloat16',
  'adamw int8',
  'adafactor float32',
  'sgd float32',
] as const;
const KINDS = ['weights', 'gradients', 'optimizer', 'activations', 'program'] as const;
/** Positions of published models reach this far at most. */
const FARTHEST = 2 ** 17;

type Named = Estimate & { readonly name: string };

/** What one or two models take. */
export function EstimateView() {
  const { t, locale, route, setParams, models, ownModels } = useApp();
  const words = t.estimate;
  const { params } = route;
  const names = [params.get('model') ?? 'gemma2', params.get('beside') ?? ''].filter((name) => name !== '');
  const context = numberParam(params, 'context', 64, FARTHEST) ?? 8192;
  const batch = numberParam(params, 'batch', 1, 64) ?? 1;
  const seq = numberParam(params, 'seq', 64, 8192) ?? 512;
  const optimizer = OPTIMIZERS.find((name) => name === params.get('optimizer')) ?? OPTIMIZERS[0];
  const optimizerId = useId();
  const loaded = useLoaded(() => {
    const [kind, states] = optimizer.split(' ') as [EstimateRequest['optimizer'], EstimateRequest['states']];
    return (async (): Promise<Named[]> => {
      const all: Named[] = [];
      for (const name of names) {
        const own = ownModels.find(({ id }) => id === name);
        const request = { ...(own ? { config: own.config } : { preset: name }), context, batch, seq };
        const made = await models.call(
          'estimate',
          { ...request, optimizer: kind, states },
          `estimate ${all.length}`,
        );
        all.push({ ...made, name: own?.name ?? name });
      }
      return all;
    })();
  }, [names.join(), context, batch, seq, optimizer, ownModels]);
  const estimates = loaded.value ?? [];
  const longest = longestOf(names, ownModels);
  const set = (name: string) => (value: number) => setParams({ [name]: String(value) });
  return (
    <>
      <p class="lead">{words.lead}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <PresetChoice
          label={words.first}
          value={names[0]!}
          onChange={(model) => setParams({ model }, { push: true })}
        />
        <PresetChoice
          label={words.second}
          value={names[1] ?? ''}
          optional
          onChange={(beside) => setParams({ beside: beside || null }, { push: true })}
        />
        <Slider
          label={words.context}
          value={Math.log2(Math.min(context, longest))}
          min={6}
          max={Math.log2(longest)}
          step={0.25}
          shown={whole(Math.min(context, longest))}
          onInput={(value) => set('context')(Math.round(2 ** value))}
        />
        <Slider label={words.batch} value={batch} min={1} max={16} step={1} onInput={set('batch')} />
        <Slider
          label={words.seq}
          value={Math.log2(seq)}
          min={6}
          max={13}
          step={1}
          shown={whole(seq)}
          onInput={(value) => set('seq')(2 ** value)}
        />
        <div class="field">
          <label for={optimizerId}>{words.optimizer}</label>
          <select
            id={optimizerId}
            value={optimizer}
            onChange={(event) => setParams({ optimizer: event.currentTarget.value })}
          >
            {OPTIMIZERS.map((name) => (
              <option key={name} value={name}>
                {words.optimizers[name]}
              </option>
            ))}
          </select>
        </div>
      </form>
      {loaded.error && (
        <p class="error" role="alert">
          {loaded.error}
        </p>
      )}
      {estimates.length === 0 && loaded.busy && <p class="soft">{words.computing}</p>}
      {estimates.length > 0 && (
        <div aria-busy={loaded.busy} class="estimates">
          <section class="card">
            <h2>{words.parameters}</h2>
            {estimates.map(({ name, parts, parameters }) => (
              <StackedBar
                key={name}
                title={`${name}: ${sizeName(parameters)}`}
                most={Math.max(...estimates.map((each) => each.parameters))}
                parts={PARAMETER_PARTS.filter((part) => parts[part] > 0).map((part) => ({
                  name: partLabels[part][locale],
                  value: parts[part],
                  shown: sizeName(parts[part]),
                  kind: PARAMETER_PARTS.indexOf(part),
                }))}
              />
            ))}
          </section>
          <section class="card">
            <h2>{words.training}</h2>
            <p class="soft">{words.trainingLead}</p>
            {estimates.flatMap(({ name, training }) =>
              MEMORY_MODES.map((mode) => (
                <StackedBar
                  key={`${name} ${mode}`}
                  title={`${name}, ${modeLabels[mode][locale]}: ${bytes(training[mode].total)}`}
                  most={Math.max(...estimates.map((each) => each.training.fast.total))}
                  parts={KINDS.map((kind, i) => ({
                    name: words.kinds[kind],
                    value: training[mode][kind],
                    shown: bytes(training[mode][kind]),
                    kind: i,
                  }))}
                />
              )),
            )}
          </section>
          <section class="card">
            <h2>{words.numbers}</h2>
            <Numbers estimates={estimates} />
          </section>
        </div>
      )}
    </>
  );
}

function longestOf(names: readonly string[], own: ReturnType<typeof useApp>['ownModels']): number {
  const positions = names.map((name) => {
    const mine = own.find(({ id }) => id === name);
    return (mine ? builtModel(mine) : namedPreset(name))?.model.maxPositions ?? FARTHEST;
  });
  return Math.min(FARTHEST, ...positions);
}

function Numbers({ estimates }: { estimates: readonly Named[] }) {
  const { t, locale } = useApp();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={t.estimate.numbers}>
      <table class="comparison">
        <thead>
          <tr>
            <td />
            {estimates.map(({ name }) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {estimateRows(estimates, locale).map(({ feature, values }) => (
            <tr key={feature}>
              <th scope="row" class={feature.startsWith(' ') ? 'inner' : undefined}>
                {feature.trim()}
              </th>
              {estimates.map(({ name }) => (
                <td key={name} class="number">
                  {values[name]}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

import { useId } from 'preact/hooks';
import { type Loaded, useApp, useLoaded } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { builtModel } from '../../ui/built-model.ts';
import { ModelChoice, useChosenModel } from '../../ui/model-choice.tsx';
import { Slider } from '../../ui/slider.tsx';
import type { ModelInfo, TapsFound } from '../../worker/protocol.ts';

const DEFAULT_TEXT = 'The old man stood upon the deck and looked at the sea';

export interface RealValues {
  readonly info: ModelInfo | undefined;
  readonly layer: number;
  readonly taps: Loaded<TapsFound>;
}

/** Values inside a model on a text of the reader's. @param names of taps, for a layer. */
export function useRealValues(names: (layer: number) => readonly string[]): RealValues {
  const { route, models } = useApp();
  const id = useChosenModel('model');
  const text = route.params.get('text') ?? DEFAULT_TEXT;
  const wanted = numberParam(route.params, 'layer', 0, 1e4) ?? 0;
  const opened = useLoaded(() => (id === undefined ? undefined : models.call('open', id)), [id]);
  const layers = opened.value ? layerCount(opened.value) : 1;
  const layer = Math.min(wanted, layers - 1);
  const taps = useLoaded(
    () =>
      id === undefined || !opened.value || text === ''
        ? undefined
        : models.call('tap', { model: id, text, taps: names(layer) }, 'parts'),
    [id, opened.value, text, layer],
  );
  return { info: opened.value, layer, taps };
}

const layerCount = (info: ModelInfo) => builtModel(info).model.stages.layers.length;

/** Model, text and layer. */
export function RealControls({ values, layers = true }: { values: RealValues; layers?: boolean }) {
  const { t, route, setParams } = useApp();
  const id = useChosenModel('model');
  const textId = useId();
  if (id === undefined) return null;
  return (
    <>
      <ModelChoice
        label={t.shell.model}
        value={id}
        onChange={(model) => setParams({ model }, { push: true })}
      />
      <div class="field">
        <label for={textId}>{t.parts.text}</label>
        <input
          id={textId}
          type="text"
          value={route.params.get('text') ?? DEFAULT_TEXT}
          onInput={(event) => setParams({ text: event.currentTarget.value })}
        />
      </div>
      {layers && values.info && (
        <Slider
          label={t.parts.layer}
          value={values.layer}
          min={0}
          max={layerCount(values.info) - 1}
          step={1}
          onInput={(layer) => setParams({ layer: String(layer) })}
        />
      )}
    </>
  );
}

import { useId } from 'preact/hooks';
import { useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { ModelChoice, useChosenModel } from '../../ui/model-choice.tsx';
import { NoModels } from '../../ui/no-models.tsx';
import { Slider } from '../../ui/slider.tsx';
import { ModelRun } from './model-run.tsx';

const DEFAULT_TEXT =
  'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse';

/** Type text; see what one or two models make of it. */
export function RunView() {
  const { t, route, setParams, siteModels } = useApp();
  const { params } = route;
  const model = useChosenModel('model');
  const text = params.get('text') ?? DEFAULT_TEXT;
  const temperature = numberParam(params, 't', 0.05, 2) ?? 0.8;
  const beside = useChosenModel('beside');
  const second = params.get('beside') ? beside : undefined;
  const textId = useId();
  return (
    <>
      <p class="lead">{t.run.lead}</p>
      {model === undefined ? (
        siteModels === undefined ? (
          <p class="soft">{t.shell.loading}</p>
        ) : (
          <NoModels />
        )
      ) : (
        <>
          <form class="controls" onSubmit={(event) => event.preventDefault()}>
            <div class="field wide">
              <label for={textId}>{t.run.text}</label>
              <textarea
                id={textId}
                rows={3}
                value={text}
                spellcheck={false}
                onInput={(event) => setParams({ text: event.currentTarget.value, at: null })}
              />
            </div>
            <ModelChoice
              label={t.shell.model}
              value={model}
              onChange={(id) => setParams({ model: id }, { push: true })}
            />
            <ModelChoice
              label={t.run.beside}
              value={second ?? ''}
              optional
              onChange={(id) => setParams({ beside: id === '' ? null : id }, { push: true })}
            />
            <Slider
              label={t.run.temperature}
              value={temperature}
              shown={temperature.toFixed(2)}
              min={0.05}
              max={2}
              step={0.05}
              onInput={(value) => setParams({ t: String(value) })}
            />
          </form>
          <div class={second ? 'sides two' : 'sides'}>
            <ModelRun key="first" side="first" id={model} {...{ text, temperature }} />
            {second && <ModelRun key="second" side="second" id={second} {...{ text, temperature }} />}
          </div>
        </>
      )}
    </>
  );
}

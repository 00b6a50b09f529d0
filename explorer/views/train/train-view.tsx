import { useId, useState } from 'preact/hooks';
import { families } from '../../../src/families/registry.ts';
import { whole } from '../../../src/inspect/format.ts';
import { failureText, useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { Choice } from '../../ui/choice.tsx';
import { Slider } from '../../ui/slider.tsx';
import { TRAIN_DEVICES, USUAL_STEPS } from '../../worker/train-protocol.ts';
import { LossPlot } from './loss-plot.tsx';
import { Progress } from './progress.tsx';
import { session, useTraining } from './session.ts';

/** Parts that can be exchanged, and for what: those of `ropewalk compare llama/tiny+norm=LayerNorm`. */
const EXCHANGES = [
  ['norm', ['LayerNorm', 'RMSNorm']],
  ['layerNorms', ['before', 'after', 'both', 'none']],
  ['positions', ['sinusoidal', 'learned', 'rotary', 'none']],
  ['activation', ['relu', 'gelu', 'silu']],
  ['gated', ['true', 'false']],
  ['kvHeads', ['1', '2', '4']],
  ['window', ['16', 'null']],
  ['attentionCap', ['50', 'null']],
  ['finalCap', ['30', 'null']],
] as const;

/** Learn in the page. */
export function TrainView() {
  const { t, route, setParams } = useApp();
  const words = t.train;
  const { params } = route;
  const family = families.find(({ name }) => name === params.get('family')) ?? families.find(isDefault)!;
  const exchange = params.get('exchange') ?? '';
  const source = params.get('source') === 'own' ? 'own' : 'builtIn';
  const device = TRAIN_DEVICES.find((name) => name === params.get('device')) ?? 'auto';
  const steps = numberParam(params, 'steps', 20, 4000) ?? USUAL_STEPS;
  const [text, setText] = useState('');
  const state = useTraining();
  const familyId = useId();
  const exchangeId = useId();
  const textId = useId();
  const deviceId = useId();
  const running = state !== undefined && state.phase !== 'done' && state.phase !== 'paused';
  const start = () => {
    const plain = `${family.name}/tiny`;
    const models = exchange === '' ? [plain] : [plain, `${plain}+${exchange}`];
    session.start({ models, steps, device, ...(source === 'own' && { text }) });
  };
  return (
    <>
      <p class="lead">{words.lead}</p>
      <form
        class="controls"
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
      >
        <div class="field">
          <label for={familyId}>{words.family}</label>
          <select
            id={familyId}
            value={family.name}
            onChange={(event) => setParams({ family: event.currentTarget.value })}
          >
            {families.map(({ name, title }) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for={exchangeId}>{words.exchange}</label>
          <select
            id={exchangeId}
            value={exchange}
            onChange={(event) => setParams({ exchange: event.currentTarget.value || null })}
          >
            <option value="">{words.noExchange}</option>
            {EXCHANGES.map(([part, values]) => (
              <optgroup key={part} label={words.exchanges[part]}>
                {values.map((value) => (
                  <option key={value} value={`${part}=${value}`}>
                    {words.exchanges[part]}: {words.values[value] ?? value}
                  </option>
                ))}
              </optgroup>
            ))}
          </select>
        </div>
        <Slider
          label={words.steps}
          value={steps}
          min={100}
          max={4000}
          step={100}
          shown={whole(steps)}
          onInput={(value) => setParams({ steps: String(value) })}
        />
        <Choice
          label={words.text}
          options={[
            { value: 'builtIn', text: words.texts.builtIn },
            { value: 'own', text: words.texts.own },
          ]}
          value={source}
          onChange={(value) => setParams({ source: value === 'own' ? 'own' : null })}
        />
        <div class="field">
          <label for={deviceId}>{words.device}</label>
          <select
            id={deviceId}
            value={device}
            onChange={({ currentTarget: { value } }) =>
              setParams({ device: value === 'auto' ? null : value })
            }
          >
            {TRAIN_DEVICES.map((name) => (
              <option key={name} value={name}>
                {words.devices[name]}
              </option>
            ))}
          </select>
        </div>
        {source === 'own' && (
          <div class="field wide">
            <label for={textId}>{words.paste}</label>
            <textarea
              id={textId}
              rows={5}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </div>
        )}
        <div class="row">
          <button type="submit" class="strong">
            {state ? words.again : words.start}
          </button>
          {running && (
            <button type="button" onClick={() => session.pause()}>
              {words.pause}
            </button>
          )}
          {state?.phase === 'paused' && (
            <button type="button" onClick={() => session.go()}>
              {words.go}
            </button>
          )}
        </div>
      </form>
      {state && (
        <section class="training" data-phase={state.phase}>
          <p class="soft" role="status">
            {words.phases[state.phase]}
            {state.corpus && ` · ${words.corpus(whole(state.corpus.tokens), state.corpus.vocabSize)}`}
          </p>
          {state.device && (
            <p class="soft device" role="status">
              {words.trainsOn(state.device)}
            </p>
          )}
          {state.error && (
            <p class="error" role="alert">
              <strong>{t.shell.failed}.</strong> {failureText(t, state.error)}
            </p>
          )}
          {state.corpus && (
            <>
              <section class="card">
                <h2>{words.loss}</h2>
                <LossPlot state={state} />
              </section>
              <div class="sides two">
                {state.models.map(({ name }, i) => (
                  <Progress key={name} state={state} index={i} />
                ))}
              </div>
            </>
          )}
        </section>
      )}
    </>
  );
}

const isDefault = ({ name }: { readonly name: string }) => name === 'gemma2';

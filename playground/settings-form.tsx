import type { Settings, State } from './store.ts';
import type { Texts } from './texts.ts';

const NUMBERS: readonly {
  readonly field: keyof Settings;
  readonly text: keyof Texts;
  readonly min: number;
  readonly max?: number;
  readonly step: number | 'any';
}[] = [
  { field: 'temperature', text: 'temperature', min: 0, max: 100, step: 'any' },
  { field: 'top_p', text: 'topP', min: 0, max: 1, step: 'any' },
  { field: 'top_k', text: 'topK', min: 1, step: 1 },
  { field: 'min_p', text: 'minP', min: 0, max: 1, step: 'any' },
  { field: 'repetition_penalty', text: 'repetitionPenalty', min: 0, max: 100, step: 'any' },
  { field: 'max_tokens', text: 'maxTokens', min: 1, step: 1 },
  { field: 'seed', text: 'seed', min: 0, step: 1 },
];

interface Props {
  readonly t: Texts;
  readonly state: State;
  readonly models: readonly string[];
  readonly needsKey: boolean;
  change(more: Partial<State>): void;
}

export function SettingsForm({ t, state, models, needsKey, change }: Props) {
  const { settings, chosen } = state;
  const set = (field: keyof Settings, value: string) => change({ settings: { ...settings, [field]: value } });
  const toggle = (name: string, on: boolean) =>
    change({ chosen: models.filter((model) => (model === name ? on : chosen.includes(model))) });
  return (
    <form class="settings" onSubmit={(event) => event.preventDefault()}>
      <fieldset>
        <legend>{t.models}</legend>
        {models.length === 0 && <p class="hint">{t.noModels}</p>}
        {models.map((name) => (
          <label class="check" key={name}>
            <input
              type="checkbox"
              checked={chosen.includes(name)}
              onChange={(event) => toggle(name, event.currentTarget.checked)}
            />
            <span>{name}</span>
          </label>
        ))}
        {models.length > 1 && <p class="hint">{t.modelsHint}</p>}
      </fieldset>
      <label>
        <span>{t.system}</span>
        <textarea
          rows={3}
          value={settings.system}
          onInput={(event) => set('system', event.currentTarget.value)}
        />
      </label>
      <fieldset>
        <legend>{t.sampling}</legend>
        <div class="numbers">
          {NUMBERS.map(({ field, text, ...limits }) => (
            <label key={field}>
              <span>{t[text]}</span>
              <input
                type="number"
                inputMode="decimal"
                placeholder={t.auto}
                value={settings[field]}
                onInput={(event) => set(field, event.currentTarget.value)}
                {...limits}
              />
            </label>
          ))}
        </div>
      </fieldset>
      {(needsKey || state.key !== '') && (
        <label>
          <span>{t.key}</span>
          <input
            type="password"
            autocomplete="off"
            value={state.key}
            aria-describedby="key-hint"
            onChange={(event) => change({ key: event.currentTarget.value.trim() })}
          />
          <span class="hint" id="key-hint">
            {t.keyHint}
          </span>
        </label>
      )}
    </form>
  );
}

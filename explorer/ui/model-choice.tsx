import { useId } from 'preact/hooks';
import { useApp } from '../app/context.ts';

interface ModelChoiceProps {
  readonly label: string;
  readonly value: string;
  /** Whether none may be chosen too. */
  readonly optional?: boolean;
  onChange(id: string): void;
}

/** A model that can run: one of the site's, or of the reader's own. */
export function ModelChoice({ label, value, optional, onChange }: ModelChoiceProps) {
  const { t, siteModels = [], ownModels } = useApp();
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {optional && <option value="">{t.shell.none}</option>}
        {siteModels.length > 0 && (
          <optgroup label={t.shell.siteModels}>
            {siteModels.map((model) => (
              <option key={model.id} value={model.id}>
                {model.name}
              </option>
            ))}
          </optgroup>
        )}
        {ownModels.length > 0 && (
          <optgroup label={t.shell.ownModels}>
            {ownModels.map((model) => (
              <option key={model.id} value={model.id}>
                {model.name}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </div>
  );
}

/** The model that the address names, or the first there is; undefined while there is none. */
export function useChosenModel(param: string): string | undefined {
  const { route, siteModels, ownModels } = useApp();
  if (!siteModels) return undefined;
  const ids = [...siteModels, ...ownModels].map(({ id }) => id);
  const wanted = route.params.get(param);
  return ids.find((id) => id === wanted) ?? ids[0];
}

import { useId } from 'preact/hooks';
import { families } from '../../src/families/registry.ts';
import { useApp } from '../app/context.ts';

interface PresetChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly optional?: boolean;
  onChange(name: string): void;
}

/** A model to describe, no weights needed: a family, one of its sizes, or a model that the reader opened. */
export function PresetChoice({ label, value, optional, onChange }: PresetChoiceProps) {
  const { t, ownModels } = useApp();
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {optional && <option value="">{t.shell.none}</option>}
        {/* With exchanged parts, from an address. */}
        {value.includes('+') && <option value={value}>{value}</option>}
        <optgroup label={t.compare.families}>
          {families.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </optgroup>
        {families.map(({ name, title, presets }) => (
          <optgroup key={name} label={t.compare.sizes(title)}>
            {Object.keys(presets).map((preset) => (
              <option key={preset} value={preset === 'tiny' ? `${name}/tiny` : preset}>
                {preset === 'tiny' ? `${title} tiny` : preset}
              </option>
            ))}
          </optgroup>
        ))}
        {ownModels.length > 0 && (
          <optgroup label={t.shell.ownModels}>
            {ownModels.map(({ id: own, name }) => (
              <option key={own} value={own}>
                {name}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </div>
  );
}

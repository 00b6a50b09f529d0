import { useId } from 'preact/hooks';

export interface Option<T extends string> {
  readonly value: T;
  readonly text: string;
  /** What it means, where the text is short. */
  readonly title?: string;
  readonly lang?: string;
}

export interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly hideLabel?: boolean;
  readonly options: readonly Option<T>[];
  readonly value: T;
  onChange(value: T): void;
}

/** One of a few, as radio buttons that look like a row of keys: arrow keys move among them. */
export function Choice<T extends string>({ label, hideLabel, options, value, onChange }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={hideLabel ? 'hidden' : undefined}>{label}</legend>
      <div class="keys">
        {options.map((option) => (
          <label key={option.value} lang={option.lang} title={option.title}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              aria-label={option.title}
              onChange={() => onChange(option.value)}
            />
            <span>{option.text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

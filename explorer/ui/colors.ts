import { useEffect, useState } from 'preact/hooks';
import { useApp } from '../app/context.ts';

/** The style sheet's colors, for what is painted. */
export interface Colors {
  readonly accent: string;
  readonly second: string;
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly wash: string;
  readonly surface: string;
}

function read(): Colors {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    accent: color('accent'),
    second: color('second'),
    ink: color('ink'),
    soft: color('soft'),
    line: color('line'),
    wash: color('wash'),
    surface: color('surface'),
  };
}

/** The colors at hand; they change with the theme, the page's or the system's. */
export function useColors(): Colors {
  const theme = useApp().route.params.get('theme');
  const [colors, setColors] = useState(read);
  useEffect(() => {
    const refresh = () => setColors(read());
    refresh();
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', refresh);
    return () => system.removeEventListener('change', refresh);
  }, [theme]);
  return colors;
}

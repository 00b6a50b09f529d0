const HOUR = '(?:[01][0-9]|2[0-3])';
const MINUTE = '[0-5][0-9]';
const TIME = `${HOUR}:${MINUTE}:${MINUTE}(?:\\.[0-9]{1,9})?(?:Z|[+-]${HOUR}:${MINUTE})`;
// Years from 1000 on; 29 February in years divisible by 4, and by 400 if divisible by 100.
const LEAP = '(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)';
const DATE = `(?:[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|${LEAP}-02-29)`;
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?';
const HOST = `${LABEL}(?:\\.${LABEL}){0,3}`;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const HEX = '[0-9a-fA-F]';
const GROUP = `${HEX}{1,4}`;
/** Eight groups, or at most seven with `::` for zeros between them (RFC 4291, section 2.2, forms 1 and 2). */
const IPV6 = [
  `${GROUP}(?::${GROUP}){7}`,
  ...Array.from({ length: 8 }, (_, before) => {
    const first = before === 0 ? '' : `${GROUP}(?::${GROUP}){${before - 1}}`;
    return `${first}::${before === 7 ? '' : `(?:${GROUP}(?::${GROUP}){0,${6 - before}})?`}`;
  }),
].join('|');
// Browsers parse a last label that begins with a digit as part of an IPv4 address, and check labels in Punycode.
const WEB_HOST = `(?:${OCTET}(?:\\.${OCTET}){3}|(?!(?:[^/]*\\.)?xn--)(?:${LABEL}\\.){0,3}(?![0-9])${LABEL})`;
const AMOUNT = '(?:0|[1-9][0-9]{0,8})';
const PART = (unit: string) => `(?:${AMOUNT}${unit})?`;
const PATH = '(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*';

/**
 * The enforced values of `format`, as patterns. Each describes common strings of the format, not all: everything
 * generated is in the format.
 */
export const FORMATS: Readonly<Record<string, string>> = {
  date: `^${DATE}$`,
  time: `^${TIME}$`,
  'date-time': `^${DATE}T${TIME}$`,
  duration: `^P(?:${AMOUNT}W|(?=[0-9]|T)${PART('Y')}${PART('M')}${PART('D')}(?:T(?=[0-9])${PART('H')}${PART('M')}${PART('S')})?)$`,
  uuid: `^${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}$`,
  email: `^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+){0,3}@${LABEL}(?:\\.${LABEL}){1,3}$`,
  hostname: `^${HOST}$`,
  ipv4: `^${OCTET}(?:\\.${OCTET}){3}$`,
  ipv6: `^(?:${IPV6})$`,
  uri: `^https?://${WEB_HOST}(?::[1-9][0-9]{0,3})?(?:/${PATH})?(?:\\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~-]*)?$`,
};

/** Formats of the standard (draft 2020-12, section 7.3) that are not enforced, with or without a `pattern`. */
const OTHERS = [
  ...['idn-email', 'idn-hostname', 'uri-reference', 'iri', 'iri-reference', 'uri-template'],
  ...['json-pointer', 'relative-json-pointer', 'regex'],
];

/**
 * Why a `format` cannot be enforced, and the remedy; undefined if it can. Names outside the standard, such as zod's
 * `nanoid`, have no meaning of their own: next to a `pattern`, the pattern defines them.
 */
export function formatProblem(format: unknown, hasPattern: boolean): string | undefined {
  if (typeof format === 'string' && Object.hasOwn(FORMATS, format)) return undefined;
  const names = Object.keys(FORMATS).join(', ');
  if (typeof format !== 'string' || OTHERS.includes(format)) {
    return `must be one of ${names}; for others write a pattern`;
  }
  return hasPattern ? undefined : `must be one of ${names}, or be accompanied by a pattern that defines it`;
}

const HOUR = '(?:[01][0-9]|2[0-3])';
const MINUTE = '[0-5][0-9]';
const TIME = `${HOUR}:${MINUTE}:${MINUTE}(?:\\.[0-9]{1,9})?(?:Z|[+-]${HOUR}:${MINUTE})`;
// 29 February is left out: whether it exists depends on the year.
const DATE =
  '[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)';
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?';
const HOST = `${LABEL}(?:\\.${LABEL}){0,3}`;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const HEX = '[0-9a-f]';
const PATH = '(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*';

/**
 * The values of `format` that are enforced, as patterns. Each describes common strings of the format, not all: what is
 * generated is always of the format.
 */
export const FORMATS: Readonly<Record<string, string>> = {
  date: `^${DATE}$`,
  time: `^${TIME}$`,
  'date-time': `^${DATE}T${TIME}$`,
  uuid: `^${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}$`,
  email: `^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+){0,3}@${LABEL}(?:\\.${LABEL}){1,3}$`,
  hostname: `^${HOST}$`,
  ipv4: `^${OCTET}(?:\\.${OCTET}){3}$`,
  ipv6: `^${HEX}{1,4}(?::${HEX}{1,4}){7}$`,
  uri: `^https?://${HOST}(?::[1-9][0-9]{0,3})?(?:/${PATH})?(?:\\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~-]*)?$`,
};

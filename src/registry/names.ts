// MagicDNS labels from host names. A label is what RFC 1035 section 2.3.1 allows, in lower case; the clean-up follows what
// Tailscale's util/dnsname does with a host name, so that a machine is called here what its owner expects.

import type { HostinfoJson } from './record.ts';

const MAX_LABEL = 63;
const FALLBACK = 'node';

export const isLabel = (text: string): boolean =>
  text.length <= MAX_LABEL && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text);

/** Makes a label of any text: letters keep their base form, separators become dashes, the rest goes. */
export const labelOf = (hostname: string): string => {
  const label = hostname
    .slice(0, 4 * MAX_LABEL)
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\.+$/, '')
    .replace(/\.(?:local|localdomain|lan)$/, '')
    .replace(/[\s._@/\\-]+/g, '-')
    .replace(/[^a-z0-9-]/g, '')
    .replace(/^-+/, '')
    .slice(0, MAX_LABEL)
    .replace(/-+$/, '');
  return label === '' ? FALLBACK : label;
};

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The label a node asks for. Phones that call themselves `localhost` are named after their model. */
export const wishedLabel = (hostinfo: HostinfoJson): string => {
  const label = labelOf(textOf(hostinfo['Hostname']));
  const model = textOf(hostinfo['DeviceModel']);
  return (label === 'localhost' || label === FALLBACK) && model !== '' ? labelOf(model) : label;
};

const numbered = (label: string, n: number): string => {
  if (n === 0) return label;
  const suffix = `-${n}`;
  return `${label.slice(0, MAX_LABEL - suffix.length).replace(/-+$/, '')}${suffix}`;
};

/** Whether the name is the label or one of its numbered forms. */
export const isNumberedForm = (name: string, label: string): boolean => {
  const suffix = /-([1-9]\d{0,8})$/.exec(name);
  return name === label || (suffix !== null && name === numbered(label, Number(suffix[1])));
};

/**
 * The label itself if it is free, else with `-1`, `-2` and so on. Numbers are handed out without gaps, so that the first
 * free one is found by doubling and halving: a thousand machines called `ubuntu` cost ten look-ups, not a thousand.
 */
export const uniqueName = (label: string, isTaken: (name: string) => boolean): string => {
  if (!isTaken(label)) return label;
  let taken = 0;
  let free = 1;
  while (isTaken(numbered(label, free))) {
    taken = free;
    free *= 2;
  }
  while (free - taken > 1) {
    const middle = Math.floor((taken + free) / 2);
    if (isTaken(numbered(label, middle))) taken = middle;
    else free = middle;
  }
  return numbered(label, free);
};

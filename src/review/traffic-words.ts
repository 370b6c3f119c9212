// Traffic in words: «every port», «tcp 22 (SSH), 443 (HTTPS) and udp 53 (DNS)», «every port but tcp 443».

import type { Traffic } from './access.ts';
import { serviceOf } from './services.ts';

const LAST = 65_535;
/** From so many open ports on it is shorter to say which are not. */
const NEARLY_ALL = 60_000;
const PORTS_SHOWN = 8;

type Range = readonly [first: number, last: number];

const parse = (ports: string): readonly Range[] =>
  ports === '*'
    ? [[0, LAST]]
    : ports.split(',').map((range) => {
        const [first = 0, last = first] = range.split('-').map(Number);
        return [first, last];
      });

const gapsOf = (ranges: readonly Range[]): readonly Range[] => {
  const gaps: Range[] = [];
  let next = 1;
  for (const [first, last] of ranges) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST) gaps.push([next, LAST]);
  return gaps;
};

const rangeText = ([first, last]: Range): string => {
  const service = first === last ? serviceOf(first) : undefined;
  return first === last ? `${first}${service === undefined ? '' : ` (${service})`}` : `${first}-${last}`;
};

const join = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;

const listText = (ranges: readonly Range[]): string => {
  const shown = ranges.slice(0, PORTS_SHOWN).map(rangeText);
  const rest = ranges.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
};

const sizeOf = (ranges: readonly Range[]): number => ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);

/** `*`, or so many ports that the rest makes no difference. */
export const isNearlyAll = (ports: string): boolean => sizeOf(parse(ports)) >= NEARLY_ALL;

const isPorted = ({ protocol }: Traffic): boolean => protocol === 'tcp' || protocol === 'udp';

export const trafficText = (traffic: readonly Traffic[]): string => {
  const told = traffic.filter(({ protocol }) => protocol !== 'icmp' || traffic.length === 1);
  const wide = told.filter((one) => isPorted(one) && isNearlyAll(one.ports));
  const rest = told.filter((one) => !wide.includes(one));
  const but = wide.flatMap(({ protocol, ports }) => {
    const gaps = gapsOf(parse(ports));
    return gaps.length === 0 ? [] : [`${protocol} ${listText(gaps)}`];
  });
  const whole =
    wide.length === 0
      ? []
      : [
          `every ${wide.length === 2 ? '' : `${wide[0]?.protocol ?? ''} `}port${but.length === 0 ? '' : ` but ${join(but)}`}`,
        ];
  return join([
    ...whole,
    ...rest.map(({ protocol, ports }) =>
      protocol === 'icmp' ? 'ping' : ports === '*' ? `all ${protocol}` : `${protocol} ${listText(parse(ports))}`,
    ),
  ]);
};

// A node's CapMap: what `nodeAttrs` and the switches of the policy give to it, and what follows from its owner's role.

import type { CapMap } from '../wire/filter.ts';
import type { Json } from '../base/canonical.ts';
import type { Membership, NodeClass } from './state.ts';

const FUNNEL_PORTS = 'https://tailscale.com/cap/funnel-ports?ports=443,8443,10000';
const FUNNEL_WARNING = 'https://tailscale.com/cap/warn-funnel-no-https';
const IS_ADMIN = 'https://tailscale.com/cap/is-admin';
const IS_OWNER = 'https://tailscale.com/cap/is-owner';
const ADMIN_ROLES: ReadonlySet<string> = new Set(['owner', 'admin', 'it-admin', 'network-admin']);

const DISABLE_IPV4 = 'disable-ipv4';
const NO_VALUES = null;

/** The attributes of every node of the class. */
export const capMapOf = (state: Membership, cls: NodeClass): CapMap => (cls.capMap ??= buildCapMap(state, cls));

const buildCapMap = ({ policy }: Membership, cls: NodeClass): CapMap => {
  const { document } = policy;
  const caps = new Map<string, readonly Json[] | null>();
  // Tagged devices count as the tailnet's own.
  if (cls.tagged || cls.role === 'owner') caps.set(IS_OWNER, NO_VALUES);
  if (cls.role !== null && ADMIN_ROLES.has(cls.role)) caps.set(IS_ADMIN, NO_VALUES);
  if (document?.randomizeClientPort === true) caps.set('randomize-client-port', NO_VALUES);
  if (document?.disableIPv4 === true) caps.set(DISABLE_IPV4, NO_VALUES);
  if (document && document.oneCgnatRoute !== '') {
    caps.set(`one-cgnat?v=${document.oneCgnatRoute === 'mac-always'}`, NO_VALUES);
  }
  const atoms = new Set([...cls.identityAtoms, ...cls.addressAtoms]);
  for (const { atoms: targets, entry } of policy.attributes) {
    if (!targets.some((atom) => atoms.has(atom))) continue;
    for (const attribute of entry.attributes) if (!caps.has(attribute)) caps.set(attribute, NO_VALUES);
    for (const { name, values } of entry.app) caps.set(name, [...(caps.get(name) ?? []), ...values]);
  }
  if (caps.has('funnel')) {
    caps.set(FUNNEL_PORTS, NO_VALUES);
    if (policy.tailnet.httpsCertificates !== true) caps.set(FUNNEL_WARNING, NO_VALUES);
  }
  const out: Record<string, readonly Json[] | null> = {};
  for (const [name, values] of caps) out[name] = values;
  return Object.freeze(out);
};

export const hasNoIpv4 = (state: Membership, cls: NodeClass): boolean =>
  Object.hasOwn(capMapOf(state, cls), DISABLE_IPV4);

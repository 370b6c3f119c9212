// A node as it is served: what it registered with, and what nodes.json5 and routes.json5 say over it. The server resolves
// the nodes of its registry, a review those of an exported list; both get the same answer.

import { familyOf, isExitRoute, prefixContains } from '../base/address.ts';
import type { Address, Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Login, NodeId, StableId, Tag, UserId } from '../base/ids.ts';
import type { NodeDeclaration, NodeLocation } from '../config/nodes.ts';
import { autoApprovedRoutes } from '../policy/approve.ts';
import { mayConnect } from '../policy/connectors.ts';
import type { PolicyNode, PolicyUser } from '../policy/facts.ts';
import { decodeHostinfo } from '../wire/hostinfo.ts';
import type { Hostinfo, Location } from '../wire/hostinfo.ts';
import { approvedRoutesOf, declarationOf } from './lookup.ts';
import { findPerson } from './person.ts';
import type { SelectableNode, Snapshot } from './snapshot.ts';
import { userIdOf } from './user.ts';

/** What a node brings: the part of a registration that declarations and policy look at. */
export interface RegisteredNode {
  readonly id: NodeId;
  readonly stableId: StableId;
  /** The MagicDNS label that it got from its own host name. */
  readonly name: string;
  /** The owner; null exactly when the node is tagged. */
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** tailcfg.Hostinfo as the client sent it. */
  readonly hostinfo: { readonly [field: string]: Json | undefined };
  /** Posture attributes set at run time. */
  readonly attributes: Readonly<Record<string, { readonly value: string | number | boolean }>>;
  /** Approved at run time, besides those of routes.json5. */
  readonly approvedRoutes: readonly Prefix[];
  readonly createdMs: number;
  readonly authorized: boolean;
}

export interface ResolvedNode<R extends RegisteredNode> {
  readonly record: R;
  /** The MagicDNS label. */
  readonly label: string;
  /** Fully qualified, without the trailing dot. */
  readonly fqdn: string;
  /** The owner; null exactly when the node is tagged. */
  readonly owner: Login | null;
  readonly ownerId: UserId | null;
  /** The owner as a person of the tailnet; absent where nobody by that login may be in it, and for a tagged node. */
  readonly person: PolicyUser | undefined;
  readonly tags: readonly Tag[];
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** By hand, declared and automatic approval together. */
  readonly approvedRoutes: readonly Prefix[];
  /** False: waits for an administrator, or is cut off: disabled, or its owner is, or is nobody of the tailnet any more. */
  readonly authorized: boolean;
  readonly hostinfo: Hostinfo;
  /** What the policy looks at. */
  readonly policyNode: PolicyNode;
}

/** A declared address goes over the registered one of its family. */
const addressesOf = (record: RegisteredNode, declared: readonly Address[] | undefined): readonly Address[] => {
  if (declared === undefined || declared.length === 0) return record.addresses;
  const families = new Set(declared.map(familyOf));
  return [...declared, ...record.addresses.filter((address) => !families.has(familyOf(address)))].sort(
    (a, b) => familyOf(a) - familyOf(b),
  );
};

/** Whether an approval covers a route: a subnet covers its parts, an exit route only itself. */
export const approves = (approved: Prefix, route: Prefix): boolean =>
  approved === route || (!isExitRoute(route) && !isExitRoute(approved) && prefixContains(approved, route));

/** Attributes that the hosted service derives from what the client reports, those set at run time, and over them the declared. */
const postureOf = (
  record: RegisteredNode,
  hostinfo: Hostinfo,
  declared: NodeDeclaration['attributes'],
): ReadonlyMap<string, Json> => {
  const posture = new Map<string, Json>();
  const version = /^\d+\.\d+\.\d+/.exec(hostinfo.IPNVersion ?? '')?.[0];
  if (hostinfo.OS !== undefined) posture.set('node:os', hostinfo.OS.toLowerCase());
  if (hostinfo.OSVersion !== undefined) posture.set('node:osVersion', hostinfo.OSVersion);
  if (version !== undefined) {
    posture.set('node:tsVersion', version);
    posture.set('node:tsReleaseTrack', Number(version.split('.')[1]) % 2 === 0 ? 'stable' : 'unstable');
  }
  if (typeof hostinfo['StateEncrypted'] === 'boolean') posture.set('node:tsStateEncrypted', hostinfo['StateEncrypted']);
  for (const [name, { value }] of Object.entries(record.attributes)) posture.set(name, value);
  for (const [name, value] of Object.entries(declared ?? {})) posture.set(name, value);
  return posture;
};

const wireLocation = (declared: NodeLocation): Location => {
  const { country, countryCode, city, cityCode, latitude, longitude, priority } = declared;
  return {
    ...(country !== undefined && { Country: country }),
    ...(countryCode !== undefined && { CountryCode: countryCode }),
    ...(city !== undefined && { City: city }),
    ...(cityCode !== undefined && { CityCode: cityCode }),
    ...(latitude !== undefined && { Latitude: latitude }),
    ...(longitude !== undefined && { Longitude: longitude }),
    ...(priority !== undefined && { Priority: priority }),
  };
};

/** `online`: whether the node is connected; a silent subnet router loses its routes to another one. */
export const resolveNode = <R extends RegisteredNode>(
  snapshot: Snapshot,
  record: R,
  online: boolean,
): ResolvedNode<R> => {
  const registered = record.login === null ? undefined : findPerson(snapshot, record.login);
  const login = registered?.login ?? record.login;
  const selectable: SelectableNode = {
    stableId: record.stableId,
    label: record.name,
    owner: login,
    tags: record.tags,
  };
  const declaration = declarationOf(snapshot, selectable);
  const tags = declaration?.tags ?? record.tags;
  const owner = tags.length > 0 ? null : login;
  const ownerId = owner === null ? null : (registered?.id ?? userIdOf(owner));
  const person: PolicyUser | undefined =
    owner === null || registered === undefined || registered.disabled
      ? undefined
      : { id: registered.id, login: registered.login, role: registered.role };
  const label = declaration?.name ?? record.name;
  const fqdn = `${label}.${snapshot.tailnet.baseDomain}`;
  const addresses = addressesOf(record, declaration?.addresses);
  // A machine doesn't decide where it stands: that would let an exit node put itself before the others.
  const { Location: _claimed, ...said }: Hostinfo = decodeHostinfo(record.hostinfo) ?? {};
  const hostinfo: Hostinfo = {
    ...said,
    ...(declaration?.location && { Location: wireLocation(declaration.location) }),
  };
  const routableIPs = hostinfo.RoutableIPs ?? [];
  const approved = [
    ...approvedRoutesOf(snapshot, { ...selectable, owner, tags }),
    ...record.approvedRoutes,
    ...(routableIPs.length > 0 ? autoApprovedRoutes(snapshot.policy, { tags, routableIPs }, person) : []),
  ];
  const approvedRoutes = routableIPs.filter((route) => approved.some((by) => approves(by, route)));
  return {
    record,
    label,
    fqdn,
    owner,
    ownerId,
    person,
    tags,
    addresses,
    approvedRoutes,
    authorized:
      (declaration?.approved ?? record.authorized) &&
      declaration?.disabled !== true &&
      (owner === null || person !== undefined),
    hostinfo,
    policyNode: {
      id: record.id,
      stableId: record.stableId,
      name: fqdn,
      user: ownerId,
      tags,
      addresses,
      routableIPs,
      approvedRoutes,
      createdMs: record.createdMs,
      ...(approvedRoutes.length > 0 && { alive: online }),
      ...(hostinfo.AppConnector === true && mayConnect(snapshot.policy, tags) && { connector: true }),
      posture: postureOf(record, hostinfo, declaration?.attributes),
    },
  };
};

/** Whether the policy would see any difference. */
export const samePolicyNode = (a: PolicyNode, b: PolicyNode): boolean => policyKey(a) === policyKey(b);

const policyKey = ({ posture, ...node }: PolicyNode): string => JSON.stringify([node, [...(posture ?? [])]]);

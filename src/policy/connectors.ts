// App connectors: machines that resolve the names of an application for others, and carry the traffic to the addresses that
// they found (the attribute `tailscale.com/app-connectors` of nodeAttrs). Who asks is in appc/ and ipnlocal of the client.

import type { Json } from '../base/canonical.ts';
import type { PolicyDocument } from './document.ts';
import type { CompiledPolicy } from './compile.ts';

export const APP_CONNECTORS = 'tailscale.com/app-connectors';

export interface App {
  /** In lower case: `example.com`, or `*.example.com` for what is below it. */
  readonly domains: readonly string[];
  /** Tags, or `*`. */
  readonly connectors: readonly string[];
}

const DOMAIN =
  /^(?:\*\.)?(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const isAppDomain = (text: string): boolean => DOMAIN.test(text.toLowerCase());

const textsIn = (value: Json | undefined): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

/** The values of the attribute; clients take what has another shape for nothing, and so do we. */
export const readApps = (values: readonly Json[] | null | undefined): readonly App[] =>
  (values ?? []).flatMap((value) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return [];
    const fields = value as { readonly [field: string]: Json | undefined };
    return [
      {
        domains: textsIn(fields['domains'])
          .filter(isAppDomain)
          .map((domain) => domain.toLowerCase()),
        connectors: textsIn(fields['connectors']),
      },
    ];
  });

/**
 * Whether a machine that offers to be a connector is one for the application. `*` means tagged machines only: anybody's laptop
 * can offer itself, and would then be asked for the names and get the traffic of everybody.
 */
export const isConnectorOf = ({ connectors }: App, tags: readonly string[]): boolean =>
  tags.length > 0 && (connectors.includes('*') || tags.some((tag) => connectors.includes(tag)));

/** Every application of the policy. */
export const appsOf = (document: PolicyDocument | null): readonly App[] =>
  (document?.nodeAttrs ?? []).flatMap(({ app }) =>
    app.flatMap(({ name, values }) => (name === APP_CONNECTORS ? readApps(values) : [])),
  );

const appsOfPolicy = new WeakMap<CompiledPolicy, readonly App[]>();

/** Whether some application of the policy is for connectors with these tags. */
export const mayConnect = (policy: CompiledPolicy, tags: readonly string[]): boolean => {
  let apps = appsOfPolicy.get(policy);
  if (!apps) {
    apps = appsOf(policy.document);
    appsOfPolicy.set(policy, apps);
  }
  return apps.some((app) => isConnectorOf(app, tags));
};

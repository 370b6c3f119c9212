// Where the certificate challenges of nodes are published, as the settings say: a name server that takes dynamic updates, or
// a command of the operator's. Without either, nodes get no certificates.

import fs from 'node:fs';
import path from 'node:path';

import type { TailnetSettings } from '../config/tailnet.ts';
import { parseBase64, utf8, utf8Text } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';
import { createChallenges, type Challenges } from '../dns/challenges.ts';
import { createCommandProvider } from '../dns/command.ts';
import { encodeName } from '../dns/name.ts';
import type { NameServer } from '../dns/exchange.ts';
import type { DnsProvider } from '../dns/provider.ts';
import { createUpdateProvider } from '../dns/update.ts';
import { StartFailure } from './failure.ts';
import { writePrivateFile } from './keyring.ts';
import { parseHostPort, type Settings } from './settings.ts';

interface Inputs {
  readonly settings: Settings;
  readonly dataFolder: string;
  readonly now: () => number;
  readonly note: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

const DNS_PORT = 53;
/** Shorter ones can be guessed. */
const KEY_BYTES = 16;

const badSetting = (message: string, help: string): StartFailure =>
  new StartFailure('usage', 'server/bad-setting', message, help);

const nameServer = (name: string, text: string): NameServer => {
  const server = parseHostPort(text) ?? parseHostPort(`${text}:${DNS_PORT}`);
  if (server && !text.startsWith(':')) return server;
  throw badSetting(`«${text}» is not a name server for ${name}.`, 'Write it like 192.0.2.53, 192.0.2.53:5353, [2001:db8::53]:53 or ns1.example.com.'); // prettier-ignore
};

const updateProvider = ({ settings, now }: Inputs, primary: string): DnsProvider => {
  const { dnsKeyName, dnsKey, dnsKeyAlgorithm = 'hmac-sha256', dnsSecondaries } = settings;
  if (dnsKeyName === undefined || dnsKey === undefined)
    throw badSetting('Updates of a name server need a key.', 'Set dnsKeyName, and TAILPLANE_DNS_KEY or dnsKeyFile: `tsig-keygen` makes one.'); // prettier-ignore
  const secret = parseBase64(dnsKey.reveal().trim());
  if (!secret || secret.length < KEY_BYTES)
    throw badSetting(`The key «${dnsKeyName}» is not the base64 of at least ${KEY_BYTES} bytes.`, 'Give what stands after `secret` in the file that `tsig-keygen` makes, without the quotes.'); // prettier-ignore
  if (!encodeName(dnsKeyName)) throw badSetting(`«${dnsKeyName}» can't be the name of a key.`, 'Use small letters, digits, dashes and dots.'); // prettier-ignore
  return createUpdateProvider({
    primary: nameServer('dnsServer', primary),
    key: { name: dnsKeyName.toLowerCase(), algorithm: dnsKeyAlgorithm as 'hmac-sha256', secret: new Secret(secret) },
    secondaries: (dnsSecondaries?.split(',') ?? []).map((text) => nameServer('dnsSecondaries', text.trim())),
    now,
  });
};

const providerOf = (inputs: Inputs): DnsProvider | undefined => {
  const { dnsServer, dnsCommand } = inputs.settings;
  if (dnsServer !== undefined && dnsCommand !== undefined)
    throw badSetting('Both a name server and a command are to publish DNS records.', 'Set dnsServer or dnsCommand.');
  if (dnsServer !== undefined) return updateProvider(inputs, dnsServer);
  if (dnsCommand === undefined) return undefined;
  const onFailure = (exitCode: number | string, printed: string): void =>
    inputs.note('warn', 'the DNS command failed', { exitCode, printed });
  return createCommandProvider({ file: dnsCommand, env: process.env, onFailure });
};

/** What may be out, in the data folder: public names, and of no use to anybody. */
const ledgerAt = (file: string, note: Inputs['note']) => ({
  read: (): readonly string[] => {
    try {
      const names = JSON.parse(utf8Text(fs.readFileSync(file))) as unknown;
      return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
    } catch {
      return [];
    }
  },
  write: (names: readonly string[]): void => {
    try {
      writePrivateFile(file, utf8(JSON.stringify(names)));
    } catch (error) {
      // A record that stays is no reason to refuse a certificate.
      note('warn', 'challenge records could not be written down', { reason: (error as Error).message });
    }
  },
});

export interface CertificateRecords {
  /** Undefined where the settings name no way to publish. */
  readonly publish: Challenges['publish'] | undefined;
  /** What the tailnet declares; where that changes what is published, it is tried. */
  readonly follow: (tailnet: Pick<TailnetSettings, 'baseDomain' | 'features'>) => void;
  /** Why machines get no certificates although the tailnet wants them to; undefined where nothing is known. */
  readonly problem: () => string | undefined;
  readonly close: () => Promise<void>;
}

/** No machine has this name, so to take its record away changes nothing, and needs every right that a record needs. */
const trialName = (baseDomain: string): string => `_acme-challenge._trial.${baseDomain}`;

export const openCertificateRecords = (inputs: Inputs): CertificateRecords => {
  const provider = providerOf(inputs);
  const challenges =
    provider &&
    createChallenges({
      provider,
      now: inputs.now,
      ledger: ledgerAt(path.join(inputs.dataFolder, 'dns-challenges.json'), inputs.note),
      onLeft: (name, reason) => inputs.note('warn', 'a challenge record could not be removed', { name, reason }),
    });
  let wanted: string | undefined;
  let problem: string | undefined;

  const judge = async (baseDomain: string): Promise<void> => {
    const trial = await provider?.setTexts(trialName(baseDomain), []);
    if (wanted !== baseDomain) return;
    problem = !trial
      ? 'HTTPS is on in tailnet.json5, but neither dnsServer nor dnsCommand is set, so machines get no certificates'
      : trial.ok
        ? undefined
        : `machines get no certificates: ${trial.reason.replace(/\.$/, '')}`;
    if (problem !== undefined) inputs.note('warn', 'certificates of machines will fail', { problem });
  };

  return {
    publish: challenges?.publish,
    follow: ({ baseDomain, features }) => {
      const next = features.https ? baseDomain : undefined;
      if (next === wanted) return;
      wanted = next;
      problem = undefined;
      if (next !== undefined) void judge(next);
    },
    problem: () => problem,
    close: async () => {
      wanted = undefined;
      await challenges?.close();
    },
  };
};

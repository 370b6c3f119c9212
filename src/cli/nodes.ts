// `tailplane nodes`: the machines that are registered.

import type { Command } from 'commander';
import type { NodeAnswer, NodeDetails } from '../http/answers.ts';
import { registerNodePing } from './node-ping.ts';
import { plain, relativeTime, table } from './output.ts';
import type { Output } from './output.ts';
import { serverOf } from './server.ts';

const ownerOf = (node: NodeAnswer): string => node.user ?? node.tags.join(',');

const stateOf = (node: NodeAnswer, out: Output): string => {
  if (node.expired) return out.style('red', 'expired');
  if (!node.authorized) return out.style('yellow', 'waiting for approval');
  return node.online ? out.style('green', 'online') : out.style('dim', 'offline');
};

const ago = (time: string | null): string => (time === null ? '-' : relativeTime(Date.parse(time), Date.now()));

const updateOf = ({ update }: NodeDetails, out: Output): string => {
  if (update === null) return '';
  return out.style(
    update.urgent ? 'red' : 'yellow',
    `; ${update.release} is there${update.urgent ? ', for its security' : ''}`,
  );
};

const copyRows = ({ copy }: NodeDetails, out: Output): readonly (readonly [string, string])[] =>
  copy === null
    ? []
    : [['copy', out.style('red', `another machine uses the same keys, at ${plain(copy.remote)} (${ago(copy.last)}); see docs/machines.md`)]]; // prettier-ignore

/** The first warning beside the word «health», the others below it. */
const healthRows = ({ health }: NodeDetails): readonly (readonly [string, string])[] =>
  health.map(({ warning, text, since }, i) => [i === 0 ? 'health' : '', `${plain(text)} (${plain(warning)}${since === null ? '' : `, ${ago(since)}`})`]); // prettier-ignore

const details = (node: NodeDetails, out: Output): string => {
  const rows: readonly (readonly [string, string])[] = [
    ['name', `${plain(node.fqdn)} (its own name: ${plain(node.hostname)})`],
    ['id', `${node.id} (${node.stableId})`],
    [node.user === null ? 'tags' : 'user', plain(ownerOf(node))],
    ['state', stateOf(node, out)],
    ['addresses', node.addresses.join(' ')],
    ['last seen', node.online ? 'now' : ago(node.lastSeen)],
    ['joined', `${node.created} (${ago(node.created)})`],
    ['key expires', node.expires === null ? 'never' : `${node.expires} (${ago(node.expires)})`],
    ['client', `${plain(`${node.version} on ${node.os}`)}${updateOf(node, out)}`],
    ...copyRows(node, out),
    ...healthRows(node),
    ['advertises', plain(node.advertisedRoutes.join(' ')) || '-'],
    ['approved', node.approvedRoutes.join(' ') || '-'],
    ['home relay', node.homeRelay === 0 ? '-' : String(node.homeRelay)],
    ['endpoints', plain(node.endpoints.join(' ')) || '-'],
    ['machine key', node.machineKey],
    ['node key', node.nodeKey],
  ];
  return rows.map(([name, value]) => `${out.style('dim', name.padEnd(12))} ${value}`).join('\n');
};

export const registerNodes = (program: Command): void => {
  const nodes = program.command('nodes').description('machines of the tailnet');
  const which = 'name, id or address of the node';

  nodes
    .command('list')
    .description('list machines')
    .addHelpText('after', '\nExample:\n  tailplane nodes list --json')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<NodeAnswer[]>('/nodes');
      out.show(list, () =>
        list.length === 0
          ? 'No machines yet. Make a key with `tailplane keys create` and join with `tailscale up`.'
          : table(
              ['ID', 'NAME', 'OWNER', 'ADDRESS', 'STATE', 'LAST SEEN', 'CLIENT'],
              list.map((node) => [
                String(node.id),
                plain(node.name),
                plain(ownerOf(node)),
                node.addresses[0] ?? '-',
                stateOf(node, out),
                node.online ? 'now' : ago(node.lastSeen),
                plain(node.version.split('-')[0] ?? ''),
              ]),
              out.style,
            ),
      );
    });

  nodes
    .command('export')
    .description('print the machines for reviews: no keys, nothing secret')
    .addHelpText('after', '\nExample:\n  tailplane nodes export > nodes.json && tailplane plan --nodes nodes.json')
    .action(async (_options: unknown, command: Command) => {
      const { admin } = serverOf(command);
      process.stdout.write(`${JSON.stringify(await admin.get<unknown>('/nodes/export'), null, 2)}\n`);
    });

  nodes
    .command('show')
    .description('show one machine')
    .argument('<node>', which)
    .addHelpText('after', '\nExample:\n  tailplane nodes show laptop')
    .action(async (node: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const found = await admin.get<NodeDetails>(`/nodes/${encodeURIComponent(node)}`);
      out.show(found, () => details(found, out));
    });

  registerNodePing(nodes, which);

  nodes
    .command('expire')
    .description('expire the key of a machine: it must sign in again')
    .argument('<node>', which)
    .addHelpText('after', '\nExample:\n  tailplane nodes expire laptop')
    .action(async (node: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const found = await admin.post<NodeAnswer>(`/nodes/${encodeURIComponent(node)}/expire`);
      out.show(found, () => `Expired the key of ${plain(found.name)}; it keeps its name and addresses.`);
    });

  nodes
    .command('delete')
    .description('forget a machine; it can join again as a new one')
    .argument('<node>', which)
    .addHelpText('after', '\nExample:\n  tailplane nodes delete old-laptop')
    .action(async (node: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const found = await admin.remove<NodeAnswer>(`/nodes/${encodeURIComponent(node)}`);
      out.show(found, () => `Deleted ${plain(found.name)} (${found.addresses.join(', ')}).`);
    });
};

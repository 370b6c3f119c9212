// `tailplane routes`: which networks machines offer, what approves them and who carries them; and the approvals as edits
// of routes.json5.

import type { Command } from 'commander';
import type { RouteAnswer, RouteState } from '../http/answers.ts';
import type { EditAnswer } from '../server/source-operations.ts';
import { modeOf, showEdit, withWriteOptions } from './edit.ts';
import type { WriteOptions } from './edit.ts';
import { plain, table } from './output.ts';
import type { Output } from './output.ts';
import { serverOf } from './server.ts';

const COLOURS: Partial<Record<RouteState, 'green' | 'yellow' | 'red' | 'dim'>> = {
  serving: 'green',
  offered: 'green',
  silent: 'red',
  offline: 'red',
  'not let in': 'yellow',
  'not approved': 'yellow',
  'not advertised': 'dim',
};

const approvalText = ({ approvedBy }: RouteAnswer): string =>
  approvedBy
    .map(({ by, file, line }) =>
      file === null ? by : `${by === 'autoApprovers' ? `${by} at ` : ''}${plain(file)}:${line}`,
    )
    .join(', ') || '-';

export const renderRoutes = (routes: readonly RouteAnswer[], out: Output): string => {
  if (routes.length === 0) return 'No machine offers a route, and none is approved for one.';
  // An exit node offers both families; one line says it.
  const lines = routes.filter(
    ({ exitNode, route, stableId, state }) =>
      !exitNode ||
      route === '0.0.0.0/0' ||
      !routes.some((other) => other.route === '0.0.0.0/0' && other.stableId === stableId && other.state === state),
  );
  return table(
    ['ROUTE', 'NODE', 'ID', 'OWNER', 'STATE', 'APPROVED BY'],
    lines.map((route) => {
      const colour = COLOURS[route.state];
      return [
        route.exitNode ? 'exit node' : route.route,
        plain(route.node),
        route.stableId,
        plain(route.owner ?? route.tags.join(',')),
        colour === undefined ? route.state : out.style(colour, route.state),
        approvalText(route),
      ];
    }),
    out.style,
  );
};

export const registerRoutes = (program: Command): void => {
  const routes = program.command('routes').description('subnet routes and exit nodes');
  const which = 'name, id or address of the node';

  routes
    .command('list')
    .description('list routes: who offers them, what approves them, who carries them now')
    .addHelpText('after', '\nExample:\n  tailplane routes list --json')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<RouteAnswer[]>('/routes');
      out.show(list, () => renderRoutes(list, out));
    });

  const edit =
    (what: 'routes' | 'withdrawal') =>
    async (node: string, list: string[], options: WriteOptions, command: Command): Promise<void> => {
      const { admin, out } = serverOf(command);
      const body = { mode: modeOf(options), message: options.message, ...(list.length > 0 ? { routes: list } : {}) };
      showEdit(await admin.post<EditAnswer>(`/edits/${what}/${encodeURIComponent(node)}`, body), out);
    };

  withWriteOptions(
    routes
      .command('approve')
      .description('approve routes that a machine advertises, as an edit of routes.json5')
      .argument('<node>', which)
      .argument('[routes...]', 'which of them; all that it advertises by default'),
  )
    .addHelpText('after', '\nExample:\n  tailplane routes approve office-router 10.1.0.0/16 --propose')
    .action(edit('routes'));

  withWriteOptions(
    routes
      .command('withdraw')
      .description('take back approvals of a machine, as an edit of routes.json5')
      .argument('<node>', which)
      .argument('[routes...]', 'which of them; all that routes.json5 approves for it alone by default'),
  )
    .addHelpText('after', '\nExample:\n  tailplane routes withdraw office-router 10.1.0.0/16 --propose')
    .action(edit('withdrawal'));
};

// What the metrics say about how the server is now, read when somebody asks.

import type { Control } from '../control/ports.ts';
import type { Metrics } from '../http/metrics.ts';
import type { Tailnet } from '../netmap/tailnet.ts';
import type { Registry } from '../registry/registry.ts';

/** Whether a registration could be made durable now. */
export const isDurable = (registry: Registry): boolean => !['refusing', 'slow'].includes(registry.status().state);

export const exposeGauges = (metrics: Metrics, registry: Registry, tailnet: Tailnet, control: Control): void => {
  metrics.gauge('nodes', 'Registered nodes', () => registry.view.nodes.size);
  metrics.gauge('nodes_online', 'Nodes with a map session', () => control.online());
  metrics.gauge('fragment_bytes', 'Compressed map fragments kept for sharing', () => tailnet.stats().fragmentBytes);
  metrics.gauge(
    'registry_journal_bytes',
    'Bytes in the journal that the file does not hold yet',
    () => registry.status().journalBytes,
  );
  metrics.gauge('registry_ready', '1 while registrations can be made durable', () => (isDurable(registry) ? 1 : 0));
  for (const name of Object.keys(control.gauges())) {
    metrics.gauge(name, name.replaceAll('_', ' '), () => control.gauges()[name] ?? 0);
  }
};

// Numbers for operators in the Prometheus text format. Other rooms count through plain ports and don't know this library.
// No label ever holds text that a client chose: series stay few and nothing private leaks.

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export interface Metrics {
  readonly contentType: string;
  readonly render: () => Promise<string>;
  /** Adds to a counter that `count` has named; unknown names are made on first use. */
  readonly count: (name: string, amount?: number, labels?: Readonly<Record<string, string>>) => void;
  /** A value that is read when somebody asks. */
  readonly gauge: (name: string, help: string, read: () => number) => void;
  readonly observe: (name: string, seconds: number) => void;
}

const HELP: Readonly<Record<string, string>> = {
  http_requests_total: 'Requests on the client address by kind and status',
  registrations_total: 'Registrations by outcome',
  handshakes_total: 'Noise handshakes by outcome',
  map_messages_total: 'Map messages sent by kind',
  map_bytes_total: 'Bytes of map messages sent, compressed',
  reconciles_total: 'Tailnet revisions by outcome',
  relay_packets_total: 'Packets relayed by outcome',
  relay_bytes_total: 'Bytes relayed',
  registration_seconds: 'Time from a registration request to its answer',
  reconcile_seconds: 'Time to take or refuse a revision',
};

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const createMetrics = (version: string): Metrics => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const named = (name: string): { name: string; help: string; registers: Registry[] } => ({
    name: `tailplane_${name}`,
    help: HELP[name] ?? name.replaceAll('_', ' '),
    registers: [registry],
  });
  new Gauge({ ...named('build_info'), help: 'Version that runs', labelNames: ['version'] }).labels(version).set(1);
  const counters = new Map<string, Counter>();
  const histograms = new Map<string, Histogram>();
  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    count: (name, amount = 1, labels = {}) => {
      let counter = counters.get(name);
      if (!counter) {
        counter = new Counter({ ...named(name), labelNames: Object.keys(labels) });
        counters.set(name, counter);
      }
      counter.inc(labels, amount);
    },
    gauge: (name, help, read) => {
      registry.registerMetric(
        new Gauge({
          ...named(name),
          registers: [],
          help,
          collect() {
            this.set(read());
          },
        }),
      );
    },
    observe: (name, seconds) => {
      let histogram = histograms.get(name);
      if (!histogram) {
        histogram = new Histogram({ ...named(name), buckets: SECONDS });
        histograms.set(name, histogram);
      }
      histogram.observe(seconds);
    },
  };
};

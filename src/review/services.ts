// What usually listens on a port, for readers who don't know the numbers, and which of these give a machine away or hold what
// others want.

const WELL_KNOWN: Readonly<Record<number, string>> = {
  25: 'mail',
  53: 'DNS',
  80: 'HTTP',
  123: 'time',
  389: 'LDAP',
  443: 'HTTPS',
  631: 'printing',
  993: 'mail',
  2049: 'NFS file shares',
  8080: 'HTTP',
};

/** Ports whose services give a machine away, or hold what others want. */
export const SENSITIVE: Readonly<Record<number, string>> = {
  22: 'SSH',
  23: 'Telnet',
  445: 'file shares',
  1433: 'SQL Server',
  2375: 'Docker',
  2379: 'etcd',
  3306: 'MySQL',
  3389: 'remote desktop',
  5432: 'PostgreSQL',
  5900: 'VNC',
  6379: 'Redis',
  6443: 'Kubernetes',
  9200: 'Elasticsearch',
  10250: 'kubelet',
  11211: 'memcached',
  27017: 'MongoDB',
};

/** What one would expect behind the port; undefined for most. */
export const serviceOf = (port: number): string | undefined => SENSITIVE[port] ?? WELL_KNOWN[port];

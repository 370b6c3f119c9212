// Ten mistakes that people make, each as an edit of the tailnet in this folder. What the review says about them is pinned in
// mistakes.test.ts and told in docs/review.md.

export interface Mistake {
  readonly name: string;
  /** What the author wanted, and what happened instead. */
  readonly story: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const POLICY = 'policy.json5';

export const MISTAKES: readonly Mistake[] = [
  {
    name: 'wrong-group',
    story: 'Support shall read the ledger in the year-end rush; completion offered `group:contractors` first.',
    file: POLICY,
    from: `{ "src": ["group:finance"], "dst": ["tag:ledger"], "ip": ["tcp:443"] },`,
    to: `{ "src": ["group:finance", "group:contractors"], "dst": ["tag:ledger"], "ip": ["tcp:443"] },`,
  },
  {
    name: 'star-left-in',
    story: 'Opened everything to find out why the warehouse was slow, and committed it with the fix.',
    file: POLICY,
    from: `{ "src": ["group:data"], "dst": ["tag:warehouse"], "ip": ["tcp:5439", "tcp:443"] },`,
    to: `{ "src": ["*"], "dst": ["tag:warehouse"], "ip": ["*"] },`,
  },
  {
    name: 'port-typo',
    story: 'Postgres moved to a new address; the rule was typed anew, with 5342 for 5432.',
    file: POLICY,
    from: `{ "src": ["tag:api"], "dst": ["tag:db"], "ip": ["tcp:5432"] },`,
    to: `{ "src": ["tag:api"], "dst": ["tag:db"], "ip": ["tcp:5342"] },`,
  },
  {
    name: 'order',
    story: 'A stricter rule was put above the one for on-call, in the belief that the first match wins.',
    file: POLICY,
    from: `    { "src": ["group:oncall"], "dst": ["tag:k8s-prod"], "ip": ["tcp:6443"] },`,
    to: `    { "src": ["group:oncall"], "dst": ["tag:k8s-prod"], "ip": ["tcp:443"] },\n    { "src": ["group:oncall"], "dst": ["tag:k8s-prod"], "ip": ["tcp:6443"] },`,
  },
  {
    name: 'test-removed',
    story: 'The test for contractors failed, so it went, and with it the reason why the rule must not be there.',
    file: POLICY,
    from: `    { "src": "group:contractors", "accept": ["tag:staging:443"], "deny": ["tag:db:5432", "tag:api:443", "tag:vault:8200", "payments:443"] },\n`,
    to: '',
  },
  {
    name: 'tag-owner-too-wide',
    story: 'CI shall tag its own machines; now every member may give `tag:ci`, and `tag:ci` reaches production.',
    file: POLICY,
    from: `"tag:ci": ["group:platform"],`,
    to: `"tag:ci": ["group:platform", "autogroup:member"],`,
  },
  {
    name: 'exit-node-for-all',
    story: 'The exit node was meant for the whole of support; `autogroup:member` was shorter to write.',
    file: POLICY,
    from: `{ "src": ["group:support", "group:finance"], "dst": ["autogroup:internet"], "ip": ["*"] },`,
    to: `{ "src": ["autogroup:member"], "dst": ["autogroup:internet"], "ip": ["*"] },`,
  },
  {
    name: 'host-too-wide',
    story:
      'The storage got a second network; /24 became /16, which holds the management ports of every machine in the hall.',
    file: POLICY,
    from: `"fra-storage": "10.20.8.0/24",`,
    to: `"fra-storage": "10.20.0.0/16",`,
  },
  {
    name: 'check-dropped',
    story: 'The confirmation was in the way of a script.',
    file: POLICY,
    from: `{ "action": "check", "checkPeriod": "12h", "src": ["group:platform"]`,
    to: `{ "action": "accept", "src": ["group:platform"]`,
  },
  {
    name: 'user-enabled',
    story: 'Somebody tidied up the list of users and took the odd `disabled` away: a person who left is back.',
    file: 'users.json5',
    from: `{ "login": "vera@example.com", "disabled": true },`,
    to: `{ "login": "vera@example.com" },`,
  },
];

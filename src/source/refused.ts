// Refusals that must pass through a library which knows only exceptions, and what such a library's own exceptions mean.
// The text of an answer from the host is never repeated: it may hold anything.

import { refuse, type Refusal } from '../base/outcome.ts';

/** Carries a refusal through code that is not ours; `refusalOf` takes it out again. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

const CERTIFICATE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'is signed by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is signed by an unknown authority',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is for another name',
  CERT_REVOKED: 'is revoked',
};

/** What is wrong with a certificate, as the end of a sentence, by the code of Node's TLS. */
export const certificateProblem = (code: string): string | undefined => CERTIFICATE[code];

const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve at the moment',
  ECONNREFUSED: 'it refuses the connection',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  EPROTO: 'it does not speak TLS',
};

const ofStatus = (status: number): Refusal => {
  if (status === 401 || status === 403) {
    return refuse('source/credentials', `The git host refused the credentials (HTTP ${status}).`);
  }
  if (status === 404 || status === 410) {
    return refuse('source/not-found', 'The git host knows no such repository, or hides it from these credentials.');
  }
  return refuse('source/host-error', `The git host answered with HTTP ${status}.`);
};

/** What an exception of git or of the network means. Faults of our own come out as `undefined`. */
export const refusalOf = (error: unknown): Refusal | undefined => {
  if (error instanceof Refused) return error.refusal;
  if (!(error instanceof Error)) return undefined;
  if (error instanceof AggregateError && error.errors.length > 0) return refusalOf(error.errors[0]);
  const code = 'code' in error ? String(error.code) : '';
  const data = 'data' in error && typeof error.data === 'object' && error.data !== null ? error.data : {};
  if (code === 'HttpError' && 'statusCode' in data) return ofStatus(Number(data.statusCode));
  if (CERTIFICATE[code]) return refuse('source/certificate', `The git host's certificate ${CERTIFICATE[code]}.`);
  if (UNREACHABLE[code]) return refuse('source/unreachable', `The git host cannot be reached: ${UNREACHABLE[code]}.`);
  if (code === 'ETIMEDOUT') return refuse('source/timeout', 'The git host did not answer in time.');
  if (code === 'GitPushError' || code === 'PushRejectedError') {
    return refuse('source/push-refused', 'The git host refused the push.');
  }
  if (code === 'NotFoundError') return refuse('source/incomplete', 'Objects of the commit are missing.');
  // Everything else that isomorphic-git raises while it reads an answer or an object.
  if (
    /^(?:SmartHttp|Parse|Internal|InvalidOid|ObjectType|UnsafeFilepath|RemoteCapability|Decompression)Error$/.test(code)
  ) {
    return refuse('source/protocol', 'The git host sent something that is not git, or was cut off.');
  }
  return undefined;
};

/** Runs a call of isomorphic-git. Damaged input makes it fail in ways it does not name; those get the name given here. */
export const library = async <T>(call: Promise<T>, otherwise: Refusal): Promise<T> => {
  try {
    return await call;
  } catch (error) {
    throw new Refused(refusalOf(error) ?? otherwise);
  }
};

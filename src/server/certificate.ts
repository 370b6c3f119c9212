// X.509 certificates that nobody signs but their own key (RFC 5280), for a server without a domain: clients pin the SHA-256
// of its certificate in the relay map. Node can read certificates but not write them, so a small DER encoder is here.

export interface CertificateRequest {
  /** DNS names; the first is the common name as well. */
  readonly hostnames: readonly string[];
  readonly ips: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** PKCS#8 PEM of an ECDSA P-256 or Ed25519 key; absent: a new P-256 key. */
  readonly keyPem?: string;
}

export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** SHA-256 of the certificate in lower-case hex, for `CertName: 'sha256-raw:…'` in the relay map. */
  readonly sha256Raw: string;
}

export const makeSelfSignedCertificate = (_request: CertificateRequest): Certificate => {
  throw new Error('not here yet');
};

/**
 * The certificate that a relay appends to its chain so that clients know its key a round trip earlier (derper's meta
 * certificate): common name `derpkey<64 hex>`, serial 2, signed by a throw-away Ed25519 key. PEM.
 */
export const makeMetaCertificate = (_relayPublicKey: Uint8Array, _now: Date): string => {
  throw new Error('not here yet');
};

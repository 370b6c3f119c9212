// STUN over UDP: tells a client the address that its packets come from (RFC 8489, Tailscale's net/stunserver). It answers
// clients alone, and never with more bytes than it was sent, so it is of no use for reflection.

export interface StunServer {
  /** The bound port. */
  readonly port: number;
  readonly stats: () => { readonly answered: number; readonly refused: number; readonly limited: number };
  readonly close: () => Promise<void>;
}

/** `host` may be `::` for both families, or an address of either. */
export const startStunServer = (_listen: { readonly host: string; readonly port: number }): Promise<StunServer> => {
  throw new Error('not here yet');
};

// SSH policy exactly as on the wire (tailcfg.SSHPolicy). Field names are lower camel case here, unlike the rest.

export interface SshPrincipal {
  readonly node?: string;
  readonly nodeIP?: string;
  readonly userLogin?: string;
  readonly any?: boolean;
}

export interface SshAction {
  readonly message?: string;
  readonly reject?: boolean;
  readonly accept?: boolean;
  /** Nanoseconds. */
  readonly sessionDuration?: number;
  readonly allowAgentForwarding?: boolean;
  readonly allowLocalPortForwarding?: boolean;
  readonly allowRemotePortForwarding?: boolean;
  readonly holdAndDelegate?: string;
  /** `ip:port` of session recorders. */
  readonly recorders?: readonly string[];
  readonly onRecordingFailure?: {
    readonly RejectSessionWithMessage?: string;
    readonly TerminateSessionWithMessage?: string;
    readonly NotifyURL?: string;
  };
}

export interface SshRule {
  readonly ruleExpires?: string;
  readonly principals: readonly SshPrincipal[];
  /** Requested login (or `*`) to local login; `` refuses, `=` keeps. */
  readonly sshUsers: Readonly<Record<string, string>>;
  readonly action: SshAction;
  readonly acceptEnv?: readonly string[];
}

export interface SshPolicy {
  readonly rules: readonly SshRule[];
}

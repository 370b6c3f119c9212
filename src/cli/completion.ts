// `tailplane completion SHELL`: a script made from the commands themselves, so that it can't fall behind them.

import type { Command } from 'commander';
import { Argument } from 'commander';

interface Word {
  readonly name: string;
  readonly about: string;
}

/** `nodes list` to what may follow it: sub-commands and long options. */
type Grammar = ReadonlyMap<string, readonly Word[]>;

const grammarOf = (program: Command): Grammar => {
  const grammar = new Map<string, Word[]>();
  const visit = (command: Command, path: string, inherited: readonly Word[]): void => {
    const options = command.options
      .filter((option) => option.long !== undefined && !option.hidden)
      .map((option) => ({ name: option.long as string, about: option.description }));
    const all = [...inherited, ...options];
    const commands = command.commands.map((child) => ({ name: child.name(), about: child.description() }));
    grammar.set(path, [...commands, ...all]);
    for (const child of command.commands) visit(child, `${path} ${child.name()}`.trim(), all);
  };
  visit(program, '', [{ name: '--help', about: 'show help' }]);
  return grammar;
};

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const cases = (grammar: Grammar, render: (words: readonly Word[]) => string): string =>
  [...grammar].map(([path, words]) => `    ${quote(path)}) ${render(words)} ;;`).join('\n');

/** Drops options, so that `nodes --json list` and `nodes list` are one path; unknown words are arguments. */
const WALK = `  local path='' word next
  for word in "\${words[@]:1:$((current - 1))}"; do
    case "$word" in -*) continue ;; esac
    next="\${path:+$path }$word"
    case "$next" in KNOWN) path="$next" ;; esac
  done`;

const known = (grammar: Grammar): string =>
  [...grammar.keys()]
    .filter((path) => path !== '')
    .map(quote)
    .join('|');

const SCRIPTS: Readonly<Record<string, (grammar: Grammar) => string>> = {
  bash: (grammar) => `# tailplane completion for bash: source <(tailplane completion bash)
_tailplane() {
  local words=("\${COMP_WORDS[@]}") current=$COMP_CWORD options=''
${WALK.replace('KNOWN', known(grammar))}
  case "$path" in
${cases(grammar, (words) => `options=${quote(words.map(({ name }) => name).join(' '))}`)}
  esac
  COMPREPLY=($(compgen -W "$options" -- "\${words[current]}"))
}
complete -o default -F _tailplane tailplane`,
  zsh: (grammar) => `#compdef tailplane
# tailplane completion for zsh: source <(tailplane completion zsh)
_tailplane() {
  setopt localoptions ksharrays
  local current=$((CURRENT - 1))
  local -a options
${WALK.replace('KNOWN', known(grammar))}
  case "$path" in
${cases(grammar, (words) => `options=(${words.map(({ name, about }) => quote(`${name.replaceAll(':', '\\:')}:${about}`)).join(' ')})`)}
  esac
  unsetopt ksharrays
  _describe 'tailplane' options || _files
}
compdef _tailplane tailplane`,
  fish: (grammar) =>
    [
      '# tailplane completion for fish: tailplane completion fish | source',
      'function __tailplane_at',
      "    set -l words (string match -v -- '-*' (commandline -opc))[2..]",
      '    test "$words" = "$argv[1]"',
      'end',
      ...[...grammar].flatMap(([path, words]) =>
        words.map(({ name, about }) =>
          name.startsWith('--')
            ? `complete -c tailplane -n ${quote(`__tailplane_at ${quote(path)}`)} -l ${name.slice(2)} -d ${quote(about)}`
            : `complete -c tailplane -f -n ${quote(`__tailplane_at ${quote(path)}`)} -a ${name} -d ${quote(about)}`,
        ),
      ),
    ].join('\n'),
};

export const registerCompletion = (program: Command): void => {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', '\nExample:\n  source <(tailplane completion bash)')
    .action((shell: string) => {
      process.stdout.write(`${SCRIPTS[shell]?.(grammarOf(program))}\n`);
    });
};

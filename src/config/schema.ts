// The shape of each file is its JSON Schema in schemas/, the same one that editors use. ajv checks it and fills in the
// defaults; here its errors become diagnostics: one for each mistake, on the exact characters, with what was meant.

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import derp from '../../schemas/derp.schema.json' with { type: 'json' };
import derpmap from '../../schemas/derpmap.schema.json' with { type: 'json' };
import dns from '../../schemas/dns.schema.json' with { type: 'json' };
import keys from '../../schemas/keys.schema.json' with { type: 'json' };
import nodes from '../../schemas/nodes.schema.json' with { type: 'json' };
import routes from '../../schemas/routes.schema.json' with { type: 'json' };
import tailnet from '../../schemas/tailnet.schema.json' with { type: 'json' };
import users from '../../schemas/users.schema.json' with { type: 'json' };
import type { Code } from '../base/catalogue.ts';
import type { Diagnostic, Span } from '../base/diagnostic.ts';
import { suggest } from '../base/suggest.ts';
import { formats, type FormatName } from './formats.ts';
import { memberOf, nodeAt, plainOf, type LocatedNode, type Path } from './located.ts';

const schemas = { tailnet, users, routes, dns, keys, nodes, derp, derpmap } as const;
export type SchemaName = keyof typeof schemas;

/** Nobody reads more than this for one file; a file of the wrong kind would otherwise fill the screen. */
const REPORTS_LIMIT = 100;

const validators = new Map<SchemaName, ValidateFunction>();
const validatorOf = (name: SchemaName): ValidateFunction => {
  let validate = validators.get(name);
  if (!validate) {
    const ajv = new Ajv2020({
      allErrors: true,
      verbose: true,
      useDefaults: true,
      allowUnionTypes: true,
      ownProperties: true,
    });
    for (const [format, { explain }] of Object.entries(formats))
      ajv.addFormat(format, (text) => explain(text) === undefined);
    validate = ajv.compile(schemas[name]);
    validators.set(name, validate);
  }
  return validate;
};

interface SchemaPart {
  /** Why a value is none of those that there are, where that is not plain. */
  readonly $comment?: string;
  readonly title?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaPart>>;
}

/** ajv's error with the parts that `verbose` adds. */
type Problem = ErrorObject & { readonly parentSchema?: SchemaPart };

const pathOf = (pointer: string, root: LocatedNode): Path => {
  const path: (string | number)[] = [];
  let node: LocatedNode | undefined = root;
  for (const part of pointer.split('/').slice(1)) {
    const step = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(node?.kind === 'array' ? Number(step) : step);
    node = node && nodeAt(node, path.slice(-1));
  }
  return path;
};

/** A long value is shown by its first character: an underlined page says nothing. */
const firstOf = (span: Span): Span =>
  span.start.line === span.end.line
    ? span
    : {
        ...span,
        end: { line: span.start.line, column: span.start.column + 1, offset: span.start.offset + 1 },
      };

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  object: 'an object `{ … }`',
  array: 'a list `[ … ]`',
  null: 'null',
};
const kindOf = (node: LocatedNode | undefined): string => KINDS[node?.kind ?? 'null'] as string;

const either = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

const codeList = (words: Iterable<string>): string => [...words].map((word) => `\`${word}\``).join(', ');

const fieldOf = (path: Path): string => {
  const last = path.at(-1);
  if (typeof last === 'string') return `\`${last}\``;
  const list = path.findLast((step) => typeof step === 'string');
  return list === undefined ? 'The document' : `An entry of \`${list}\``;
};

const exampleOf = (schema: SchemaPart | undefined): string | undefined => {
  const example = schema?.examples?.[0];
  return example === undefined ? undefined : `For example: ${JSON.stringify(example)}.`;
};

interface Finding {
  readonly code: Code;
  readonly span: Span;
  readonly message: string;
  readonly help?: string | undefined;
  readonly related?: Diagnostic['related'];
}

const unknownField = (problem: Problem, at: LocatedNode): Finding => {
  const name = String(problem.params['additionalProperty']);
  const known = Object.keys(problem.parentSchema?.properties ?? {}).filter((field) => field !== '$schema');
  const meant = suggest(name, known);
  return {
    code: 'config/unknown-field',
    span: memberOf(at, name)?.keySpan ?? at.span,
    message: `There is no field \`${name}\` here.`,
    help: meant === undefined ? `The fields are ${codeList(known)}.` : `Did you mean \`${meant}\`?`,
  };
};

const outOfRange = (problem: Problem, path: Path, at: LocatedNode): Finding => {
  const limit = String(problem.params['limit']);
  const words: Readonly<Record<string, string>> = {
    minimum: `must be at least ${limit}`,
    maximum: `must be at most ${limit}`,
    exclusiveMinimum: `must be more than ${limit}`,
    minLength: limit === '1' ? 'is empty' : `must have at least ${limit} characters`,
    maxLength: `must have at most ${limit} characters`,
    minItems: limit === '1' ? 'is empty' : `must have at least ${limit} entries`,
    maxItems: `must have at most ${limit} entries`,
    maxProperties: `must have at most ${limit} entries`,
  };
  return {
    code: 'config/out-of-range',
    span: firstOf(at.span),
    message: `${fieldOf(path)} ${words[problem.keyword] ?? 'is out of range'}.`,
    help: exampleOf(problem.parentSchema),
  };
};

const explain = (problem: Problem, root: LocatedNode): Finding => {
  const path = pathOf(problem.instancePath, root);
  const at = nodeAt(root, path) ?? root;
  switch (problem.keyword) {
    case 'additionalProperties':
      return unknownField(problem, at);
    case 'required': {
      const name = String(problem.params['missingProperty']);
      const field = problem.parentSchema?.properties?.[name];
      return {
        code: 'config/missing-field',
        span: firstOf(at.span),
        message: `The field \`${name}\` is missing.`,
        help: [field?.description, exampleOf(field)].filter((part) => part !== undefined).join(' '),
      };
    }
    case 'type':
    case 'anyOf': {
      const wanted: unknown = problem.params['type'];
      const kinds = (Array.isArray(wanted) ? wanted : [wanted]).map((kind) => KINDS[String(kind)] ?? String(kind));
      return {
        code: 'config/wrong-type',
        span: firstOf(at.span),
        message: `${fieldOf(path)} must be ${either(kinds)}, not ${kindOf(at)}.`,
        help: exampleOf(problem.parentSchema),
      };
    }
    case 'enum': {
      const allowed = (problem.params['allowedValues'] as readonly unknown[]).map(String);
      const value = at.kind === 'string' ? at.value : undefined;
      const meant = value === undefined ? undefined : suggest(value, allowed);
      const shown = value === undefined ? kindOf(at) : `\`${value}\``;
      const why = problem.parentSchema?.$comment;
      return {
        code: 'config/not-one-of',
        span: firstOf(at.span),
        message: `${fieldOf(path)} can't be ${shown}.`,
        help: `${meant === undefined ? '' : `Did you mean \`${meant}\`? `}The values are ${codeList(allowed)}.${why === undefined ? '' : ` ${why}`}`,
      };
    }
    case 'format': {
      const name = String(problem.params['format']) as FormatName;
      const key = problem.propertyName;
      const text = key ?? (at.kind === 'string' ? at.value : '');
      return {
        code: 'config/malformed',
        span: key === undefined ? at.span : (memberOf(at, key)?.keySpan ?? at.span),
        message: `${formats[name] === formats.sealed ? 'The value' : `\`${text.length > 80 ? `${text.slice(0, 80)}…` : text}\``} ${formats[name].explain(text) ?? 'is malformed'}.`,
        help: `For example: "${formats[name].example}".`,
      };
    }
    case 'pattern':
      return {
        code: 'config/malformed',
        span: at.span,
        message: `${fieldOf(path)} doesn't have the right form.`,
        help: exampleOf(problem.parentSchema),
      };
    case 'uniqueItems': {
      const { i, j } = problem.params as { readonly i: number; readonly j: number };
      const [first, second] = [nodeAt(at, [Math.min(i, j)]), nodeAt(at, [Math.max(i, j)])];
      return {
        code: 'config/duplicate-item',
        span: second?.span ?? at.span,
        message: `${fieldOf(path)} has this entry twice.`,
        help: 'Remove one of the two.',
        ...(first ? { related: [{ span: first.span, message: 'first given here' }] } : {}),
      };
    }
    default:
      return outOfRange(problem, path, at);
  }
};

/**
 * Of a failed choice (`anyOf`) only the branch that the writer chose is worth words: the one that takes this kind of
 * value. Where no branch takes it, one finding lists what would be taken.
 */
const withoutNoise = (problems: readonly Problem[]): Problem[] => {
  const kept = new Set(problems.filter(({ keyword }) => keyword !== 'propertyNames'));
  for (const choice of problems) {
    if (choice.keyword !== 'anyOf') continue;
    const inside = problems.filter((other) => other !== choice && other.schemaPath.startsWith(`${choice.schemaPath}/`));
    const branchOf = (problem: Problem): string =>
      problem.schemaPath.slice(choice.schemaPath.length + 1).split('/')[0] as string;
    const mine = inside.filter((other) => other.instancePath.startsWith(choice.instancePath));
    const wrongKind = mine.filter((other) => other.keyword === 'type' && other.instancePath === choice.instancePath);
    const refused = new Set(wrongKind.map(branchOf));
    for (const other of mine) if (refused.has(branchOf(other))) kept.delete(other);
    if (mine.every((other) => refused.has(branchOf(other))))
      choice.params['type'] = wrongKind.map((other) => String(other.params['type']));
    else kept.delete(choice);
  }
  return [...kept];
};

/** A misspelt field is also a missing one: one mistake, one finding. */
const withoutEcho = (problems: readonly Problem[]): Problem[] => {
  const meant = new Set(
    problems.flatMap(({ keyword, instancePath, params, parentSchema }) =>
      keyword === 'additionalProperties'
        ? [
            `${instancePath}\0${suggest(String(params['additionalProperty']), Object.keys(parentSchema?.properties ?? {}))}`,
          ]
        : [],
    ),
  );
  return problems.filter(
    ({ keyword, instancePath, params }) =>
      keyword !== 'required' || !meant.has(`${instancePath}\0${String(params['missingProperty'])}`),
  );
};

export interface Checked {
  /** The plain value with defaults filled in; absent where the shape is wrong. */
  readonly value?: unknown;
  readonly diagnostics: readonly Diagnostic[];
}

/** Holds a document against its schema. */
export const checkSchema = (name: SchemaName, root: LocatedNode): Checked => {
  const value = plainOf(root);
  const validate = validatorOf(name);
  if (validate(value)) return { value, diagnostics: [] };
  const problems = withoutEcho(withoutNoise((validate.errors ?? []).slice(0, 10 * REPORTS_LIMIT) as Problem[]));
  const diagnostics = problems.slice(0, REPORTS_LIMIT).map((problem): Diagnostic => {
    const { code, span, message, help, related } = explain(problem, root);
    return { code, severity: 'error', message, span, ...(help ? { help } : {}), ...(related ? { related } : {}) };
  });
  if (problems.length > REPORTS_LIMIT) {
    diagnostics.push({
      code: 'config/more-problems',
      severity: 'error',
      message: `There are ${problems.length - REPORTS_LIMIT} or more further problems in this file.`,
      span: { ...root.span, start: root.span.end },
      help: 'Check that the file is the one that its name says.',
    });
  }
  return { diagnostics };
};

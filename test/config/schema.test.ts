// The published schemas: complete enough that an editor can explain every field, true to what the server takes, and with
// examples that are right.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseDocument } from '../../src/config/document.ts';
import { formats } from '../../src/config/formats.ts';
import { plainOf, type LocatedNode } from '../../src/config/located.ts';

const root = path.join(import.meta.dirname, '../..');
const folder = path.join(root, 'schemas');
const names = new Set(fs.readdirSync(folder));
/** Others publish schemas of their answers here; these are the files of a tailnet folder and the report of lint. */
const OURS = ['tailnet', 'users', 'policy', 'routes', 'dns', 'keys', 'nodes', 'derp', 'derpmap', 'lint-report'];

interface Schema {
  readonly $id?: string;
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

const compile = (schema: Schema) => {
  const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
  for (const [name, { explain }] of Object.entries(formats)) ajv.addFormat(name, (text) => explain(text) === undefined);
  return ajv.compile(schema);
};

/** A property explains itself, or what it refers to does: that is what an editor shows on hover. */
test('every property of every schema has a description', () => {
  for (const file of names) {
    const schema = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8')) as Schema;
    const isDescribed = (part: Schema): boolean => {
      if ((part.description ?? '') !== '') return true;
      const name = /^#\/\$defs\/(.+)$/.exec(part.$ref ?? '')?.[1];
      const meant = name === undefined ? undefined : schema.$defs?.[name];
      return meant !== undefined && isDescribed(meant);
    };
    const missing: string[] = [];
    const visit = (value: unknown, where: string): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [name, property] of Object.entries((value as Schema).properties ?? {})) {
        if (name !== '$schema' && !isDescribed(property)) missing.push(`${where}.${name}`);
      }
      for (const [key, item] of Object.entries(value)) {
        if (!['examples', 'default', 'enum', 'const'].includes(key)) visit(item, `${where}.${key}`);
      }
    };
    visit(schema, file);
    assert.deepEqual(missing, []);
  }
});

for (const name of OURS) {
  const file = `${name}.schema.json`;
  const schema = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8')) as Schema;

  test(`${file} explains every field, with examples that it takes itself`, () => {
    assert.ok(names.has(file));
    assert.equal(schema.$id, `https://unpkg.com/tailplane/schemas/${file}`);
    const visit = (part: Schema, where: string): void => {
      if (part.$ref !== undefined) return;
      assert.ok(part.title && part.description, `${where} has a title and a description`);
      assert.ok((part.examples ?? []).length > 0, `${where} has an example`);
      const check = compile({ ...part, ...(schema.$defs ? { $defs: schema.$defs } : {}) });
      for (const example of part.examples ?? []) {
        assert.ok(check(example), `${where}: ${JSON.stringify(example)}: ${JSON.stringify(check.errors?.[0])}`);
      }
      for (const [key, value] of Object.entries(part.properties ?? {})) visit(value, `${where}.${key}`);
      if (part.items?.title !== undefined) visit(part.items, `${where}[]`);
      if (typeof part.additionalProperties === 'object') visit(part.additionalProperties, `${where}.*`);
    };
    visit(schema, name);
    for (const [key, value] of Object.entries(schema.$defs ?? {})) visit(value, key);
  });
}

test('every example of a format is right', () => {
  for (const [name, { explain, example }] of Object.entries(formats)) {
    if (!example.includes('…')) assert.equal(explain(example), undefined, name);
  }
});

test('each file of tailnet.example fits the schema that it names', () => {
  const example = path.join(root, 'tailnet.example');
  const files = fs.readdirSync(example).filter((name) => name.endsWith('.json5'));
  assert.equal(files.length, 8);
  for (const name of files) {
    const document = parseDocument(name, fs.readFileSync(path.join(example, name)), { dialect: 'json5' });
    const value = plainOf(document.root as LocatedNode) as { readonly $schema: string };
    const schema = JSON.parse(fs.readFileSync(path.join(example, value.$schema), 'utf8')) as Schema;
    const check = compile(schema);
    assert.ok(check(value), `${name}: ${JSON.stringify(check.errors)}`);
  }
});

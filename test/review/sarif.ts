// The part of SARIF 2.1.0 that a code host reads, after GitHub's page «SARIF support for code scanning», as a schema. What the
// page calls required is required here, and so are its limits; nothing may be there that isn't named.

import { Ajv2020 } from 'ajv/dist/2020.js';

const text = { type: 'string', minLength: 1 };
const message = { type: 'object', required: ['text'], additionalProperties: false, properties: { text } };
const natural = { type: 'integer', minimum: 1 };
const location = {
  type: 'object',
  required: ['physicalLocation'],
  additionalProperties: false,
  properties: {
    id: { type: 'integer', minimum: 0 },
    message,
    physicalLocation: {
      type: 'object',
      required: ['artifactLocation', 'region'],
      additionalProperties: false,
      properties: {
        artifactLocation: {
          type: 'object',
          required: ['uri'],
          additionalProperties: false,
          // Relative: an absolute one must lie where the checkout is.
          properties: { uri: { type: 'string', pattern: '^(?![a-z]+:|/)[^\\s]+$' }, uriBaseId: { const: '%SRCROOT%' } },
        },
        region: {
          type: 'object',
          required: ['startLine', 'startColumn', 'endLine', 'endColumn'],
          additionalProperties: false,
          properties: { startLine: natural, startColumn: natural, endLine: natural, endColumn: natural },
        },
      },
    },
  },
};

const validate = new Ajv2020({ allErrors: true }).compile({
  type: 'object',
  required: ['$schema', 'version', 'runs'],
  additionalProperties: false,
  properties: {
    $schema: { const: 'https://json.schemastore.org/sarif-2.1.0.json' },
    version: { const: '2.1.0' },
    runs: {
      type: 'array',
      minItems: 1,
      maxItems: 20,
      items: {
        type: 'object',
        required: ['tool', 'results'],
        additionalProperties: false,
        properties: {
          tool: {
            type: 'object',
            required: ['driver'],
            additionalProperties: false,
            properties: {
              driver: {
                type: 'object',
                required: ['name', 'rules'],
                additionalProperties: false,
                properties: {
                  name: text,
                  version: text,
                  rules: {
                    type: 'array',
                    maxItems: 25_000,
                    uniqueItems: true,
                    items: {
                      type: 'object',
                      required: ['id', 'shortDescription'],
                      additionalProperties: false,
                      properties: { id: { type: 'string', maxLength: 255 }, shortDescription: message },
                    },
                  },
                },
              },
            },
          },
          columnKind: { const: 'utf16CodeUnits' },
          results: {
            type: 'array',
            maxItems: 25_000,
            items: {
              type: 'object',
              required: ['ruleId', 'ruleIndex', 'level', 'message', 'locations', 'partialFingerprints'],
              additionalProperties: false,
              properties: {
                ruleId: text,
                ruleIndex: { type: 'integer', minimum: 0 },
                level: { enum: ['error', 'warning', 'note'] },
                message,
                locations: { type: 'array', minItems: 1, maxItems: 10, items: location },
                relatedLocations: { type: 'array', items: location },
                partialFingerprints: {
                  type: 'object',
                  minProperties: 1,
                  additionalProperties: { type: 'string', minLength: 16 },
                },
              },
            },
          },
        },
      },
    },
  },
});

/** What is wrong with a document for a code host; empty where nothing is. */
export const sarifProblems = (value: unknown): readonly string[] =>
  validate(JSON.parse(JSON.stringify(value)))
    ? []
    : (validate.errors ?? []).map(({ instancePath, message: why }) => `${instancePath} ${why ?? ''}`);

/**
 * A ValidatingAdmissionPolicy at work, without an API server: its expressions in an evaluator of CEL, with Kubernetes' functions for
 * texts and CIDRs as its documents describe them (https://kubernetes.io/docs/reference/using-api/cel/). Regular expressions are
 * JavaScript's, so `policy.test.ts` allows only what RE2 reads in the same way.
 */
import { Environment } from "@marcbachmann/cel-js";
import { ADDRESS_BITS, type Family, formatCidr, parseAddress } from "../../src/core/cidr.ts";
import { at, readManifest } from "../lab/manifest.ts";

/** An object as the API server shows it to a policy. */
export interface ConfigMap {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

interface Named {
  readonly name: string;
  readonly expression: string;
}

interface Validation {
  readonly expression: string;
  readonly messageExpression: string;
}

export interface Policy {
  readonly matchConditions: readonly Named[];
  readonly variables: readonly Named[];
  readonly validations: readonly Validation[];
}

/** The policy of a manifest. */
export function readPolicy(path: string): Policy {
  return at(readManifest(path), "spec") as unknown as Policy;
}

/** Kubernetes' cost of the calls of an evaluation, as far as it grows with the text (k8s.io/apiserver, cel/library/cost.go). */
export interface Cost {
  units: number;
}

/** Go's `netip.Prefix`, which keeps host bits. */
class CIDR {
  readonly family: Family;
  readonly base: bigint;
  readonly bits: number;
  constructor(family: Family, base: bigint, bits: number) {
    this.family = family;
    this.base = base;
    this.bits = bits;
  }
  masked(): CIDR {
    const hostBits = BigInt(ADDRESS_BITS[this.family] - this.bits);
    return new CIDR(this.family, (this.base >> hostBits) << hostBits, this.bits);
  }
}

/** A CIDR as `netip.ParsePrefix` reads it; Kubernetes refuses IPv6 with an IPv4 address in it. */
function readCidr(text: string): CIDR | undefined {
  const [, address = "", digits = ""] = /^([^/]*)\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
  const parsed = parseAddress(address);
  const bits = Number(digits);
  if (parsed === undefined || parsed.width !== ADDRESS_BITS[parsed.family] || bits > parsed.width)
    return undefined;
  return new CIDR(parsed.family, parsed.value, bits);
}

/** The reasons for which the policy refuses an edit; none where it does not apply. `before` is absent when the object is new. */
export function refusals(policy: Policy, object: ConfigMap, before?: ConfigMap, cost: Cost = { units: 0 }) {
  const request = { operation: before === undefined ? "CREATE" : "UPDATE" };
  return refusalsOf(policy, { object, oldObject: before ?? null, request }, cost);
}

/** The same for any request, with what the API server says of it. */
export function refusalsOf(policy: Policy, context: object, cost: Cost = { units: 0 }): readonly string[] {
  const evaluate = evaluator(policy, cost);
  if (!policy.matchConditions.every(({ expression }) => evaluate(expression, context) === true)) return [];
  return policy.validations
    .filter(({ expression }) => evaluate(expression, context) !== true)
    .map(({ messageExpression }) => String(evaluate(messageExpression, context)));
}

type Evaluate = (expression: string, context: object) => unknown;

/** Evaluates with the policy's variables, each of them once and only when it is asked for, as the API server does. */
function evaluator(policy: Policy, cost: Cost): Evaluate {
  const environment = kubernetesEnvironment(cost);
  return function evaluate(expression, context): unknown {
    const variables = {};
    for (const one of policy.variables)
      Object.defineProperty(variables, one.name, {
        enumerable: true,
        get: once(() => environment.evaluate(one.expression, { ...context, variables })),
      });
    return environment.evaluate(expression, { ...context, variables });
  };
}

function once<T>(compute: () => T): () => T {
  let known: { readonly value: T } | undefined;
  return () => {
    known ??= { value: compute() };
    return known.value;
  };
}

function kubernetesEnvironment(cost: Cost): Environment {
  const walks = (text: string, factor = 1) => {
    cost.units += Math.ceil((text.length + 1) * 0.1) * factor;
    return text;
  };
  const pattern = (text: string, source: string, flags: string) => {
    walks(text, Math.ceil(source.length * 0.25));
    const [, inline = "", rest = ""] = /^(?:\(\?([im]+)\))?(.*)$/s.exec(source) ?? [];
    // RE2's \s has no spaces beyond ASCII.
    return new RegExp(rest.replaceAll(/(?<!\\)\\s/g, "[\\t\\n\\f\\r ]"), flags + inline);
  };
  return new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })
    .registerType("CIDR", CIDR)
    .registerFunction("isCIDR(string): bool", (text: string) => readCidr(walks(text)) !== undefined)
    .registerFunction("cidr(string): CIDR", (text: string) => {
      const read = readCidr(walks(text));
      if (read === undefined) throw new Error(`no CIDR: ${text}`);
      return read;
    })
    .registerFunction("string(CIDR): string", (cidr: CIDR) => formatCidr(cidr))
    .registerFunction("CIDR.masked(): CIDR", (cidr: CIDR) => cidr.masked())
    .registerFunction("CIDR.prefixLength(): int", ({ bits }: CIDR) => BigInt(bits))
    .registerOperator("CIDR == CIDR", (a: CIDR, b: CIDR) => formatCidr(a) === formatCidr(b))
    .registerFunction("string.findAll(string): list<string>", (text: string, source: string) =>
      [...text.matchAll(pattern(text, source, "g"))].map(([found]) => found),
    )
    .registerFunction(
      "string.find(string): string",
      (text: string, source: string) => pattern(text, source, "").exec(text)?.[0] ?? "",
    )
    .registerFunction("string.replace(string, string): string", (text: string, old: string, now: string) =>
      walks(text).replaceAll(old, now),
    );
}

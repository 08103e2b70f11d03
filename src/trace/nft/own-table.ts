/** Our own table's rules as the tracer's model; parts that we never write, such as other programs' rules, stay undecided. */
import { FAMILY_NAMES } from "../../core/cidr.ts";
import type { ObservedStatement } from "../../netlink/operations.ts";
import { renderStatement } from "../../netlink/text.ts";
import type { TableState } from "../../nftables/sets.ts";
import type { Action, Condition, TraceRule } from "../model.ts";

/** The rules of one chain. */
export function observedRules({ rules, sets }: TableState, chain: string): TraceRule[] {
  return rules
    .filter((rule) => rule.chain === chain)
    .map(({ statements }, i) => ({
      number: i + 1,
      text: statements.map(statementText).join(" "),
      conditions: statements.flatMap((one) => conditionsOf(one, sets)),
      action: ruleAction(statements),
    }));
}

function statementText(statement: ObservedStatement): string {
  if (statement.kind === "counter") return "counter";
  return statement.kind === "unknown" ? `(${statement.name})` : renderStatement(statement);
}

function conditionsOf(statement: ObservedStatement, sets: TableState["sets"]): Condition[] {
  const head = { text: statementText(statement), negated: false };
  switch (statement.kind) {
    case "daddr":
    case "saddr": {
      const family = FAMILY_NAMES[statement.family];
      const set = sets.find((one) => one.set.set === statement.set);
      // Of other sets, such as hashes, the elements are not intervals.
      if (family === undefined || set?.set.flags.join() !== "interval") return [{ ...head, kind: "unknown" }];
      return [
        {
          ...head,
          negated: statement.negated,
          kind: "address",
          side: statement.kind === "daddr" ? "destination" : "source",
          family,
          intervals: set.elements,
        },
      ];
    }
    case "saddr bits": {
      const { mask, value } = statement;
      return [{ ...head, kind: "bits", side: "source", family: FAMILY_NAMES[statement.family], mask, value }];
    }
    case "oifname":
      return [{ ...head, kind: "out", names: [`${statement.name}${statement.isPrefix ? "*" : ""}`] }];
    case "nfproto": {
      const family = FAMILY_NAMES[statement.family];
      return [family === undefined ? { ...head, kind: "unknown" } : { ...head, kind: "family", family }];
    }
    case "fib daddr type":
      return [{ ...head, kind: "local", side: "destination" }];
    case "l4proto":
      return [{ ...head, kind: "protocol", protocols: [statement.protocol] }];
    case "numgen random":
      return [{ ...head, kind: "chance" }];
    case "unknown":
      return [{ ...head, kind: "unknown" }];
    default:
      return [];
  }
}

/** An expression that we do not know may match or decide, so its rule may decide unless it says how. */
function ruleAction(statements: readonly ObservedStatement[]): Action {
  const known = statements.map(actionOf).find(({ kind }) => kind !== "continue");
  return known ?? { kind: statements.some(({ kind }) => kind === "unknown") ? "unknown" : "continue" };
}

function actionOf(statement: ObservedStatement): Action {
  if (statement.kind === "masquerade") return { kind: "masquerade" };
  if (statement.kind === "snat") {
    const { address, ports } = statement;
    const addresses = { first: address, last: address };
    return { kind: "translate", targets: [{ addresses, ...(ports === undefined ? {} : { ports }) }] };
  }
  if (statement.kind !== "verdict") return { kind: "continue" };
  return statement.verdict === "jump" || statement.verdict === "goto"
    ? { kind: statement.verdict, chain: statement.chain }
    : { kind: statement.verdict };
}

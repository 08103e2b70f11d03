/** Cuts operations into batches that fit the buffers. Pure; the caller decides whether several transactions are acceptable. */
import { intervalsWithin } from "./elements.ts";
import { isElements, operationBudget } from "./encode.ts";
import type { ChangeElements, Operation } from "./operations.ts";

interface Batches {
  readonly whole: number;
  readonly done: Operation[][];
  current: Operation[];
  left: number;
}

/**
 * The same operations in the same order, as batches that count at most `maxBytes` each (see budget.ts). Lists of elements are
 * cut where a batch is full; nothing else can be cut, and gets a batch of its own even if that is too big.
 */
export function splitBatches(operations: readonly Operation[], maxBytes: number): Operation[][] {
  const batches: Batches = { whole: maxBytes, done: [], current: [], left: maxBytes };
  for (const operation of operations) {
    if (isElements(operation)) addElements(batches, operation);
    else add(batches, operation, operationBudget(operation));
  }
  finish(batches);
  return batches.done;
}

function add(batches: Batches, operation: Operation, cost: number): void {
  if (cost > batches.left) finish(batches);
  batches.current.push(operation);
  batches.left -= cost;
}

function addElements(batches: Batches, operation: ChangeElements): void {
  const { elements } = operation;
  for (let from = 0; from < elements.length; ) {
    if (intervalsWithin(operation, batches.left) === 0) finish(batches);
    const count = Math.max(1, intervalsWithin(operation, batches.left));
    const part = partOf(operation, from, from + count);
    add(batches, part, operationBudget(part));
    from += count;
  }
}

function partOf(operation: ChangeElements, from: number, to: number): ChangeElements {
  if (from === 0 && to >= operation.elements.length) return operation;
  return { ...operation, elements: operation.elements.slice(from, to) };
}

function finish(batches: Batches): void {
  if (batches.current.length > 0) batches.done.push(batches.current);
  batches.current = [];
  batches.left = batches.whole;
}
